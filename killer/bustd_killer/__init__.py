"""bustd's killer: the only part with power. It revalidates each PID itself, signals it, and parses next to nothing."""
