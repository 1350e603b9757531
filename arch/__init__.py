"""
The architectures, each a folder of its own with the same files.

Installed as `blcr.arch`; nothing imports it but the registry, by entry point.  How to
add one: ``docs/porting.md``.
"""
