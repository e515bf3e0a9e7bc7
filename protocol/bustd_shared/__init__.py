"""What the killer and the monitor read alike: how a daemon runs, what the kernel's files say, and root's rules."""
