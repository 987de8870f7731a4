"""The peers' own Python, with the packages of requirements/peers.txt: they must not be mixed with Framewatch's."""

from __future__ import annotations

from pathlib import Path

FOLDER = Path(__file__).parents[2] / ".cache" / "peers"
MADE = FOLDER / "made"
"""There when all of it is."""
PYTHON = FOLDER / "bin" / "python"
THEIRS = Path(__file__).with_name("theirs")


def why_not() -> str | None:
    """Why the peers can't run here, in one line; None where they can."""
    return None if MADE.exists() else "the peers' packages are not installed: `make .cache/peers/made`"
