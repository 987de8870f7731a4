"""``framewatch check``."""

from __future__ import annotations

from rich.console import Console

from worker.cli.settled import settled
from worker.commands import check as command
from worker.commands.terminal import quiet_clients
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built


@settled()
def check(loaded: Loaded, /) -> int:
    """Look, before a worker starts, whether it can; say what to do about what is wrong.

    Settings, model, lists, policy, links, the places that claim checks may point to, a decoder that decodes a clip, the
    broker, topics, transactions. Changes nothing anywhere. Ends with status 1 if a worker would not start.
    """
    quiet_clients()
    console = Console()
    with Console(stderr=True).status("checking"):
        found = command.check(loaded.settings)
    command.show(found, console)
    return 0 if command.ok(found) else 1
