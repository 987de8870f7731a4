"""The largest value of the last few minutes."""

from __future__ import annotations

from worker.telemetry.peaks import WINDOW_S, Peak


def test_a_peak_is_told_for_a_window_at_least_and_for_two_at_most() -> None:
    """Whoever scrapes every minute sees it; an hour later it is history."""
    now_s = [1000.0]
    peak = Peak(lambda: now_s[0])
    assert peak.value() == 0
    now_s[0] += WINDOW_S - 1
    peak.note(7.0)
    peak.note(3.0)
    seen = []
    for passed_s in (0, WINDOW_S, WINDOW_S):
        now_s[0] += passed_s
        seen.append(peak.value())
    assert seen == [7.0, 7.0, 0.0]


def test_a_long_pause_forgets_all() -> None:
    """Nobody looked and nothing came for an hour: what was before is not told."""
    now_s = [0.0]
    peak = Peak(lambda: now_s[0])
    peak.note(7.0)
    now_s[0] += 12 * WINDOW_S + 1
    assert peak.value() == 0
    peak.note(1.0)
    assert peak.value() == 1.0
