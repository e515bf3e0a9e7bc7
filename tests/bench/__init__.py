"""What bustd costs, measured on this machine: `make bench`, or `python -m tests.bench`."""
