"""``framewatch state move``."""

from __future__ import annotations

import sys
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from worker.cli.settled import settled
from worker.commands import state as command
from worker.commands.terminal import quiet_clients, safe
from worker.kafka.partitioners import Partitioner  # noqa: TC001 - the annotation is resolved with the command line
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built

app = cyclopts.App(name="state", help="Move the streams' state after the segments topic has grown.")


@app.command
@settled("kafka", "topics")
def move(  # noqa: D417 - the settings are no argument of the command line
    loaded: Loaded,
    /,
    *,
    yes: Annotated[bool, Parameter(negative=())] = False,
    partitioner: Partitioner | None = None,
) -> None:
    """Put every stream's state on the partition that its segments come to now.

    More partitions of segments give streams other places. Stop all workers, run this, start them again. It makes the
    risk topic's missing partitions. Cut off at any point, it goes on when it is run again.

    Args:
        yes: Do it; else it only tells what it would do.
        partitioner: By which rule the publishers choose partitions: murmur2 (Kafka's own client) or crc32 (librdkafka).
            Default: told from where the streams are.
    """
    quiet_clients()
    found = command.move(loaded.settings, do=yes, partitioner=partitioner)
    sys.stdout.write("".join(f"{safe(line)}\n" for line in command.told(found)))
