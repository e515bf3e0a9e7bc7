"""When memory is short enough that a process must die: a file for each condition, and the table of them all."""
