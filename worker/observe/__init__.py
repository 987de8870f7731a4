"""Turns what happens into metrics, logs and traces: the observers that the core tells."""
