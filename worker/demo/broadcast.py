"""The make-believe platform by itself, for a worker that runs elsewhere: ``python -m worker.demo.broadcast FOLDER``.

Settings come from the environment (``FRAMEWATCH_KAFKA_BOOTSTRAP_SERVERS``, ``FRAMEWATCH_TOPICS_SEGMENTS``). It writes
the demo's hash list to ``FOLDER/list`` and the segments of claim checks to ``FOLDER/media``, then publishes the show's
streams until SIGTERM: a story after the other, each with streams of its own, so that incidents go on to open.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import secrets
import shutil
import signal
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from worker.demo.ledger import Ledger
from worker.demo.library import library
from worker.demo.platform import Platform
from worker.demo.stage import write_list
from worker.demo.streams import cast, story
from worker.errors import FramewatchError, UsageError
from worker.kafka.publisher import publisher
from worker.settings.load import load

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.demo.library import Library
    from worker.demo.platform import To
    from worker.demo.streams import Stream
    from worker.settings.tree import Settings

STREAMS = 12
STORY_S = 120.0
"""How long a story takes, before the next one begins."""


async def broadcast(settings: Settings, folder: Path, stop: asyncio.Event) -> None:
    """Publish until ``stop`` is set. Raises Stopped when Kafka does not take it."""
    streams = cast(STREAMS)
    footage = await library(streams, lambda _share: None)
    await asyncio.to_thread(prepare, folder)
    async with publisher(settings.kafka, settings.topics.segments) as to:
        run = secrets.token_hex(2)  # after a restart these are new streams, not repeats of the former
        for number in itertools.count(1):
            media = folder / "media" / f"{run}-{number}"
            media.mkdir()
            named, renamed = renamed_as(streams, footage, media.name)
            await _tell(named, renamed, to, stop, topic=settings.topics.segments, folder=media)
            shutil.rmtree(media.with_name(f"{run}-{number - 1}"), ignore_errors=True)
            if stop.is_set():
                return


def prepare(folder: Path) -> None:
    """Write the list, whole or not at all: who waits for it sees it only when it is done."""
    (folder / "media").mkdir(parents=True, exist_ok=True)
    if not (folder / "list").exists():
        shutil.rmtree(folder / "list.part", ignore_errors=True)
        write_list(folder / "list.part")
        (folder / "list.part").rename(folder / "list")


def renamed_as(streams: Sequence[Stream], footage: Library, name: str) -> tuple[tuple[Stream, ...], Library]:
    """Return the streams and their footage under the names that they have in a story: each story's are new streams."""
    names = {one.stream_id: f"{one.stream_id}-{name}" for one in streams}
    return (
        tuple(replace(one, stream_id=names[one.stream_id]) for one in streams),
        replace(
            footage,
            harmless={names[name]: segments for name, segments in footage.harmless.items()},
            cmaf={names[name]: whole for name, whole in footage.cmaf.items()},
        ),
    )


async def _tell(
    streams: Sequence[Stream], footage: Library, to: To, stop: asyncio.Event, *, topic: str, folder: Path
) -> None:
    """Tell one story to its end, or until ``stop`` is set."""
    over = asyncio.Event()
    platform = Platform(streams, story(STORY_S), footage, Ledger(), topic=topic, folder=folder)
    telling = asyncio.ensure_future(platform.broadcast(to, over))
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({telling, stopping}, timeout=STORY_S, return_when=asyncio.FIRST_COMPLETED)
        over.set()
        await telling
    finally:
        for one in (telling, stopping):
            one.cancel()
        await asyncio.wait({telling, stopping})


async def _until_asked(settings: Settings, folder: Path) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await broadcast(settings, folder, stop)


def main(arguments: Sequence[str] | None = None) -> int:
    """Publish until asked to end; the exit status is 1 when Kafka does not take it, 2 after a mistake in use."""
    parser = argparse.ArgumentParser(prog="python -m worker.demo.broadcast", description="A make-believe platform.")
    parser.add_argument("folder", type=Path, help="where its hash list and its claim checks' segments go")
    folder = parser.parse_args(arguments).folder.absolute()
    try:
        asyncio.run(_until_asked(load(flags={}, environ=os.environ, config=None), folder))
    except FramewatchError as error:
        sys.stderr.write(f"{error}\n")
        return 2 if isinstance(error, UsageError) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
