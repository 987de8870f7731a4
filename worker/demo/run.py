"""``framewatch demo``: joins broker, worker, platform, audience and screen; ends with a summary and a verdict."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from contextlib import AsyncExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import Struct
from rich.console import Console
from rich.live import Live
from rich.text import Text

from worker.commands.terminal import quiet_clients
from worker.demo import show
from worker.demo.audience import Audience
from worker.demo.ledger import Ledger
from worker.demo.library import library
from worker.demo.platform import Platform
from worker.demo.processes import WorkerProcess, worker_process
from worker.demo.stage import PARTITIONS, open_broker, topic_names, worker_settings, write_list
from worker.demo.streams import STREAMS_AT_LEAST, cast, story
from worker.demo.summary import Speed, summarise
from worker.errors import Stopped, UsageError
from worker.kafka.publisher import publisher
from worker.settings.load import Loaded
from worker.settings.show import as_toml
from worker.settings.tree import Settings, Topics

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence

    from rich.console import RenderableType

T = TypeVar("T")

MOST_STREAMS = 100
SHORTEST_S = 10.0
DRAIN_S = 20.0
"""How long the outcomes of the last segments are waited for."""
FRAMES_PER_S = 4
SETTLE_TICKS = 4
INTERRUPTED = 130
PLAIN_EVERY_S = 5.0
LINES_WIDTH = 120
"""Of what is written where no terminal is."""


class Options(Struct, frozen=True, kw_only=True):
    """What a person may choose."""

    seconds: float = 60.0
    streams: int = 12
    keep: bool = False
    svg: Path | None = None

    def check(self) -> None:
        """Raise UsageError unless it can be played."""
        wrong = []
        if not SHORTEST_S <= self.seconds <= 86_400:  # noqa: PLR2004 - a day
            wrong.append(f"--seconds is from {SHORTEST_S:.0f} to 86400")
        if not STREAMS_AT_LEAST <= self.streams <= MOST_STREAMS:
            wrong.append(f"--streams is from {STREAMS_AT_LEAST} to {MOST_STREAMS}")
        if wrong:
            raise UsageError("\n".join(wrong))


def demo(options: Options) -> int:
    """Play the show, and return the exit status: 0 when all was as expected, 1 when not, 130 when it never began.

    Raises:
        UsageError: A mistake in the options.
        Stopped: Broker or worker does not start, or has ended by itself.
    """
    options.check()
    quiet_clients()
    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=LINES_WIDTH)
    return asyncio.run(Show(options, console).play())


class Interrupted(Exception):
    """Somebody pressed Ctrl-C before there was anything to sum up."""


class Stage(Struct, frozen=True, kw_only=True):
    """Where the show takes place."""

    broker: str
    """In words."""
    settings: Settings
    folder: Path
    worker: WorkerProcess


class Show:
    """One run of the demo."""

    def __init__(self, options: Options, console: Console) -> None:
        """Nothing is started before ``play``."""
        self._options = options
        self._console = console
        self._streams = cast(options.streams)
        self._ledger = Ledger()
        self._stop = asyncio.Event()
        self._phase = "starting"
        self._began_s: float | None = None
        self._told = 0
        self._folder: Path | None = None

    async def play(self) -> int:
        """Play it, whatever happens; see ``demo``."""
        playing = asyncio.current_task()
        if playing is None:
            raise RuntimeError("a show is played in a task")
        with _interrupts(self._stop, playing):
            try:
                return await self._play()
            except BaseExceptionGroup as group:
                raise _first(group) from None
            except Stopped:
                if self._folder is not None:
                    with suppress(OSError):  # unless it holds a log that tells why
                        self._folder.rmdir()
                raise
            except (Interrupted, asyncio.CancelledError):
                self._console.print("stopped before there was anything to sum up")
                if self._folder is not None:
                    shutil.rmtree(self._folder, ignore_errors=True)
                return INTERRUPTED

    async def _play(self) -> int:
        folder = self._folder = Path(tempfile.mkdtemp(prefix="framewatch-demo-"))
        async with AsyncExitStack() as closing:
            broker, base = await self._unless_stopped(open_broker(closing, topic_names()))
            settings = worker_settings(base, folder)
            with self._console.status("encoding a dozen streams, starting the worker") as status:
                hashes = await self._unless_stopped(asyncio.to_thread(write_list, folder / "list"))
                (folder / "worker.toml").write_text(as_toml(Loaded(settings=settings, origins={})))
                worker = await closing.enter_async_context(
                    worker_process(folder / "worker.toml", folder / "worker.log", settings.web.port)
                )
                footage = await self._unless_stopped(
                    library(
                        self._streams, lambda done: status.update(f"encoding {len(self._streams)} streams: {done:.0%}")
                    )
                )
                status.update("waiting for the worker")
                await self._unless_stopped(worker.works(PARTITIONS))
            stage = Stage(broker=broker, settings=settings, folder=folder, worker=worker)
            self._announce(stage, hashes)
            platform = Platform(
                self._streams,
                story(self._options.seconds),
                footage,
                self._ledger,
                topic=settings.topics.segments,
                folder=folder / "media",
            )
            speed = await self._watched(stage, platform)
            status_of_worker = await worker.end()
        return self._sum_up(stage, speed, status_of_worker)

    async def _unless_stopped(self, work: Coroutine[Any, Any, T]) -> T:
        """Do something unless somebody stops the show meanwhile."""
        doing = asyncio.ensure_future(work)
        stopping = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({doing, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if doing.done():
                return doing.result()
            raise Interrupted
        finally:
            for one in (doing, stopping):
                one.cancel()
            await asyncio.wait({doing, stopping})

    def _announce(self, stage: Stage, hashes: int) -> None:
        guarantee = stage.settings.kafka.guarantee
        why = " (it takes transactions without keeping them)" if guarantee == "at_least_once" else ""
        lines = (
            f"{stage.broker}, {guarantee}{why}",
            f"worker: framewatch run --config {stage.folder / 'worker.toml'}",
            f"its log {stage.folder / 'worker.log'}, its metrics {stage.worker.metrics}",
            f"its console http://127.0.0.1:{stage.settings.web.port}/",
            f"it looks for {hashes} frames of one harmless clip (a hash list) and for one test card (models/demo)",
        )
        for line in lines:
            self._console.print(Text(line, style="dim"), soft_wrap=True)

    # --- while it runs ---

    async def _watched(self, stage: Stage, platform: Platform) -> Speed | None:
        """Broadcast, read and show until the last outcome is there."""
        loop = asyncio.get_running_loop()
        off_air = asyncio.Event()
        async with publisher(stage.settings.kafka, stage.settings.topics.segments) as to:
            watching = [
                asyncio.ensure_future(Audience(stage.settings, self._ledger).read()),
                asyncio.ensure_future(stage.worker.ended()),
            ]
            before_s, self._began_s = stage.worker.cpu_s(), loop.time()
            broadcast = asyncio.ensure_future(platform.broadcast(to, off_air))
            try:
                with self._screen(stage) as refresh:
                    self._phase = "on air"
                    while not broadcast.done() and not self._over(loop.time()):
                        await _tick(watching, refresh)
                    off_air.set()
                    self._phase = "waiting for the last outcomes"
                    await broadcast
                    await self._drain(watching, refresh)
                    after_s, took_s = stage.worker.cpu_s(), loop.time() - self._began_s
                    self._phase = "over"
                    refresh()
            finally:
                for task in (*watching, broadcast):
                    task.cancel()
                await asyncio.wait({*watching, broadcast})
        if before_s is None or after_s is None:
            return None
        return Speed(segments=len(self._ledger.fates), cpu_s=after_s - before_s, wall_s=took_s)

    def _over(self, at_s: float) -> bool:
        began_s = self._began_s or at_s
        return self._stop.is_set() or (not self._options.keep and at_s - began_s >= self._options.seconds)

    async def _drain(self, watching: Sequence[asyncio.Future[None]], refresh: Callable[[], None]) -> None:
        """Wait for the outcomes of what was published, then a little for incidents that nobody expects."""
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_S):
                while self._ledger.outstanding or self._ledger.refused > len(self._ledger.letters):
                    await _tick(watching, refresh)
        for _ in range(SETTLE_TICKS):
            await _tick(watching, refresh)

    @contextmanager
    def _screen(self, stage: Stage) -> Iterator[Callable[[], None]]:
        """Give what shows how it stands now: a living table on a terminal, lines elsewhere."""
        if not self._console.is_terminal:
            yield self._lines(stage)
            return
        with Live(console=self._console, auto_refresh=False, vertical_overflow="crop") as live:
            yield lambda: live.update(self._frame(stage, *self._console.size), refresh=True)

    def _frame(self, stage: Stage, width: int, height: int) -> RenderableType:
        return show.screen(self._ledger, self._streams, self._moment(stage), width=width, height=height)

    def _lines(self, stage: Stage) -> Callable[[], None]:
        due_s = 0.0

        def refresh() -> None:
            nonlocal due_s
            moment = self._moment(stage)
            for one in self._ledger.escalations[self._told :]:
                self._console.print(Text(show.news(one)), soft_wrap=True)
            self._told = len(self._ledger.escalations)
            if moment.elapsed_s >= due_s or self._phase == "over":
                due_s = moment.elapsed_s + PLAIN_EVERY_S
                self._console.print(Text(show.plain(self._ledger, self._streams, moment)), soft_wrap=True)

        return refresh

    def _moment(self, stage: Stage) -> show.Moment:
        at_s = asyncio.get_running_loop().time()
        return show.Moment(
            at_s=at_s,
            elapsed_s=at_s - (self._began_s or at_s),
            seconds=None if self._options.keep else self._options.seconds,
            broker=stage.broker.partition(" at ")[0],
            guarantee=stage.settings.kafka.guarantee,
            phase=self._phase,
        )

    # --- at the end ---

    def _sum_up(self, stage: Stage, speed: Speed | None, status_of_worker: int) -> int:
        ended = [] if status_of_worker == 0 else [f"the worker ended with status {status_of_worker} when asked to end"]
        summary = summarise(self._ledger, self._streams, speed, also=ended)
        view = show.summary_view(summary, closing_words(stage.settings, well=not summary.problems, folder=stage.folder))
        self._console.print(view)
        if self._options.svg is not None:
            show.save_svg(self._options.svg, self._frame(stage, *show.SVG_SIZE))
        if summary.problems:
            return 1
        shutil.rmtree(stage.folder, ignore_errors=True)
        return 0


def closing_words(settings: Settings, *, well: bool, folder: Path) -> list[str]:
    """Return what to do next, in lines; those that are commands are indented."""
    lines = [] if well else [f"The worker's log, settings and list are in {folder}"]
    lines.append("What to do next:")
    lines.append("  framewatch inspect YOUR-VIDEO.mp4       what the worker sees in a video of yours")
    lines.append("  make demo DEMO_ARGS=--keep              the same without an end")
    if settings.topics.segments == Topics().segments:
        lines.append("  KAFKA_BOOTSTRAP_SERVERS=host:9092 make demo    the same on a broker of yours, exactly once")
        return lines
    prefix = settings.topics.segments.removesuffix("segments")
    servers = settings.kafka.bootstrap_servers
    lines.append(f"  kafka-topics.sh --bootstrap-server {servers} --delete --topic '{prefix}.*'    remove what is left")
    return lines


# --- small things ----------------------------------------------------------------------------------------------------


async def _tick(watching: Sequence[asyncio.Future[None]], refresh: Callable[[], None]) -> None:
    """Show how it stands, and wait a moment; raise what has ended a task that must not end."""
    refresh()
    done, _ = await asyncio.wait(watching, timeout=1 / FRAMES_PER_S, return_when=asyncio.FIRST_COMPLETED)
    for one in done:
        one.result()


@contextmanager
def _interrupts(stop: asyncio.Event, playing: asyncio.Task[Any]) -> Iterator[None]:
    """The first Ctrl-C, SIGTERM or hang-up stops the show; a second one stops it without a summary."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

    def interrupt() -> None:
        if stop.is_set():
            playing.cancel()
        stop.set()

    for number in numbers:
        loop.add_signal_handler(number, interrupt)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """The first error of a group of groups."""
    error: BaseException = group
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
