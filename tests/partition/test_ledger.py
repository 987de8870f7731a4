"""The ledger knows which offset may be committed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.partition.ledger import Ledger


@given(st.lists(st.integers(1, 5), max_size=40), st.randoms(use_true_random=False))
def test_the_commit_never_passes_an_unfinished_offset_and_never_goes_back(steps, random):
    """Whatever the holes in the log and the order of completion, the committed offset is the first unfinished one."""
    ledger, offsets, at = Ledger(10), [], 10
    for step in steps:
        at += step
        ledger.begin(at)
        offsets.append(at)
    unfinished, committed = set(offsets), 10
    random.shuffle(offsets)
    for offset in offsets:
        ledger.finish(offset)
        unfinished.remove(offset)
        assert ledger.first_unfinished >= committed
        committed = ledger.first_unfinished
        assert committed == min(unfinished, default=ledger.next_offset)
        assert ledger.unfinished == len(unfinished)


def test_an_offset_can_not_begin_twice():
    """An offset at or below the last one is a defect, not a record."""
    ledger = Ledger(3)
    ledger.begin(3)
    with pytest.raises(ValueError, match="offset 3"):
        ledger.begin(3)
