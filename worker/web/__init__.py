"""What the worker answers over HTTP: probes and metrics to everybody, the console to who may see it."""

from worker.web.server import Web

__all__ = ["Web"]
