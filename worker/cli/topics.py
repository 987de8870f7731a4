"""``framewatch topics create`` and ``topics print``."""

from __future__ import annotations

import sys
from typing import Annotated

import cyclopts
from cyclopts import Parameter

from worker.cli.settled import settled
from worker.commands import topics as command
from worker.commands.terminal import quiet_clients, safe
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built

app = cyclopts.App(name="topics", help="Make the topics that a deployment needs, or write them and their rights down.")


@app.command
@settled("kafka", "topics", "retention")
def create(  # noqa: D417 - the settings are no argument of the command line
    loaded: Loaded,
    /,
    *,
    partitions: int = command.DEFAULT_PARTITIONS,
    replication: int = 1,
) -> int:
    """Make the topics that are missing, with the right partitions, cleanup, retention and sizes.

    Topics that exist are never changed: what is wrong with one is told, with what to do about it. Ends with status 1 if
    a worker could not start with them.

    Args:
        partitions: Of segments and risk, which have the same number: the most workers that can share the work. Where
            one of them exists already, the other gets as many. The others have at most 6.
        replication: Copies of each partition; 3 or more outside of trials.
    """
    quiet_clients()
    made = command.create(loaded.settings, partitions=partitions, replication=replication)
    for topic in made:
        for line in command.told(topic):
            sys.stdout.write(f"{'  ' if line.startswith('  ') else ''}{safe(line.strip())}\n")
    return 0 if all(topic.right for topic in made) else 1


@app.command(name="print")
@settled("kafka", "topics", "retention")
def write(  # noqa: D417 - the settings are no argument of the command line
    loaded: Loaded,
    /,
    *,
    form: Annotated[command.Form, Parameter(name="--as")] = "cli",
    partitions: int = command.DEFAULT_PARTITIONS,
    replication: int = 1,
    cluster: str = "kafka",
) -> None:
    """Write the topics and the least rights of publisher, worker and reviewer down. Asks no broker.

    Args:
        form: A shell script around Kafka's own tools, Strimzi's resources, or Terraform for the provider Mongey/kafka.
        partitions: Of segments and risk.
        replication: Copies of each partition.
        cluster: Name of Strimzi's Kafka resource.
    """
    sys.stdout.write(
        command.written(loaded.settings, form, partitions=partitions, replication=replication, cluster=cluster)
    )
