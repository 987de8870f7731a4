"""Says of a flood of one kind only so much, and how much was left unsaid."""

from __future__ import annotations

EVERY_S = 60.0
MOST_KINDS = 1000


class Sparing:
    """Lets one thing of each kind pass in a while, and counts the others; knows the newest kinds only."""

    def __init__(self, *, every_s: float = EVERY_S, most: int = MOST_KINDS) -> None:
        """One in ``every_s`` seconds passes; of more than ``most`` kinds the oldest are forgotten."""
        self._every_s = every_s
        self._most = most
        self._passed: dict[str, tuple[float, int]] = {}

    def pass_(self, kind: str, at_s: float) -> int | None:
        """Return how many of its kind were kept back before this one; None where this one is kept back too."""
        passed_s, kept_back = self._passed.get(kind, (None, 0))
        if passed_s is not None and at_s - passed_s < self._every_s:
            self._passed[kind] = (passed_s, kept_back + 1)
            return None
        self._passed.pop(kind, None)
        self._passed[kind] = (at_s, 0)
        if len(self._passed) > self._most:
            del self._passed[next(iter(self._passed))]
        return kept_back
