"""The context file: typed records, ELF cores, the archive; knows no process."""
