"""How new a model or a hash list is."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def published_s(version: str, path: Path) -> float | None:
    """Return when a version was made, Unix seconds; None where neither it nor the files say.

    That is the date (UTC) that the version begins with; else when the newest file in the folder, or the file, was
    changed.
    """
    return _dated_s(version) or _changed_s(path)


def _dated_s(version: str) -> float | None:
    if (found := _DATE.match(version)) is None:
        return None
    try:
        day = date.fromisoformat(found[0])
    except ValueError:  # 2026-99-99 is no date
        return None
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


def _changed_s(path: Path) -> float | None:
    try:
        files = [one for one in path.iterdir() if one.is_file()] if path.is_dir() else [path]
        return max((one.stat().st_mtime for one in files), default=None)
    except OSError:  # it was read a moment ago; who takes it away meanwhile does not end the worker
        return None
