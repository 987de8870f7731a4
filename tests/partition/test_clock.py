"""A partition's own clock: by it, not by anybody's word, its streams are idle."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from worker.partition.clock import CREDIT_MS, PartitionClock

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


def ms(at: datetime) -> int:
    """A time as Kafka has it."""
    return round(at.timestamp() * 1000)


def test_it_goes_with_the_records_times() -> None:
    """Live records of ten minutes, one a second, are ten minutes."""
    clock = PartitionClock(5.0)
    for second in range(601):
        at = START + timedelta(seconds=second)
        clock.hear(ms(at), at)
    assert clock.now_ms == 600_005.0


def test_it_goes_with_batches_too() -> None:
    """What comes in batches of many records that are told apart by milliseconds is not lost."""
    clock = PartitionClock()
    for batch in range(100):
        now = START + timedelta(seconds=batch)
        for part in range(10):
            clock.hear(ms(now) - 1000 + 100 * part, now)
    assert clock.now_ms >= 99_000.0


def test_a_pause_of_the_whole_partition_makes_nobody_idle() -> None:
    """After a night in which nothing came, the first record moves it by a minute at most."""
    clock = PartitionClock()
    clock.hear(ms(START), START)
    later = START + timedelta(hours=9)
    clock.hear(ms(later), later)
    assert clock.now_ms <= CREDIT_MS


def test_a_backlog_does_not_make_time_fly() -> None:
    """A day's records read in ten seconds are ten seconds."""
    clock = PartitionClock()
    for minute in range(1440):
        clock.hear(ms(START) + 60_000 * minute, START + timedelta(days=2, milliseconds=7 * minute))
    assert clock.now_ms <= 10_080.0


@given(
    st.lists(
        st.tuples(st.integers(-(2**63), 2**63 - 1) | st.integers(ms(START), ms(START) + 10**8), st.floats(-5, 90)),
        max_size=60,
    )
)
def test_no_lie_moves_it_further_than_our_own_time(heard: list[tuple[int, float]]) -> None:
    """Whatever timestamps come: it never goes back, and never further than we have been listening, and the credit."""
    clock, now, listened_ms = PartitionClock(), START, 0.0
    for timestamp_ms, seconds in heard:
        now += timedelta(seconds=seconds)
        listened_ms += max(0.0, seconds) * 1000
        before_ms = clock.now_ms
        clock.hear(timestamp_ms, now)
        assert before_ms <= clock.now_ms <= listened_ms + 1e-3
