"""A real jail with the real decoder, and good streams beside whatever is thrown at it."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import numpy as np
from msgspec.structs import asdict, replace
from support.media import make_cmaf, make_segment

from worker.errors import SegmentError
from worker.jail.pool import ATTEMPTS, Jail
from worker.jail.reply import ERRORS, REASON_MAX_BYTES
from worker.records import Ask, Media, Sample, StepCosts, View
from worker.settings import tree

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from worker.jail.events import JailEvent
    from worker.records import ContentType, Frame

MIB = 1024 * 1024
MAX_BYTES = 64 * MIB
KILL_SLACK_S = 0.1
"""So long after its deadline a decoder is gone, at the latest; what the tests' own machine adds is not counted."""
BUSY_S = 1.5
"""What a busy machine may add to each attempt in a test: forks, copies of 64 MiB, other processes' turns."""
BOUNDED = frozenset({*ERRORS, ("decode", "timeout")})
"""Every error that a segment may end with in the jail."""


def asking(content_type: ContentType | None = None, **changed: object) -> Ask:
    """What a worker with default settings and a classifier asks for."""
    jail, sampling = tree.Jail(), tree.Sampling()
    wanted = {
        "content_type": content_type,
        "interval_s": sampling.interval_s,
        "max_keyframes": sampling.max_keyframes,
        "view": View(height=32, width=32, fit="stretch"),
        "max_pixels": jail.max_pixels,
        "max_streams": jail.max_streams,
    }
    return Ask(**(wanted | changed))


class Arena:
    """A jail under attack. ``events`` is what it said of its processes."""

    def __init__(self, jail: Jail, events: list[JailEvent], deadline_s: float) -> None:
        self.jail = jail
        self.events = events
        self.deadline_s = deadline_s
        self.good = [Media(data=data, init=init, sha256="") for data, init in _good_segments()]
        self.known: list[Sample] = []

    async def learn(self) -> None:
        """See the good streams once, undisturbed."""
        self.known = [await self.jail.sample(media, asking()) for media in self.good]
        for sample in self.known:
            assert sample.frames
            assert not sample.damaged

    async def outcome(self, data: bytes, init: bytes | None = None, ask: Ask | None = None) -> Sample | SegmentError:
        """What becomes of a hostile segment, checked to be bounded and in time, with a good stream beside it."""
        started = time.monotonic()
        beside = asyncio.create_task(self.good_is_undisturbed(len(data) % len(self.good)))
        try:
            result: Sample | SegmentError = await self.jail.sample(
                Media(data=data, init=init, sha256=""), ask or asking()
            )
        except SegmentError as error:
            result = error
        took_s = time.monotonic() - started
        await beside
        assert took_s <= ATTEMPTS * (self.deadline_s + KILL_SLACK_S + BUSY_S), f"{took_s:.1f} s"
        assert mistakes(result) == []
        return result

    async def good_is_undisturbed(self, number: int) -> None:
        """A good stream gives what it gave when nothing else was there, to the bit."""
        sample = await self.jail.sample(self.good[number], asking())
        assert same(sample, self.known[number]), f"good stream {number} was disturbed"


@asynccontextmanager
async def an_arena(
    *, processes: int = 2, deadline_s: float = 3.0, memory_bytes: int = 1536 * MIB
) -> AsyncIterator[Arena]:
    """Open an arena for a block."""
    events: list[JailEvent] = []
    settings = tree.Jail(processes=processes, deadline_s=deadline_s, memory_bytes=memory_bytes)
    jail = await Jail.start(settings, max_bytes=MAX_BYTES, on_event=events.append)
    try:
        arena = Arena(jail, events, deadline_s)
        await arena.learn()
        yield arena
    finally:
        await jail.close()


def mistakes(result: Sample | SegmentError) -> list[str]:
    """What no outcome may be: an error that the contract does not know, a reason that is no short plain line."""
    if isinstance(result, Sample):
        return [] if len(result.frames) <= result.keyframes_seen else ["more frames than keyframes"]
    found = []
    if (result.stage, result.error) not in BOUNDED:
        found.append(f"unknown error {result.stage}/{result.error}")
    if not result.reason.isprintable() or not result.reason.isascii() or len(result.reason) > REASON_MAX_BYTES:
        found.append("a reason that is no short plain line")
    if "hostile" in result.reason or "was not valid" in result.reason:
        found.append(result.reason)
    return found


def named(result: Sample | SegmentError) -> str:
    """One word for an outcome: the error's name, or ``sample``, ``partial``, ``no_keyframe``, ``no_video``."""
    if isinstance(result, SegmentError):
        return result.error
    if not result.frames:
        return "no_keyframe" if result.codec else "no_video"
    return "partial" if result.damaged else "sample"


def same(one: Sample, other: Sample) -> bool:
    """Whether two samples are equal to the bit, but for what they cost."""
    plain = [asdict(replace(each, frames=(), costs=StepCosts())) for each in (one, other)]
    return (
        plain[0] == plain[1]
        and len(one.frames) == len(other.frames)
        and all(map(_same_frame, one.frames, other.frames))
    )


def _same_frame(one: Frame, other: Frame) -> bool:
    plain = [asdict(replace(each, picture=None)) for each in (one, other)]
    if one.picture is None or other.picture is None:
        return False
    return plain[0] == plain[1] and np.array_equal(one.picture, other.picture)


def _good_segments() -> list[tuple[bytes, bytes | None]]:
    init, fragments = make_cmaf(seconds=0.8, gop=10, width=160, height=96)
    return [
        (make_segment(seconds=0.4, gop=5, width=160, height=96), None),
        (make_segment(container="mp4", codec="hevc", seconds=0.4, width=160, height=96), None),
        (make_segment(container="webm", codec="vp9", seconds=0.4, width=160, height=96), None),
        (fragments[1], init),
    ]
