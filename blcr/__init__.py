"""Checkpoint and restart of Linux programs, in user space."""

__version__ = "0.9.0.dev0"
