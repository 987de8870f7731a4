"""Settings as TOML that the loader reads again, with the origin of each."""

from __future__ import annotations

import json
import re
from dataclasses import fields
from typing import TYPE_CHECKING

from worker.settings.rows import describe
from worker.settings.tree import Root

if TYPE_CHECKING:
    from worker.settings.load import Loaded

CREDENTIALS = re.compile(r"(?<=://)[^/@\s]*@")
"""A user and password in an address. They do not belong there; if they are there, they are not shown."""


def as_toml(loaded: Loaded) -> str:
    """Return every setting in effect, a table for each section."""
    lines: list[str] = []
    section = ""
    for row in describe():
        if row.section != section:
            section = row.section
            lines += ["", f"[{section}]"] if lines else [f"[{section}]"]
        value = getattr(getattr(loaded.settings, row.section), row.key)
        lines.append(f"{row.key} = {_written(value)}  # {loaded.origins.get(row.name, 'default')}")
    return "\n".join(lines) + "\n"


def _written(value: object) -> str:
    if isinstance(value, Root):
        given = {one.name: getattr(value, one.name) for one in fields(Root)}
        return f"{{{', '.join(f'{key} = {_written(one)}' for key, one in given.items() if one is not None)}}}"
    if isinstance(value, tuple):
        return f"[{', '.join(_written(item) for item in value)}]"
    if isinstance(value, str):
        # A JSON string is a TOML string, but for DEL, which JSON leaves as it is.
        return json.dumps(CREDENTIALS.sub("***@", value), ensure_ascii=False).replace("\x7f", "\\u007f")
    return json.dumps(value)
