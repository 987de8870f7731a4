"""Children that wait for work, and work that waits for a child: first come, first served."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from worker.jail.nursery import Child


class _Waiter:
    def __init__(self, *, fresh: bool) -> None:
        self.fresh = fresh
        self.child: asyncio.Future[Child] = asyncio.get_running_loop().create_future()


class Ready:
    """Takes the most worn child first, so that one that never served stays in reserve."""

    def __init__(self) -> None:
        """Start with nobody."""
        self._children: list[Child] = []
        self._waiters: deque[_Waiter] = deque()

    def put(self, child: Child) -> None:
        """Let a child work: for who waits longest, else for who comes next."""
        for waiter in self._waiters:
            if not waiter.child.done() and (child.served == 0 or not waiter.fresh):
                waiter.child.set_result(child)
                return
        self._children.append(child)

    async def take(self, *, fresh: bool) -> Child:
        """Return a child; with ``fresh`` one that has not served yet. Waits until there is one."""
        fit = [child for child in self._children if child.served == 0 or not fresh]
        if fit:
            child = max(fit, key=lambda each: each.served)
            self._children.remove(child)
            return child
        waiter = _Waiter(fresh=fresh)
        self._waiters.append(waiter)
        try:
            return await waiter.child
        except asyncio.CancelledError:
            if waiter.child.done() and not waiter.child.cancelled() and waiter.child.exception() is None:
                self.put(waiter.child.result())
            raise
        finally:
            self._waiters.remove(waiter)

    def remove(self, child: Child) -> bool:
        """Forget a child; True where it was waiting here."""
        if child not in self._children:
            return False
        self._children.remove(child)
        return True

    def fail(self, error: Exception) -> None:
        """Let everybody who waits raise ``error``."""
        for waiter in self._waiters:
            if not waiter.child.done():
                waiter.child.set_exception(error)
