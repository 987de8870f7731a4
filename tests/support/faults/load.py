"""Segments of many streams, published in order per stream: some show what opens incidents, some of those end."""

from __future__ import annotations

import asyncio
import random
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from support import media
from support.cards import card, harmless

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable

    from support.deployment import Deployment

    from worker.records import Message

WIDTH, HEIGHT = 160, 90
RISKY_EVERY = 3
"""Every so manieth stream is risky;"""
ENDING_EVERY = 6
"""of those every second one for a while only: then it ends, which closes its incident, and starts again harmless."""
SPELL = 4
"""Segments for which such a stream is risky, and then harmless."""
UNACKNOWLEDGED = 500
"""Segments on their way to the broker at most."""


def quiet(seed: int = 1) -> bytes:
    """A second of video with nothing in it; the same bytes for the same seed."""
    return media.make_segment(width=WIDTH, height=HEIGHT, seconds=1.0, picture=lambda _: harmless(HEIGHT, WIDTH, seed))


def risky() -> bytes:
    """A second of the demo model's test card."""
    return media.make_segment(width=WIDTH, height=HEIGHT, seconds=1.0, picture=lambda _: card(HEIGHT, WIDTH))


class Load:
    """A publisher of segments, the same for the same seed.

    Args:
        deployment: Where to.
        streams: How many; they take turns, so that all partitions have work.
        seed: Which harmless pictures, and in which order the streams take their turns.
        prefix: How the streams' names begin; loads beside each other need different ones.
    """

    def __init__(self, deployment: Deployment, *, streams: int = 60, seed: int = 1, prefix: str = "s") -> None:
        chance = random.Random(seed)  # noqa: S311 - no secret
        self._deployment = deployment
        self._numbers = list(range(streams))
        chance.shuffle(self._numbers)
        self._prefix = prefix
        self._quiet = [quiet(chance.randrange(1000)) for _ in range(4)]
        self._risky = risky()
        self._given = 0
        self._on_their_way: set[asyncio.Future[object]] = set()
        self.published = 0
        """Segments that the broker has acknowledged."""

    async def publish(self, segments: int) -> None:
        """Publish so many more, and return when all are acknowledged."""
        for _ in range(segments):
            await self._next()
        await self._acknowledged()

    @asynccontextmanager
    async def running(self, *, per_second: float) -> AsyncIterator[None]:
        """Publish at a rate for as long as the context lasts; on leaving, all that was published is acknowledged."""
        stop = asyncio.Event()
        publishing = asyncio.create_task(self._go_on(per_second, stop))
        try:
            yield
        finally:
            stop.set()
            await publishing
            await self._acknowledged()

    async def _go_on(self, per_second: float, stop: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        due = loop.time()
        while not stop.is_set():
            await self._next()
            due += 1 / per_second
            if (early_s := due - loop.time()) > 0:
                await asyncio.sleep(early_s)

    async def _next(self) -> None:
        """Hand one segment to the producer, and the stream's end where it ends before."""
        sequence, turn = divmod(self._given, len(self._numbers))
        number = self._numbers[turn]
        stream = f"{self._prefix}{number}"
        spell, within = divmod(sequence, SPELL)
        if number % ENDING_EVERY == RISKY_EVERY and spell % 2 and not within:
            await self._send(self._deployment.end(stream))
        payload = self._risky if self._is_risky(number, spell) else self._quiet[number % len(self._quiet)]
        self._given += 1
        acknowledged = await self._send(self._deployment.segment(stream, payload, sequence=sequence))
        acknowledged.add_done_callback(self._count)

    @staticmethod
    def _is_risky(number: int, spell: int) -> bool:
        return number % RISKY_EVERY == 0 and (number % ENDING_EVERY == 0 or spell % 2 == 0)

    def _count(self, acknowledged: asyncio.Future[object]) -> None:
        if not acknowledged.cancelled() and acknowledged.exception() is None:
            self.published += 1

    async def _send(self, message: Message) -> asyncio.Future[object]:
        while len(self._on_their_way) >= UNACKNOWLEDGED:
            await asyncio.wait(self._on_their_way, return_when=asyncio.FIRST_COMPLETED)
            self._forget_the_acknowledged()
        sending: Awaitable[asyncio.Future[object]] = self._deployment._producer.send(
            message.topic, message.value, key=message.key, headers=list(message.headers)
        )
        acknowledged = await sending
        self._on_their_way.add(acknowledged)
        return acknowledged

    def _forget_the_acknowledged(self) -> None:
        """Raises what a send failed of."""
        for done in [one for one in self._on_their_way if one.done()]:
            self._on_their_way.discard(done)
            done.result()

    async def _acknowledged(self) -> None:
        if self._on_their_way:
            await asyncio.wait(self._on_their_way)
        self._forget_the_acknowledged()
