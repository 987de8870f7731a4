"""How people call Framewatch: a command's arguments, its help, and how a mistake ends. What it does is elsewhere."""

from worker.cli.main import main

__all__ = ["main"]
