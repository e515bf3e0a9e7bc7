"""From the process table to the one whose death helps."""
