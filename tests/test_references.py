"""Where a segment lies, and when it was."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from support.assessments import START, a_segment, at_ms

from worker.references import later, material, moment, wall


@pytest.mark.parametrize("timestamp_ms", [-1, -(2**63), 2**63 - 1, 253_402_300_800_000])
def test_a_timestamp_that_is_no_date_is_unknown(timestamp_ms: int) -> None:
    """Kafka's "none" and what lies beyond the year 9999."""
    assert moment(timestamp_ms) is None


def test_a_timestamp_is_right_to_the_millisecond() -> None:
    """Milliseconds since 1970 in UTC."""
    assert moment(at_ms(0.123)) == START.replace(microsecond=123_000)
    assert moment(0) == datetime(1970, 1, 1, tzinfo=UTC)


def test_a_time_beyond_all_dates_is_unknown() -> None:
    """A publisher's year 9999 and a sampler's 1e300 seconds break nothing."""
    assert later(datetime.max.replace(tzinfo=UTC), 1.0) is None
    assert later(START, 1e300) is None
    assert later(START, float("nan")) is None
    assert later(None, 1.0) is None


def test_the_publisher_goes_before_the_record() -> None:
    """ce_time says when the first frame was captured, else the record's timestamp does."""
    said = wall(a_segment(5, captured_at=START), 0.5)
    assert (said.at, said.source) == (START.replace(microsecond=500_000), "ce_time")
    assert (wall(a_segment(5)).at, wall(a_segment(5)).source) == (START.replace(second=10), "record")


def test_lists_and_entries_are_not_mixed_up() -> None:
    """However a list's name and an entry are cut, they are different material."""
    assert material("ab", "c") != material("a", "bc")
    assert material("ab", "c") == material("ab", "c")
