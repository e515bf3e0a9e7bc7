"""How each daemon runs: its log, its packets, its locked memory, its forked child, its records."""
