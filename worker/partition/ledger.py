"""Which offsets of a partition have their outcome: pure bookkeeping."""

from __future__ import annotations

from collections import deque


class Ledger:
    """Offsets in the order they came, and which of them are finished.

    Segments of different streams finish out of order; the offset to commit is the first unfinished one.
    """

    def __init__(self, next_offset: int) -> None:
        """Start with everything below ``next_offset`` finished."""
        self._next = next_offset
        self._open: deque[int] = deque()
        self._finished: set[int] = set()

    def begin(self, offset: int) -> None:
        """Note an offset that came; offsets only rise (the log may have holes)."""
        if offset < self._next:
            raise ValueError(f"offset {offset} after {self._next - 1}")
        self._open.append(offset)
        self._next = offset + 1

    def finish(self, offset: int) -> None:
        """Note that an offset has its outcome."""
        self._finished.add(offset)
        while self._open and self._open[0] in self._finished:
            self._finished.remove(self._open.popleft())

    @property
    def next_offset(self) -> int:
        """The next offset to be consumed."""
        return self._next

    @property
    def first_unfinished(self) -> int:
        """Everything below has its outcome: the offset to commit."""
        return self._open[0] if self._open else self._next

    @property
    def unfinished(self) -> int:
        """How many offsets came and have no outcome yet."""
        return len(self._open) - len(self._finished)
