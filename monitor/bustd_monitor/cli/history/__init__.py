"""What bustd has done, told from the journal, the log file or the events socket: for `bustd history`."""
