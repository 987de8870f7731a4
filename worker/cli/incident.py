"""``framewatch incident --test``."""

from __future__ import annotations

import sys
from typing import Annotated

from cyclopts import Parameter

from worker.cli.settled import settled
from worker.commands import incident as command
from worker.commands.terminal import quiet_clients
from worker.errors import UsageError
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built


@settled()
def incident(  # noqa: D417 - the settings are no argument of the command line
    loaded: Loaded,
    /,
    *,
    test: Annotated[bool, Parameter(negative=())] = False,
    stream: str = command.STREAM,
) -> None:
    """Send an incident that says it is a test, to see whether it reaches a person; print its id.

    It is about nothing, of severity low, and suggests nothing. It names the model, policy and lists of these settings.

    Args:
        test: Needed: only tests can be sent.
        stream: Its stream id.
    """
    if not test:
        raise UsageError("only tests can be sent: framewatch incident --test; workers open the others")
    quiet_clients()
    sent = command.send_test(loaded.settings, stream_id=stream)
    sys.stdout.write(f"{sent.incident_id}\n")
