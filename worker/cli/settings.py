"""``framewatch settings``."""

from __future__ import annotations

import sys

from worker.cli.settled import settled
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built
from worker.settings.show import as_toml


@settled()
def settings(loaded: Loaded, /) -> None:
    """Show every setting in effect, as TOML that --config reads, and beside it where it came from.

    Secrets are read from files that settings name: they are never in here.
    """
    sys.stdout.write(as_toml(loaded))
