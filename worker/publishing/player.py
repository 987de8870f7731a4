"""Keeps the pace: each segment leaves when a live packager would have finished it.

One at a time: each is acknowledged before the next.
"""

from __future__ import annotations

import asyncio
import itertools
from contextlib import closing
from datetime import timedelta
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from msgspec.structs import replace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable
    from datetime import datetime

    from worker.publishing.pieces import Piece, Source
    from worker.publishing.telling import Telling
    from worker.records import Message


class Clock(Protocol):
    """Time, and whether somebody wants to stop."""

    def now(self) -> datetime:
        """The wall clock, in UTC."""

    def monotonic(self) -> float:
        """Seconds since some moment; never goes back."""

    async def stopped_within(self, seconds: float) -> bool:
        """Wait so long; True, and at once, when it is time to stop."""


class Pace(Struct, frozen=True, kw_only=True):
    """How the source is played."""

    speed: float = 1.0
    """1.0 is real time, 0 as fast as acknowledgements come."""
    loop: bool = False
    start_sequence: int = 0
    end: bool = True
    """Say at the end that the stream is over."""


class Played(Struct, frozen=True, kw_only=True):
    """What has been published so far, all of it acknowledged."""

    segments: int = 0
    media_s: float = 0.0
    bytes: int = 0
    """Of media; with claim checks what they point to."""
    rounds: int = 0
    """How often the source was played to its end."""
    slowest_ack_s: float = 0.0
    behind_s: float = 0.0
    """How much later than it should have, a segment left at worst."""
    stopped: bool = False


async def play(
    source: Source,
    telling: Telling,
    pace: Pace,
    *,
    send: Callable[[Message], Awaitable[None]],
    clock: Clock,
    on_progress: Callable[[Played], None],
) -> Played:
    """Play a source until it ends or the clock says stop.

    Args:
        source: What is played. A second round's first segment is marked as a discontinuity.
        telling: What is said of the stream.
        pace: How fast, how often, from which sequence on.
        send: Returns when the broker has the message; what it raises ends the play.
        clock: Time, injected.
        on_progress: Told after each acknowledged segment.

    Raises:
        UsageError: The source can't be read on.
    """
    player = _Player(telling, pace, send, clock, on_progress)
    if source.init is not None:
        await send(telling.init(source.init))
    await player.rounds(source)
    if pace.end and player.played.segments:
        await send(telling.end())
    return player.played


class _Player:
    def __init__(
        self,
        telling: Telling,
        pace: Pace,
        send: Callable[[Message], Awaitable[None]],
        clock: Clock,
        on_progress: Callable[[Played], None],
    ) -> None:
        self.played = Played()
        self._telling = telling
        self._pace = pace
        self._send = send
        self._clock = clock
        self._on_progress = on_progress
        self._started_at = clock.now()
        self._started = clock.monotonic()
        self._lead_s = 0.0
        """The first segment's duration: it is taken to be finished at the start, so that something happens at once."""

    async def rounds(self, source: Source) -> None:
        """Play the source once, or until stopped."""
        for _ in itertools.count():
            began_s = self.played.media_s
            await self._round(source, began_s)
            if self.played.stopped:
                return
            self.played = replace(self.played, rounds=self.played.rounds + 1)
            if not self._pace.loop:
                return

    async def _round(self, source: Source, began_s: float) -> None:
        first = True
        with closing(source.pieces()) as pieces:
            # Reading and cutting take their time: in a thread, so that the producer can go on meanwhile.
            while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
                if not self.played.segments:
                    self._lead_s = piece.duration_s
                media_time_s = began_s + piece.media_time_s
                if await self._stopped_before(media_time_s + piece.duration_s):
                    self.played = replace(self.played, stopped=True)
                    return
                await self._publish(piece, media_time_s, discontinuity=first and began_s > 0)
                first = False

    async def _stopped_before(self, ends_s: float) -> bool:
        """Wait until a segment that ends at this media time is due."""
        if not self._pace.speed:
            return await self._clock.stopped_within(0)
        wait_s = self._started + self._due_after_s(ends_s) - self._clock.monotonic()
        self.played = replace(self.played, behind_s=max(self.played.behind_s, -wait_s))
        return await self._clock.stopped_within(max(0.0, wait_s))

    def _due_after_s(self, ends_s: float) -> float:
        return (ends_s - self._lead_s) / self._pace.speed

    async def _publish(self, piece: Piece, media_time_s: float, *, discontinuity: bool) -> None:
        message = self._telling.segment(
            piece,
            sequence=self._pace.start_sequence + self.played.segments,
            captured_at=self._captured_at(piece, media_time_s),
            media_time_s=media_time_s,
            discontinuity=discontinuity,
        )
        began = self._clock.monotonic()
        await self._send(message)
        took_s = self._clock.monotonic() - began
        self.played = replace(
            self.played,
            segments=self.played.segments + 1,
            media_s=media_time_s + piece.duration_s,
            bytes=self.played.bytes + piece.size_bytes,
            slowest_ack_s=max(self.played.slowest_ack_s, took_s),
        )
        self._on_progress(self.played)

    def _captured_at(self, piece: Piece, media_time_s: float) -> datetime:
        """When a camera would have seen its first frame, had it been live: its length before it was due."""
        if not self._pace.speed:
            return self._clock.now() - timedelta(seconds=piece.duration_s)
        return self._started_at + timedelta(seconds=self._due_after_s(media_time_s))
