"""What the killer and the monitor read alike: how a daemon runs, what the kernel's files say, and root's rules."""

__version__ = "0.2.0"
"""That of pyproject.toml; a test holds the two equal. To ask the installation would cost each daemon memory."""
