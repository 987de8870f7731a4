"""``list.toml``: what a hash list says of itself."""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Any, Literal, get_args

from msgspec import Struct

from worker.records import ListKind, Severity

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from worker.lists.mistakes import Mistakes

DEFAULT_RADIUS = 31
MOST_RADIUS = 64
"""Pictures that have nothing in common are about 128 bits apart: above a quarter of the bits a match says little."""
LONGEST_NAME = 128
MOST_BYTES = 16 * 1024
"""tomllib takes 24 s for a key of 30,000 parts."""
SEVERITY_OF: Mapping[ListKind, Severity] = {"block": "critical", "review": "high", "allow": "low"}
KEYS = ("name", "version", "algorithm", "radius", "kind", "severity", "source")


class Head(Struct, frozen=True, kw_only=True):
    """What a list is called and how it is to be used."""

    name: str
    version: str
    kind: ListKind
    severity: Severity
    algorithm: Literal["pdq"] = "pdq"
    radius: int = DEFAULT_RADIUS
    source: str | None = None


def read_head(path: Path, data: bytes, mistakes: Mistakes) -> Head | None:
    """Return what ``list.toml`` says, or None after adding its mistakes.

    ``name``, ``version`` and ``kind`` must be there: nobody but the operator can say what a list is for.
    """
    before = mistakes.count
    text = _decoded(path, data, mistakes)
    table = _parsed(path, text, mistakes) if text is not None else None
    if text is None or table is None:
        return None
    fields = _Fields(path, text, table, mistakes)
    fields.refuse_unknown()
    name, version, source = fields.text("name"), fields.text("version"), fields.text("source", required=False)
    fields.choice("algorithm", ("pdq",), required=False)
    radius = fields.radius()
    kind = fields.choice("kind", get_args(ListKind))
    severity = fields.choice("severity", get_args(Severity), required=False)
    if mistakes.count > before or name is None or version is None or kind is None:
        return None
    severity = severity or SEVERITY_OF[kind]
    return Head(name=name, version=version, kind=kind, severity=severity, radius=radius, source=source)


def _decoded(path: Path, data: bytes, mistakes: Mistakes) -> str | None:
    if len(data) > MOST_BYTES:
        mistakes.add(path, None, f"is larger than {MOST_BYTES} bytes")
        return None
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        mistakes.add(path, data.count(b"\n", 0, error.start) + 1, "is not UTF-8")
        return None


def _parsed(path: Path, text: str, mistakes: Mistakes) -> dict[str, Any] | None:
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # its own error, a number of thousands of digits, too deep a nest
        place = re.search(r"at line (\d+)", str(error))
        line = int(place[1]) if place else text.count("\n") + 1
        mistakes.add(path, line, "is not TOML: " + re.sub(r" \(at .*\)$", "", str(error)))
        return None


class _Fields:
    """The table's fields one by one, each mistake with its line."""

    def __init__(self, path: Path, text: str, table: dict[str, Any], mistakes: Mistakes) -> None:
        self._path = path
        self._lines = text.splitlines()
        self._table = table
        self._mistakes = mistakes

    def refuse_unknown(self) -> None:
        for key in self._table.keys() - set(KEYS):
            shown = key if re.fullmatch(r"\w{1,32}", key) else "a key"
            self._wrong(key, f"{shown} is not known; known are {', '.join(KEYS)}")

    def text(self, key: str, *, required: bool = True) -> str | None:
        value = self._value(key, required=required)
        if value is None:
            return None
        if not isinstance(value, str) or not 0 < len(value) <= LONGEST_NAME or not value.isprintable():
            self._wrong(key, f"{key} must be a string in quotes, 1 to {LONGEST_NAME} printable characters")
            return None
        return value

    def choice(self, key: str, choices: tuple[str, ...], *, required: bool = True) -> Any:
        value = self._value(key, required=required)
        if value is not None and (not isinstance(value, str) or value not in choices):
            self._wrong(key, f"{key} must be one of " + ", ".join(f'"{choice}"' for choice in choices))
            return None
        return value

    def radius(self) -> int:
        value = self._value("radius", required=False)
        if value is None:
            return DEFAULT_RADIUS
        if type(value) is not int or not 0 <= value <= MOST_RADIUS:
            self._wrong("radius", f"radius must be a whole number of bits from 0 to {MOST_RADIUS}")
            return DEFAULT_RADIUS
        return value

    def _value(self, key: str, *, required: bool) -> Any:
        if required and key not in self._table:
            self._mistakes.add(self._path, None, f"{key} is missing")
        return self._table.get(key)

    def _wrong(self, key: str, what: str) -> None:
        start = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}\b""")
        line = next((number for number, text in enumerate(self._lines, 1) if start.match(text)), None)
        self._mistakes.add(self._path, line, what)
