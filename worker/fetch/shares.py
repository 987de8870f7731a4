"""How many fetched bytes are in work at once: each place that claim checks point to has an equal share of them.

A share of its own, so that a store that hangs fills nobody's but its own.
"""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Share:
    """One place's bytes. Whoever comes first is let in first."""

    def __init__(self, max_bytes: int) -> None:
        """At most ``max_bytes`` are held at once, or one object that is larger."""
        self._max_bytes = max_bytes
        self._held_bytes = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @property
    def held_bytes(self) -> int:
        """Bytes held now."""
        return self._held_bytes

    async def hold(self, size_bytes: int) -> Hold:
        """Wait until so many bytes have room, and take it."""
        if self._waiting or not self._fits(size_bytes):
            await self._wait(size_bytes)
        else:
            self._held_bytes += size_bytes
        return Hold(self, size_bytes)

    def give_back(self, size_bytes: int) -> None:
        """Make room, and let in who waits for it."""
        self._held_bytes -= size_bytes
        self._let_in()

    async def _wait(self, size_bytes: int) -> None:
        turn = (size_bytes, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        try:
            await turn[1]
        except asyncio.CancelledError:
            if turn in self._waiting:
                self._waiting.remove(turn)
                self._let_in()
            else:  # it was let in, and nobody is there to take it
                self.give_back(size_bytes)
            raise

    def _let_in(self) -> None:
        while self._waiting and self._fits(self._waiting[0][0]):
            size_bytes, turn = self._waiting.popleft()
            self._held_bytes += size_bytes
            turn.set_result(None)

    def _fits(self, size_bytes: int) -> bool:
        return not self._held_bytes or self._held_bytes + size_bytes <= self._max_bytes


class Hold:
    """Bytes held of a share."""

    def __init__(self, share: Share, size_bytes: int) -> None:
        """``size_bytes`` were taken of the share."""
        self._share = share
        self._size_bytes = size_bytes

    def shrink(self, size_bytes: int) -> None:
        """Keep only what is needed, once that is known."""
        spare = self._size_bytes - size_bytes
        self._size_bytes = size_bytes
        self._share.give_back(spare)

    @contextmanager
    def until_done(self) -> Iterator[None]:
        """Give it all back at the end, however that comes."""
        try:
            yield
        finally:
            self.shrink(0)
