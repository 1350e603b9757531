"""Processes under an emulator of their CPU, with a Linux of our own."""
