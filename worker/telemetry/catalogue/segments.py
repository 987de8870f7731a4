"""What is counted on the way of a segment, from its consumption to its outcome."""

from __future__ import annotations

from typing import get_args

from worker.records import Outcome
from worker.telemetry.catalogue.bounds import ERRORS, KEYFRAME_STEPS, UNWATCHED, WHYS
from worker.telemetry.catalogue.metric import Metric, one

METRICS = (
    Metric(
        name="framewatch_consumed_total",
        kind="counter",
        unit="records",
        meaning="Records consumed, counted before anything in them is believed.",
        action="At 0 over all workers while publishers publish: look at lag, readiness and the group's members.",
    ),
    Metric(
        name="framewatch_consumed_bytes_total",
        kind="counter",
        unit="bytes",
        meaning="Bytes of the consumed records' bodies.",
        action="For sizing; where it grows without more segments, publishers send larger ones.",
    ),
    Metric(
        name="framewatch_segments_total",
        kind="counter",
        unit="segments",
        meaning="Segments by what became of them, counted when the broker has acknowledged it.",
        action="Nearly all should be assessed; the reasons and the dead letters say what is wrong with the others.",
        labels=("outcome",),
        values=one(*get_args(Outcome)),
    ),
    Metric(
        name="framewatch_segment_reasons_total",
        kind="counter",
        unit="segments",
        meaning="Segments whose outcome has a reason: why one was skipped or shed, or how an assessed one was odd.",
        action=(
            "no_video, no_keyframe: tell the publisher. partial, restarted: look at his encoder. repeat: retries. "
            "lateness, overload, hurried: more comes than can be looked at, add workers."
        ),
        labels=("outcome", "why"),
        values=tuple((outcome, why) for outcome, whys in WHYS.items() for why in whys),
    ),
    Metric(
        name="framewatch_notices_total",
        kind="counter",
        unit="records",
        meaning="Initialisation and end events that were well-formed: consumed, without an outcome of their own.",
        action="Nothing; it makes the sum of outcomes add up to what was consumed.",
    ),
    Metric(
        name="framewatch_abandoned_total",
        kind="counter",
        unit="records",
        meaning="Records given up at a hand-over, unfinished; the partition's next owner consumes them again.",
        action="Many at each deployment: raise intake.drain_s and shutdown.grace_s, or find what is slow.",
    ),
    Metric(
        name="framewatch_segments_expired_total",
        kind="counter",
        unit="records",
        meaning="Records that retention deleted before they were consumed: nobody watched them.",
        action="Alert on any. Lengthen the retention of segments at once, then add workers until the lag is gone.",
    ),
    Metric(
        name="framewatch_dead_letters_total",
        kind="counter",
        unit="records",
        meaning="Events that can never succeed, by the stage and error of their dead letter.",
        action="Read the dead letters of that error: reason and orig_ headers say which publisher and why.",
        labels=("stage", "error"),
        values=tuple((stage, error) for stage, errors in ERRORS.items() for error in errors),
    ),
    Metric(
        name="framewatch_held_total",
        kind="counter",
        unit="waits",
        meaning="Times an event had to wait for something that was away, such as a store.",
        action="While it grows, look at the log's held lines: they name the store that is away.",
    ),
    Metric(
        name="framewatch_media_seconds_total",
        kind="counter",
        unit="seconds",
        meaning=(
            "Media time of streams, on their own clocks: watched, unwatched and why, or recovered (counted as "
            "unwatched first, and then a late segment was looked at). Not in it: records that expired, and records "
            "without a usable stream id."
        ),
        action=(
            "(watched + recovered) / (watched + unwatched) is the coverage; the cause of most unwatched seconds is "
            "what to mend: missing is the publisher's or the network's, the others are dead letters, skips and sheds."
        ),
        labels=("coverage", "cause"),
        values=(("watched", "none"), ("recovered", "none"), *(("unwatched", cause) for cause in UNWATCHED)),
    ),
    Metric(
        name="framewatch_longest_gap_seconds",
        kind="gauge",
        unit="seconds",
        meaning=(
            "Longest run of media in which nothing of one stream was watched, among the segments that had their "
            "outcome in the last 5 to 10 minutes, by what made it that long; 0 where there was none."
        ),
        action="Minutes: one stream is blind though others are watched. The dead letters or assessments name it.",
        labels=("cause",),
        values=one(*UNWATCHED),
    ),
    Metric(
        name="framewatch_keyframes_total",
        kind="counter",
        unit="keyframes",
        meaning="Keyframes seen in segments, looked at, hashed (quality of 50 or more) and scored by the classifier.",
        action="Few hashed of those looked at: pictures too plain for a hash. None scored: there is no classifier.",
        labels=("step",),
        values=one(*KEYFRAME_STEPS),
    ),
)
