"""How long things take."""

from __future__ import annotations

from worker.telemetry.catalogue.bounds import STEPS
from worker.telemetry.catalogue.metric import FAST_S, SLOW_S, Metric, one

METRICS = (
    Metric(
        name="framewatch_escalation_seconds",
        kind="histogram",
        unit="seconds",
        meaning="From a segment's append to the broker to the acknowledged incident it led to.",
        action="Late: is there lag? Then add workers. Else the stages' and the release's seconds show what is slow.",
        buckets=SLOW_S,
    ),
    Metric(
        name="framewatch_escalation_from_capture_seconds",
        kind="histogram",
        unit="seconds",
        meaning="The same from when the segment's first frame was captured, where its publisher says so (ce_time).",
        action="Late though escalation_seconds is not: the publisher is slow to publish, or his clock is wrong.",
        buckets=SLOW_S,
    ),
    Metric(
        name="framewatch_outcome_seconds",
        kind="histogram",
        unit="seconds",
        meaning="From a segment's append to the broker to its acknowledged outcome, for every segment.",
        action="How late watching is; the same as for escalation_seconds, with more to see.",
        buckets=SLOW_S,
    ),
    Metric(
        name="framewatch_stage_seconds",
        kind="histogram",
        unit="seconds",
        meaning="What each step took for one segment; open, hash and resize are parts of decode and count CPU time.",
        action="fetch slow: the store. decode slow: larger pictures, too few cores. score slow: the model's threads.",
        labels=("stage",),
        values=one(*STEPS),
        buckets=FAST_S,
    ),
    Metric(
        name="framewatch_release_seconds",
        kind="histogram",
        unit="seconds",
        meaning="How long a release of results and offsets took.",
        action="Slow: the broker's disks, acks or network; with transactions, the transaction coordinator.",
        buckets=FAST_S,
    ),
    Metric(
        name="framewatch_restore_seconds",
        kind="histogram",
        unit="seconds",
        meaning="How long it took to take a partition, from its assignment until it worked.",
        action="Slow: the risk topic is not compacted often enough, or streams.max is large (docs/memory.md).",
        buckets=SLOW_S,
    ),
    Metric(
        name="framewatch_event_loop_lag_seconds",
        kind="histogram",
        unit="seconds",
        meaning="How late the event loop was to a timer, looked at once a second.",
        action="Often above a tenth of a second: the worker's own thread is short of CPU; add CPU or workers.",
        buckets=FAST_S,
    ),
)
