"""How new a model or a hash list is."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from worker.telemetry.ages import published_s


@pytest.mark.parametrize("version", ["2026-11-01", "2026-11-01T03:00", "2026-11-01-fixed"])
def test_a_version_that_begins_with_a_date_is_from_then(version: str) -> None:
    """What the list says of itself counts more than when it was copied."""
    assert published_s(version, Path("/nowhere")) == datetime(2026, 11, 1, tzinfo=UTC).timestamp()


@pytest.mark.parametrize("version", ["1.0.0", "2026-99-99", ""])
def test_else_it_is_as_new_as_its_newest_file(version: str, tmp_path: Path) -> None:
    """A folder is as new as its newest file, a file as itself."""
    for name, at in (("list.toml", 1_000_000), ("a.txt", 3_000_000), ("b.txt", 2_000_000)):
        (tmp_path / name).write_text("x")
        os.utime(tmp_path / name, (at, at))
    assert published_s(version, tmp_path) == 3_000_000
    assert published_s(version, tmp_path / "b.txt") == 2_000_000


def test_files_that_are_gone_are_of_no_known_age(tmp_path: Path) -> None:
    """A volume that was unmounted meanwhile ends nobody; an empty folder says nothing."""
    assert published_s("1", tmp_path / "gone") is None
    assert published_s("1", tmp_path) is None
