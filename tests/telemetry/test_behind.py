"""How far behind live a partition is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.telemetry.behind import RECORDS, Behind


def given_at(at_s: float, *partitions: int) -> Behind:
    """What is known of partitions that this process has since then."""
    behind = Behind()
    behind.given(partitions or (0,), at_s)
    return behind


def consume(behind: Behind, appended_s: list[float], at_s: float) -> None:
    """Records of these times are consumed at once."""
    for one_s in appended_s:
        behind.consumed(0, round(one_s * 1000), at_s)


def test_a_backlog_is_as_old_as_what_was_consumed_last() -> None:
    """A worker that begins an hour behind says so, however short it has had the partition."""
    behind = given_at(10_000.0)
    consume(behind, [6_400.0] * RECORDS, at_s=10_001.0)
    assert behind.seconds(0, 10_002.0) == pytest.approx(3_602.0)


def test_before_anything_is_consumed_it_is_how_long_it_was_waited_for() -> None:
    """A partition that does not get to work falls behind from when it was given."""
    assert given_at(100.0).seconds(0, 160.0) == 60.0


def test_after_hours_without_a_record_the_first_one_is_no_lag_of_hours() -> None:
    """It was live all the time: there was nothing to consume."""
    behind = given_at(0.0)
    consume(behind, [10.0] * RECORDS, at_s=10.0)
    behind.live(0, 7_200.0)
    assert behind.seconds(0, 7_201.0) == pytest.approx(1.0)


@given(lies=st.lists(st.floats(0, 1e9), max_size=RECORDS // 2), data=st.data())
def test_no_minority_of_wrong_clocks_bends_it(lies: list[float], data: st.DataObject) -> None:
    """Publishers may set timestamps to anything; half of the last records must lie to matter."""
    behind, at_s = given_at(0.0), 10_000.0
    honest = [9_000.0] * (RECORDS - len(lies))
    consume(behind, data.draw(st.permutations([*honest, *lies])), at_s)
    assert behind.seconds(0, at_s) == pytest.approx(1_000.0)


@given(at_s=st.floats(0, 1e9), appended_s=st.lists(st.floats(0, 2e9)))
def test_it_is_never_negative(at_s: float, appended_s: list[float]) -> None:
    """A record from the future is from now."""
    behind = given_at(at_s)
    consume(behind, appended_s, at_s)
    assert behind.seconds(0, at_s) >= 0


def test_a_record_without_a_timestamp_says_nothing() -> None:
    """Kafka's word for none is -1."""
    behind = given_at(100.0)
    behind.consumed(0, -1, 101.0)
    assert behind.seconds(0, 130.0) == 30.0


def test_what_is_kept_over_a_rebalance_is_remembered_and_what_is_given_away_is_not() -> None:
    """A rebalance that changes nothing must not look like a worker that has caught up."""
    behind = given_at(1_000.0, 0, 1)
    consume(behind, [400.0] * RECORDS, at_s=1_000.0)
    behind.given([0], 1_100.0)
    assert behind.seconds(0, 1_100.0) == 700.0
    behind.given([1], 1_200.0)
    behind.given([0], 1_300.0)
    assert behind.seconds(0, 1_310.0) == 10.0


def test_of_a_partition_that_was_given_away_nothing_is_noted() -> None:
    """A record that was on its way makes no memory grow."""
    behind = given_at(0.0, 1)
    behind.consumed(0, 5_000, 6.0)
    behind.live(0, 6.0)
    assert behind.seconds(0, 7.0) == 0.0
