"""``framewatch publish``: plays media into the segments topic."""

from __future__ import annotations

import asyncio
import signal
import time
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from worker.commands.terminal import safe
from worker.errors import UsageError
from worker.kafka.publisher import publisher
from worker.publishing.pieces import ClipSource, FolderSource
from worker.publishing.player import Pace, Played, play

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from worker.publishing.pieces import Source
    from worker.publishing.telling import Telling
    from worker.settings.tree import Settings


class LiveClock:
    """The real time, and a stop that somebody asks for."""

    def __init__(self) -> None:
        """Make it inside of a running loop."""
        self._stop = asyncio.Event()

    def now(self) -> datetime:
        """The wall clock, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()

    def stop(self) -> None:
        """End the play before its next segment."""
        self._stop.set()

    async def stopped_within(self, seconds: float) -> bool:
        """Wait so long, or until somebody asks to stop."""
        try:
            async with asyncio.timeout(seconds):
                await self._stop.wait()
        except TimeoutError:
            return False
        return True


def publish(
    settings: Settings, path: Path, telling: Telling, pace: Pace, *, segment_s: float, by_reference: bool
) -> Played:
    """Play a file or a folder into the segments topic, and say how it went.

    Raises:
        UsageError: A mistake in the arguments or in the media.
        Stopped: Kafka does not take it.
    """
    _check(telling, pace, segment_s)
    max_bytes = settings.kafka.max_message_bytes
    source: Source
    if path.is_dir():
        source = FolderSource(path, segment_s=segment_s, max_bytes=max_bytes, by_reference=by_reference)
    elif by_reference:
        raise UsageError("--by-reference takes a folder of segments: a file is cut, and its pieces lie nowhere")
    else:
        source = ClipSource(path, segment_s=segment_s, max_bytes=max_bytes)
    said = safe(f"{source.description} → {telling.topic}, stream {telling.stream_id}")
    Console(stderr=True).print(said, markup=False, highlight=False, soft_wrap=True)
    return asyncio.run(_play(settings, source, telling, pace))


def summary(played: Played, telling: Telling) -> str:
    """Return how it went, in a line."""
    if not played.segments:
        return f"{telling.stream_id}: nothing was published"
    behind = f", at worst {played.behind_s:.1f} s behind" if played.behind_s >= 1 else ""
    stopped = ", stopped" if played.stopped else ""
    return (
        f"{telling.stream_id}: {played.segments} segments, {played.media_s:.1f} s of media, "
        f"{played.bytes / 1e6:.1f} MB, all acknowledged (slowest {played.slowest_ack_s * 1000:.0f} ms){behind}{stopped}"
    )


def run_name(at: datetime) -> str:
    """Return what a run is called that nobody has named."""
    return at.strftime("%Y%m%dT%H%M%S.%fZ")


def _check(telling: Telling, pace: Pace, segment_s: float) -> None:
    if not pace.speed >= 0:
        raise UsageError("--speed is 0 (as fast as possible) or more")
    if not segment_s > 0:
        raise UsageError("--segment-seconds must be above 0")
    if not 0 <= pace.start_sequence < 2**53:
        raise UsageError("--start-sequence is a whole number from 0 to 9007199254740991")
    telling.check()


async def _play(settings: Settings, source: Source, telling: Telling, pace: Pace) -> Played:
    clock = LiveClock()
    async with publisher(settings.kafka, telling.topic) as to:
        with _interrupts(clock), _progress(source, pace) as on_progress:
            return await play(source, telling, pace, send=to.send, clock=clock, on_progress=on_progress)


@contextmanager
def _interrupts(clock: LiveClock) -> Iterator[None]:
    """The first Ctrl-C or SIGTERM stops the play, a second one the process."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)

    def stop() -> None:
        clock.stop()
        for number in numbers:
            loop.remove_signal_handler(number)

    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


@contextmanager
def _progress(source: Source, pace: Pace) -> Iterator[Callable[[Played], None]]:
    """A bar over the media's seconds on a terminal; elsewhere nothing."""
    console = Console(stderr=True)
    columns = (
        TextColumn("{task.fields[segments]} segments acknowledged"),
        BarColumn(),
        TextColumn("{task.completed:.0f} s of media"),
        TextColumn("{task.fields[mb]:.1f} MB"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("", total=None if pace.loop else source.total_s, segments=0, mb=0.0)
        yield lambda played: bar.update(task, completed=played.media_s, segments=played.segments, mb=played.bytes / 1e6)
