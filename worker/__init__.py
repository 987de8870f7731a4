"""Framewatch: watches live streams for a platform's trust-and-safety team."""

__version__ = "0.1.0"
