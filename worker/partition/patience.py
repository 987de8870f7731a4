"""Waits with what is held, and knows what it is held by."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from worker.errors import Held

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.conclude import Conclusion
    from worker.partition.observer import Observer

FIRST_S = 0.5
MOST_S = 30.0


class Patience:
    """A partition's: an event that is held is tried again, for as long as it takes."""

    def __init__(self, observer: Observer, pause: Callable[[float], Awaitable[None]]) -> None:
        """``pause`` waits so many seconds before the next try."""
        self._observer = observer
        self._pause = pause
        self._held: Counter[str] = Counter()

    @property
    def held(self) -> str | None:
        """Why some event is held, in one line; None when none is."""
        return next(iter(self._held), None)

    async def conclusion(self, attempt: Callable[[], Awaitable[Conclusion]]) -> Conclusion:
        """Return what an event leads to, once it is not held any more; the waits grow."""
        backoff_s = FIRST_S
        while True:
            try:
                return await attempt()
            except Held as held:
                await self._hold(str(held), backoff_s)
                backoff_s = min(MOST_S, backoff_s * 2)

    async def _hold(self, why: str, seconds: float) -> None:
        self._held[why] += 1
        try:
            self._observer.held(why)
            await self._pause(seconds)
        finally:
            self._held[why] -= 1
            self._held += Counter()  # drops what fell to zero
