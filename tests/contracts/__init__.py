"""One behavioural contract a port; every adapter's own test file subclasses it with a harness."""
