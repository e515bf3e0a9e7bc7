"""What the killer does as root, once, before it executes what serves: its identity, and the kernel's limits on it."""
