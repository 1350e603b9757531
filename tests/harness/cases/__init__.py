"""The architectures, each from other sources than its package in `arch/`."""
