"""What the worker counts and measures: each metric declared once, told by methods named after what happened."""

from worker.telemetry.telemetry import Telemetry

__all__ = ["Telemetry"]
