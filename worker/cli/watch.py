"""``framewatch watch``."""

from __future__ import annotations

from typing import Annotated, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from worker.cli.settled import settled
from worker.commands import watch as command
from worker.commands.terminal import quiet_clients, safe
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built


@settled("kafka", "topics")
def watch(  # noqa: D417 - the settings are no argument of the command line
    loaded: Loaded,
    /,
    *,
    since: Literal["earliest", "latest"] = "latest",
    count: int | None = None,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Show escalations as they come, until Ctrl-C. Repeats are left out; nothing is committed anywhere.

    Args:
        since: From now on, or from the oldest that the topic still has.
        count: End after so many.
        json: An incident a line, as it came, for programs.
    """
    quiet_clients()
    settings, complaints = loaded.settings, Console(stderr=True)
    if complaints.is_terminal:
        where = f"{settings.topics.escalations} on {settings.kafka.bootstrap_servers}; Ctrl-C ends"
        complaints.print(Text(safe(f"watching {where}"), style="dim"))
    show = command.shower(Console(), complaints, as_json=json)
    command.watch(settings, since=since, count=count, show=show)
