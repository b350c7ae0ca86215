"""The command line: thin commands over the core and its adapters."""
