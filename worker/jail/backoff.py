"""How long to wait before trying again what keeps failing."""

from __future__ import annotations

import asyncio
from contextlib import suppress


class Backoff:
    """Nothing for the first ``free`` failures in a row, then doubling up to a limit; a success starts afresh."""

    def __init__(self, *, free: int, first_s: float = 0.05, most_s: float = 2.0) -> None:
        """Start without failures."""
        self._free = free
        self._first_s = first_s
        self._most_s = most_s
        self._failures = 0
        self._cleared = asyncio.Event()

    def failed(self) -> None:
        """Count a failure."""
        self._failures += 1

    def succeeded(self) -> None:
        """Forget the failures."""
        self._failures = 0
        self._cleared.set()

    async def wait(self) -> None:
        """Wait as long as the failures ask for; a success ends it."""
        self._cleared.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self.delay_s):
                await self._cleared.wait()

    @property
    def delay_s(self) -> float:
        """Seconds to wait now."""
        over = self._failures - self._free
        return min(self._most_s, self._first_s * 2.0 ** min(over - 1, 32)) if over > 0 else 0.0
