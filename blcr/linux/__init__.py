"""The kernel's interface as asm-generic has it, for the resources and the hosts."""
