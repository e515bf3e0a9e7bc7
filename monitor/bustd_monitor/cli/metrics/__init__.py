"""`bustd metrics`: what a Prometheus server is told of this machine."""
