"""``framewatch publish``."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path  # noqa: TC003 - the annotation is resolved when the command line is built
from typing import Annotated

from cyclopts import Parameter

from worker.cli.settled import settled
from worker.commands import publish as command
from worker.publishing.player import Pace
from worker.publishing.telling import Telling
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built

Once = Annotated[bool, Parameter(negative=())]


@settled("kafka", "topics")
def publish(  # noqa: D417 - the settings are no argument of the command line
    loaded: Loaded,
    media: Path,
    /,
    *,
    stream: str,
    loop: Once = False,
    speed: float = 1.0,
    segment_seconds: float = 2.0,
    start_sequence: int = 0,
    tenant: str | None = None,
    account: str | None = None,
    viewers: int | None = None,
    test: Once = False,
    by_reference: Once = False,
    end: Annotated[bool, Parameter(name=(), negative="--no-end")] = True,
    run: str | None = None,
) -> None:
    """Play a video into the segments topic at the pace of a live stream, to try your own or as a model for a publisher.

    A file of any container is cut at keyframes, never encoded again; sound is left out. A folder holds segments that
    are cut already (.ts, .m4s, .mp4, .webm), in the natural order of their names; an initialisation (init.mp4,
    *init*.mp4) goes first. Each segment is acknowledged before the next. Ctrl-C ends it cleanly.

    Args:
        media: A video file, or a folder of segments.
        stream: The stream's id, the key of its messages.
        loop: Begin again at the end; sequence and media time go on.
        speed: 1 is real time, 2 twice as fast, 0 as fast as possible.
        segment_seconds: Least length of a file's segments; what a folder's count that can't be measured.
        start_sequence: Number of the first segment.
        tenant: Which platform or channel group it belongs to.
        account: Who streams, an opaque id.
        viewers: How many watch.
        test: Mark it as a test: every incident of it says so.
        by_reference: Publish claim checks to a folder's files; the worker needs the folder in fetch.roots.
        end: Say at the end that the stream is over.
        run: Name of this run, a part of each event's id: a run repeated under its name is a retry. Default: the time.
    """
    settings = loaded.settings
    telling = Telling(
        topic=settings.topics.segments,
        stream_id=stream,
        run=run or command.run_name(datetime.now(UTC)),
        tenant=tenant,
        account=account,
        viewers=viewers,
        test=test,
    )
    pace = Pace(speed=speed, loop=loop, start_sequence=start_sequence, end=end)
    played = command.publish(settings, media, telling, pace, segment_s=segment_seconds, by_reference=by_reference)
    sys.stdout.write(command.summary(played, telling) + "\n")
