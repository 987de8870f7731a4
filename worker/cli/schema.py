"""``framewatch schema``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - the annotation is resolved when the command line is built

from worker.wire import schema as schemas


def schema(out: Path | None = None, /) -> None:
    """Write the contract as schemas, made from the records.

    Args:
        out: Folder to write schemas/*.json and asyncapi.json into. Without it, the AsyncAPI document is printed.
    """
    if out is None:
        sys.stdout.write(schemas.rendered(schemas.asyncapi()))
        return
    for path in schemas.write(out):
        sys.stdout.write(f"{path}\n")
