"""What the monitor and the killer must read alike: /proc, protection rules, configuration, logs, locked memory."""
