"""In which line of a TOML text each key stands; tomllib does not say."""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

KeyPath = tuple[str, ...]
MOST_READ = 500_000
"""So many characters are given to tomllib in all, those of a long statement again and again: half a second."""


def line_numbers(text: str) -> dict[KeyPath, int]:
    """Each key's and table's path and the line, from 1, where it is first named.

    Each statement is read by tomllib itself, so quoting and dotted keys are its business: a line that is not a whole
    statement is joined with those that follow until it is one. Keys of an inline table stand in the line in which
    their statement begins. What stands behind a statement of very many lines has none: a file that a stranger wrote
    shall not hold up who reads it.

    Args:
        text: TOML that tomllib has accepted.
    """
    found: dict[KeyPath, int] = {}
    table: KeyPath = ()
    pending = ""
    began = 1
    read = 0
    for number, line in enumerate(text.split("\n"), start=1):  # TOML knows no other ends of lines
        began = began if pending else number
        pending = f"{pending}{line}\n"
        read += len(pending)
        if read > MOST_READ:
            break
        statement = _parsed(pending)
        if statement is None:
            continue
        header = pending.lstrip().startswith("[")
        paths = _paths(statement)
        table = paths[-1] if header else table
        for path in paths:
            _note(found, path if header else table + path, began)
        pending = ""
    return found


def _parsed(statement: str) -> dict[str, Any] | None:
    try:
        return tomllib.loads(statement)
    except tomllib.TOMLDecodeError:
        return None


def _paths(node: object) -> list[KeyPath]:
    """Every path below a node, the deepest of a chain last."""
    if isinstance(node, list):
        return [path for item in node for path in _paths(item)]
    if not isinstance(node, dict):
        return []
    return [path for key, child in node.items() for path in ((key,), *((key, *rest) for rest in _paths(child)))]


def _note(found: dict[KeyPath, int], path: KeyPath, line: int) -> None:
    for depth in range(1, len(path) + 1):
        found.setdefault(path[:depth], line)


def line_of(path: KeyPath, lines: Mapping[KeyPath, int]) -> int | None:
    """Return the line of a key, else that of the nearest table around it; None where there is neither."""
    for depth in range(len(path), 0, -1):
        if path[:depth] in lines:
            return lines[path[:depth]]
    return None
