"""Where processes live: the interface, and a folder for each host."""
