"""Hand-made mutants of the core and of the local adapters, each of which the laws must catch."""
