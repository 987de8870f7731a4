"""``framewatch demo``."""

from __future__ import annotations

from pathlib import Path  # noqa: TC003 - the annotation is resolved when the command line is built
from typing import Annotated

from cyclopts import Parameter

from worker.demo import run


def demo(
    *,
    seconds: float = 60.0,
    streams: int = 12,
    keep: Annotated[bool, Parameter(negative=())] = False,
    svg: Path | None = None,
) -> int:
    """Watch a worker at work on a make-believe platform, with harmless synthetic streams.

    Starts an embedded broker, a worker as it runs in production, and a platform that publishes a dozen live streams:
    most are harmless, one turns risky for the demo classifier, one plays a clip on a demo hash list, one sends broken
    segments. Ends with a summary, and with status 1 when an expected incident is missing, an unexpected one appears or
    a segment has no outcome. KAFKA_BOOTSTRAP_SERVERS=host:9092 uses that broker instead, with topics of its own.

    Args:
        seconds: How long the show takes.
        streams: How many streams there are.
        keep: Go on until Ctrl-C.
        svg: File to save the last screen in, as a picture.
    """
    return run.demo(run.Options(seconds=seconds, streams=streams, keep=keep, svg=svg))
