"""What people read: log lines and descriptions of processes."""
