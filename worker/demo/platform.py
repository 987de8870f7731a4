"""The make-believe platform: a dozen streams go on air and publish their segments in real time."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from msgspec.structs import replace

from worker.demo import encode
from worker.demo.ledger import Published
from worker.demo.streams import CLIP_SEGMENTS, SEGMENT_S, Piece, piece
from worker.errors import Stopped
from worker.records import EventId, Initialisation, Message, Position, Reference, Segment, StreamEnd
from worker.wire import write

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from worker.demo.ledger import Ledger
    from worker.demo.streams import Story, Stream
    from worker.records import ContentType

ENCODERS = 2
"""Threads that encode before the show; PyAV and NumPy let each other run."""
CLOCK_FROM_S = 10.0
"""Where the streams' own clocks start: a packager's rarely starts at 0."""
SOURCE = "demo-platform"
_NOWHERE = Position(topic="", partition=0, offset=0, timestamp_ms=0)
_TYPES: dict[str, ContentType] = {"cmaf": "video/iso.segment"}


class To(Protocol):
    """Where messages go (``worker.kafka.publisher.Publisher``)."""

    async def send(self, message: Message) -> None:
        """Return when the broker has the message."""


class Library(Struct, frozen=True, kw_only=True):
    """All footage, encoded once: MPEG-TS whose clock is at 0, but for the CMAF streams."""

    harmless: dict[str, tuple[bytes, ...]]
    """By stream."""
    card: tuple[bytes, ...]
    clip: tuple[bytes, ...]
    sound: bytes
    cmaf: dict[str, encode.Cmaf]
    """By stream."""


async def library(streams: Sequence[Stream], tell: Callable[[int, int], None]) -> Library:
    """Encode everything that is broadcast. ``tell`` is given how many pieces are done, and of how many."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(ENCODERS, "encode") as pool:
        jobs: list[asyncio.Future[object]] = []

        def job[T](make: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
            future = loop.run_in_executor(pool, make, *arguments)
            jobs.append(future)  # type: ignore[arg-type] # only counted
            future.add_done_callback(lambda _: tell(sum(one.done() for one in jobs), len(jobs)))
            return future

        raise NotImplementedError
