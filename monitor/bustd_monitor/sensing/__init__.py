"""From the kernel's files to values."""
