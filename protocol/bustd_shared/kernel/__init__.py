"""How both daemons read the kernel: procfs, control groups, its version, and the bounds of its numbers."""
