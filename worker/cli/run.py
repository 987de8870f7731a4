"""``framewatch run``."""

from __future__ import annotations

from worker import app, logs
from worker.cli.settled import settled
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built


@settled()
def run(loaded: Loaded, /) -> None:
    """Run a worker until SIGTERM or Ctrl-C; then it drains, commits and leaves.

    Every setting below is also an environment variable (--kafka.group-id is FRAMEWATCH_KAFKA_GROUP_ID) and a key of the
    TOML file that --config names (group_id in [kafka]); a flag goes before a variable, a variable before the file.
    Lists are separated by commas, or JSON. At least one of --scoring.model and --matching.lists is needed.
    """
    logs.configure(loaded.settings.log)
    app.run(loaded.settings)
