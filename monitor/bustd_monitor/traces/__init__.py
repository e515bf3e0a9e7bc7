"""What a machine went through, kept in a file: recorded, and decided over again by the code that runs live."""
