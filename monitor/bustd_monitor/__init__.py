"""bustd's monitor: senses memory, decides, ranks, and asks the killer. It holds no power of its own."""
