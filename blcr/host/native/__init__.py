"""Processes of the kernel that runs us, by ptrace and /proc."""
