"""Somebody's mistakes in a model folder, collected so that they are told all at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from worker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

MOST_TOLD = 20


@dataclass(frozen=True, slots=True)
class Mistake:
    """One mistake: the file in the model folder, the line to change where there is one, and what is wrong."""

    file: str
    line: int | None
    text: str

    def told(self, folder: Path) -> str:
        """One line for a person, in the form that editors and terminals make clickable."""
        place = folder / self.file
        return f"{place}:{self.line}: {self.text}" if self.line else f"{place}: {self.text}"


def refusal(folder: Path, mistakes: Sequence[Mistake], untold: int = 0) -> UsageError:
    """The one error that lists the mistakes of a folder, a line each; ``untold`` are only counted."""
    more = max(0, len(mistakes) - MOST_TOLD) + untold
    told = [mistake.told(folder) for mistake in mistakes[:MOST_TOLD]]
    return UsageError("\n".join([*told, *([f"and {more} more"] if more > 0 else [])]))


def one_line(text: str, limit: int = 300) -> str:
    """A foreign library's message on one line of bounded length, printable characters only."""
    flat = " ".join("".join(character if character.isprintable() else " " for character in text).split())
    return flat if len(flat) <= limit else flat[: limit - 1] + "…"
