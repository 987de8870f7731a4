"""Where a partition goes on when checkpoint, committed offset and log agree, and when they do not."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.partition.agreement import agree
from worker.partition.memory import Checkpoint
from worker.partition.suspects import Mark
from worker.records import LogRange

MARK = Mark(owner="first", clean=True, horizon=9)
KEPT = Checkpoint(next_offset=5, done=(7,), before=3, mark=MARK)


@pytest.mark.parametrize("committed", [5, 3])
def test_what_agrees_is_gone_on_with(committed):
    """Also where an owner without transactions died between its checkpoint and its commit."""
    agreement = agree(KEPT, committed, LogRange(first=0, end=20))
    assert (agreement.offset, agreement.done, agreement.left, agreement.moved) == (5, (7,), MARK, None)


def test_a_fresh_group_begins_with_the_log():
    """Nothing was moved where there was nothing."""
    agreement = agree(None, None, LogRange(first=4, end=20))
    assert (agreement.offset, agreement.moved, agreement.expired) == (4, None, 0)


@pytest.mark.parametrize(
    ("checkpoint", "committed", "log", "offset", "expired", "words"),
    [
        (KEPT, 2, LogRange(first=0, end=20), 2, 0, "offset is 2.*of offset 5.*moved"),
        (KEPT, 9, LogRange(first=0, end=20), 9, 0, "offset is 9.*of offset 5.*moved"),
        (KEPT, 5, LogRange(first=0, end=4), 0, 0, "offset is 5, the log ends at 4.*made anew"),
        (KEPT, 30, LogRange(first=0, end=20), 0, 0, "offset is 30.*of offset 5"),
        (KEPT, None, LogRange(first=0, end=20), 0, 0, "no committed offset.*of offset 5"),
        (None, 5, LogRange(first=0, end=20), 5, 0, "offset is 5, and there is no state"),
        (KEPT, 5, LogRange(first=8, end=20), 8, 3, "begins at 8: retention deleted 3"),
        (None, 5, LogRange(first=8, end=20), 8, 3, "there is no state"),
    ],
)
def test_each_disagreement_has_its_line_and_skips_nothing_that_is_there(  # noqa: PLR0917 - a table's columns
    checkpoint, committed, log, offset, expired, words
):
    """The offset is the group's where the log has it, else the log's first: never one beyond what is there."""
    agreement = agree(checkpoint, committed, log)
    assert agreement.moved is not None
    assert (agreement.offset, agreement.expired) == (offset, expired)
    assert re.search(words, agreement.moved)
    assert (agreement.done, agreement.left) == ((), None)


@given(
    st.none()
    | st.builds(Checkpoint, next_offset=st.integers(0, 9), done=st.just((9,)), before=st.none() | st.integers(0, 9)),
    st.none() | st.integers(0, 9),
    st.tuples(st.integers(0, 9), st.integers(0, 9)),
)
def test_it_goes_on_in_the_log_and_believes_only_what_agrees(checkpoint, committed, bounds):
    """Whatever the three say."""
    log = LogRange(first=min(bounds), end=max(bounds))
    agreement = agree(checkpoint, committed, log)
    assert log.first <= agreement.offset <= log.end
    if agreement.moved is None and checkpoint is not None:
        assert agreement.offset == checkpoint.next_offset
    if agreement.moved is not None:
        assert agreement.done == ()
