"""How both daemons read the kernel: processes, memory, control groups, its version, and the bounds of its numbers."""
