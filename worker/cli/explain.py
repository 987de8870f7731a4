"""``framewatch explain``."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from worker.cli.settled import settled
from worker.commands import explain as command
from worker.commands.terminal import quiet_clients
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built

EVERY = 5000


@settled("kafka", "topics")
def explain(  # noqa: D417 - the settings are no argument of the command line
    loaded: Loaded,
    stream: str,
    /,
    *,
    at: str,
    window_s: float = 60.0,
    late_s: float = 300.0,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Say why something was caught or not: what was looked at, what was seen, and what was on.

    It reads the assessments, the escalations and what the workers said of themselves; it changes nothing.

    Args:
        stream: The stream's id.
        at: The moment, by the publisher's clock (ce_time), or else the broker's: 2026-11-01T12:00:00Z.
        window_s: So many seconds before and after are shown.
        late_s: So long after that an outcome may have been written. More where a backlog was worked off.
        json: One object, for programs.
    """
    quiet_clients()
    complaints = Console(stderr=True)
    with complaints.status("reading") as status:

        def progress(records: int) -> None:
            if records % EVERY == 0:
                status.update(f"{records:,} records read")

        found = command.gather(loaded.settings, stream, at, window_s=window_s, late_s=late_s, progress=progress)
    if json:
        sys.stdout.write(command.as_json(found) + "\n")
        return
    console = Console()
    for line in command.lines(found):
        console.print(line, soft_wrap=not console.is_terminal)
