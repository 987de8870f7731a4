"""The largest value of the last few minutes, so that what lasted between two looks is seen. Pure but for the clock."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW_S = 300.0


class Peak:
    """Remembers two windows, the present one and the one before: what it tells is 5 to 10 minutes old at most."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """``monotonic`` gives seconds."""
        self._monotonic = monotonic
        self._began_s = monotonic()
        self._now = 0.0
        self._before = 0.0

    def note(self, value: float) -> None:
        """Note a value, not negative."""
        self._turn()
        self._now = max(self._now, value)

    def value(self) -> float:
        """Return the largest value noted lately, 0 where there was none."""
        self._turn()
        return max(self._now, self._before)

    def _turn(self) -> None:
        passed = (self._monotonic() - self._began_s) // WINDOW_S
        if passed >= 1:
            self._before = self._now if passed == 1 else 0.0
            self._now = 0.0
            self._began_s += passed * WINDOW_S
