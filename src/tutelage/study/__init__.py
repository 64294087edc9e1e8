"""A study from its configuration to its results: planned, executed, gathered."""
