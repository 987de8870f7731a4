"""A segment from bytes to hash and model input: its floor, in this process, and in the jail; and how bytes get here.

Milliseconds of this thread's CPU, or of this process where threads and loops help. Everything that is held against
something else is measured with it in one run, in turns.
"""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter, process_time, thread_time
from typing import TYPE_CHECKING

from benchmarks.figures import interleaved
from benchmarks.floor import Idr
from worker.examine import examine
from worker.fetch import Fetcher
from worker.jail.pool import Jail
from worker.records import Ask, Media, Reference
from worker.settings import tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from benchmarks.clips import Clip
    from benchmarks.figures import Measure
    from worker.records import Sample, View

SETTINGS = tree.Settings(topics=tree.Topics(assessments="assessments"))


def cpu(name: str, work: Callable[[], object]) -> Measure:
    """Measure milliseconds of this thread's CPU."""

    def measure() -> dict[str, float]:
        started = thread_time()
        work()
        return {name: (thread_time() - started) * 1000}

    return measure


def asking(clip: Clip, view: View | None) -> Ask:
    """What a worker with default settings asks of its decoders."""
    return Ask(
        content_type=clip.content_type,
        interval_s=SETTINGS.sampling.interval_s,
        max_keyframes=SETTINGS.sampling.max_keyframes,
        view=view,
        max_pixels=SETTINGS.jail.max_pixels,
        max_streams=SETTINGS.jail.max_streams,
    )


def media(clip: Clip) -> Media:
    """The segment as a decoder gets it."""
    return Media(data=clip.data, init=clip.init, sha256=hashlib.sha256(clip.data).hexdigest())


class Jailed:
    """A jail with one decoder, and an event loop to ask it in."""

    def __init__(self, runner: asyncio.Runner, jail: Jail) -> None:
        self._runner = runner
        self._jail = jail

    def sample(self, asked: Media, ask: Ask) -> Sample:
        """What the jail finds in a segment."""
        return self._runner.run(self._jail.sample(asked, ask))

    def timed(self, asked: Media, ask: Ask) -> dict[str, float]:
        """Milliseconds by the clock, and of CPU in this process; the loop's own start is no part of the hot path."""

        async def once() -> dict[str, float]:
            wall, started = perf_counter(), process_time()
            await self._jail.sample(asked, ask)
            took_s, wall_s = process_time() - started, perf_counter() - wall
            return {"jail_parent": took_s * 1000, "jail_wall": wall_s * 1000}

        return self._runner.run(once())


@contextmanager
def jailed() -> Iterator[Jailed]:
    """Start a jail; end it with the block."""
    with asyncio.Runner() as runner:
        one = tree.Jail(processes=1)
        jail = runner.run(Jail.start(one, max_bytes=SETTINGS.kafka.max_message_bytes, on_event=lambda _: None))
        try:
            yield Jailed(runner, jail)
        finally:
            runner.run(jail.close())


def decoding(clip: Clip, view: View, jail: Jailed, rounds: int) -> dict[str, list[float]]:
    """Measure one segment from bytes to hash and model input: its floor, in this process, and in the jail.

    Returns:
        By name: ``idr`` (the floor), ``examine`` with its steps ``open``, ``decode``, ``hash``, ``resize``,
        ``examine_wall``, ``sha256``, ``jail_wall``, ``jail_parent`` (CPU that the jail costs on this side), ``fetch``
        (a claim check of it, digest included).
    """
    ask, asked = asking(clip, view), media(clip)

    def in_process() -> dict[str, float]:
        wall, started = perf_counter(), thread_time()
        costs = examine(clip.data, clip.init, ask).costs
        took_s, wall_s = thread_time() - started, perf_counter() - wall
        steps_s = {"open": costs.open_s, "decode": costs.decode_s, "hash": costs.hash_s, "resize": costs.resize_s}
        return {name: s * 1000 for name, s in {"examine": took_s, "examine_wall": wall_s, **steps_s}.items()}

    digest = cpu("sha256", lambda: hashlib.sha256(clip.data).hexdigest())
    with closing(Idr(clip)) as idr, TemporaryDirectory() as folder, closing(Redeemed(clip, Path(folder))) as redeemed:
        measures = [cpu("idr", idr.decode), in_process, lambda: jail.timed(asked, ask), digest, redeemed.timed]
        interleaved(measures, 1)  # what is made on first use is no part of the hot path
        return interleaved(measures, rounds)


class Redeemed:
    """The same segment as a claim check: a file below an allowed folder, and an event loop to fetch it in."""

    def __init__(self, clip: Clip, folder: Path) -> None:
        folder = folder.resolve()
        (folder / "segment").write_bytes(clip.data)
        self._runner = asyncio.Runner()
        self._fetcher = self._runner.run(self._open(folder))
        digest = hashlib.sha256(clip.data).hexdigest()
        self._reference = Reference(uri=f"file://{folder}/segment", sha256=digest, size_bytes=len(clip.data))

    def timed(self) -> dict[str, float]:
        """Milliseconds of CPU of this process, its digest included; the loop's own start is no part of the way."""
        return self._runner.run(self._once())

    def close(self) -> None:
        """End threads and loop."""
        self._runner.run(self._fetcher.close())
        self._runner.close()

    async def _once(self) -> dict[str, float]:
        started = process_time()
        async with self._fetcher.fetched(self._reference, max_bytes=SETTINGS.fetch.max_bytes):
            return {"fetch": (process_time() - started) * 1000}

    @staticmethod
    async def _open(folder: Path) -> Fetcher:
        return Fetcher(tree.Fetch(roots=(f"file://{folder}/",)))
