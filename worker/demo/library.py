"""All footage of a show, encoded once before it starts."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

from msgspec import Struct

from worker.demo import encode
from worker.demo.streams import CLIP_SEGMENTS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from worker.demo.streams import Stream

ENCODERS = 2
"""Threads that encode; PyAV and NumPy let each other run."""


class Library(Struct, frozen=True, kw_only=True):
    """MPEG-TS segments whose clock is at 0, but for the CMAF streams."""

    harmless: dict[str, tuple[bytes, ...]]
    """By stream."""
    card: tuple[bytes, ...]
    clip: tuple[bytes, ...]
    sound: bytes
    cmaf: dict[str, encode.Cmaf]
    """By stream."""


async def library(streams: Sequence[Stream], tell: Callable[[float], None]) -> Library:
    """Encode everything that is broadcast; ``tell`` is given the share that is done."""
    own = [stream for stream in streams if stream.kind not in ("audio", "cmaf")]
    jobs: list[Callable[[], bytes]] = [
        *(partial(encode.segment, encode.harmless(one.number), index) for one in own for index in range(encode.LOOP)),
        *(partial(encode.segment, encode.card, index) for index in range(encode.LOOP)),
        *(partial(encode.clip_segment, index) for index in range(CLIP_SEGMENTS)),
        encode.sound,
    ]
    made = await _all(jobs, tell)
    every = iter(made)
    return Library(
        harmless={one.stream_id: tuple(next(every) for _ in range(encode.LOOP)) for one in own},
        card=tuple(next(every) for _ in range(encode.LOOP)),
        clip=tuple(next(every) for _ in range(CLIP_SEGMENTS)),
        sound=next(every),
        cmaf={
            one.stream_id: await asyncio.to_thread(encode.cmaf, encode.harmless(one.number))
            for one in streams
            if one.kind == "cmaf"
        },
    )


async def _all(jobs: Sequence[Callable[[], bytes]], tell: Callable[[float], None]) -> list[bytes]:
    loop = asyncio.get_running_loop()
    pool = ThreadPoolExecutor(ENCODERS, "encode")
    try:
        running = [loop.run_in_executor(pool, job) for job in jobs]
        for done, one in enumerate(running, start=1):
            await one
            tell(done / len(jobs))
        return [one.result() for one in running]
    finally:
        # Who presses Ctrl-C waits for the pieces in work only.
        pool.shutdown(cancel_futures=True)
