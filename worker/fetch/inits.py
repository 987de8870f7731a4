"""Initialisation segments: one serves many media segments, so it is kept for a while."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from worker.records import Reference

MOST_KEPT = 64
UNPINNED_LASTS_S = 30.0
"""How long one serves that no digest, etag or version pins: its object may be replaced under the same name."""


class Inits:
    """A bounded memory, least recently used first out. Those who ask for the same at once wait for one fetch."""

    def __init__(
        self, fetch: Callable[[Reference], Coroutine[None, None, bytes]], monotonic: Callable[[], float]
    ) -> None:
        """``fetch`` gets what is not there; its errors are passed on and not kept."""
        self._fetch = fetch
        self._monotonic = monotonic
        self._kept: OrderedDict[Reference, tuple[bytes, float]] = OrderedDict()
        self._coming: dict[Reference, asyncio.Task[bytes]] = {}

    async def get(self, reference: Reference) -> bytes:
        """Return the bytes, from memory where they are there. Whoever gives up waiting stops nobody else."""
        known = self._fresh(reference)
        if known is not None:
            return known
        if reference not in self._coming:
            self._coming[reference] = asyncio.create_task(self._load(reference), name="fetch an initialisation")
        return await asyncio.shield(self._coming[reference])

    def close(self) -> None:
        """Stop what is still being fetched."""
        for task in self._coming.values():
            task.cancel()

    def _fresh(self, reference: Reference) -> bytes | None:
        if reference not in self._kept:
            return None
        data, at_s = self._kept[reference]
        if not _is_pinned(reference) and self._monotonic() - at_s >= UNPINNED_LASTS_S:
            del self._kept[reference]
            return None
        self._kept.move_to_end(reference)
        return data

    async def _load(self, reference: Reference) -> bytes:
        at_s = self._monotonic()
        try:
            data = await self._fetch(reference)
        finally:
            del self._coming[reference]
        self._kept[reference] = data, at_s
        while len(self._kept) > MOST_KEPT:
            self._kept.popitem(last=False)
        return data


def _is_pinned(reference: Reference) -> bool:
    return reference.sha256 is not None or reference.etag is not None or reference.version is not None
