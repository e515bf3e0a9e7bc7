"""Traces: what a machine went through, recorded in a file, and decided again from it by the code that runs live."""
