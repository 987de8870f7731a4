"""Every metric, declared once: name, kind, labels with all the values they can have, and meaning.

No label grows with streams, accounts or content. docs/metrics.md is made from this table.
"""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Literal, get_args

from msgspec import Struct

from worker.records import Outcome, Severity

if TYPE_CHECKING:
    from worker.errors import Stage

OTHER = "other"
"""What a label says whose value is not in its list: bounded, and visible."""

FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SLOW_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0)

ERRORS: dict[Stage, tuple[str, ...]] = {
    "wire": (
        "missing_header",
        "bad_header",
        "bad_key",
        "unknown_type",
        "no_body",
        "body_and_dataref",
        "too_large",
    ),
    "fetch": ("outside_roots", "not_found", "refused", "bad_digest", "bad_size", "too_large", "no_init"),
    "decode": (
        "container_mismatch",
        "unsupported_codec",
        "encrypted",
        "corrupt",
        "too_many_pixels",
        "too_many_streams",
        "timeout",
        "crashed",
        "out_of_memory",
    ),
    "score": ("model_failed",),
}
"""The contract's dead letters: stage to errors."""

WHYS: dict[Outcome, tuple[str, ...]] = {
    "assessed": ("late", "restarted", "partial"),
    "skipped": ("no_video", "no_keyframe", "repeat", "plan"),
    "shed": ("lateness", "overload"),
}
"""The contract's reasons for an outcome; a dead letter's are its errors."""

JAIL_LEVELS = ("full", "partial", "none")
STEPS = ("fetch", "decode", "open", "hash", "resize", "match", "score")
CAUSES = (
    "timeout",
    "cancelled",
    "hostile_reply",
    "slow_start",
    "signal",
    "forbidden_call",
    "exit",
    "out_of_memory",
    "zygote_lost",
    "decode_error",
    "failed",
    "worn",
    "start",
)

Values = tuple[tuple[str, ...], ...]
"""Every combination of label values that a metric can have."""


class Metric(Struct, frozen=True, kw_only=True):
    """One metric as Prometheus sees it."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    values: Values = ()
    """Every combination of the labels' values, in their order; empty where ``bound`` says what bounds them."""
    bound: str = ""
    """What bounds the labels' values where they are not known beforehand."""
    buckets: tuple[float, ...] = ()


def _one(*values: str) -> Values:
    return tuple((value,) for value in values)


METRICS: tuple[Metric, ...] = (
    # --- the way of a segment ---
    Metric(
        name="framewatch_consumed_total",
        kind="counter",
        meaning="Records consumed, counted before anything in them is believed.",
    ),
    Metric(
        name="framewatch_consumed_bytes_total",
        kind="counter",
        meaning="Bytes of the consumed records' bodies.",
    ),
    Metric(
        name="framewatch_segments_total",
        kind="counter",
        meaning="Segments by what became of them, counted when the broker has acknowledged it.",
        labels=("outcome",),
        values=_one(*get_args(Outcome)),
    ),
    Metric(
        name="framewatch_segment_reasons_total",
        kind="counter",
        meaning="Segments whose outcome has a reason: why one was skipped or shed, or how an assessed one was odd.",
        labels=("outcome", "why"),
        values=tuple((outcome, why) for outcome, whys in WHYS.items() for why in whys),
    ),
    Metric(
        name="framewatch_notices_total",
        kind="counter",
        meaning="Initialisation and end events that were well-formed: consumed, without an outcome of their own.",
    ),
    Metric(
        name="framewatch_abandoned_total",
        kind="counter",
        meaning="Records given up at a hand-over, unfinished; the partition's next owner consumes them again.",
    ),
    Metric(
        name="framewatch_segments_expired_total",
        kind="counter",
        meaning="Records that retention deleted before they were consumed: nobody watched them. Alert on any.",
    ),
    Metric(
        name="framewatch_dead_letters_total",
        kind="counter",
        meaning="Events that can never succeed, by the stage and error of their dead letter.",
        labels=("stage", "error"),
        values=tuple((stage, error) for stage, errors in ERRORS.items() for error in errors),
    ),
    Metric(
        name="framewatch_incidents_total",
        kind="counter",
        meaning="Incidents opened, updated and closed, by severity.",
        labels=("change", "severity"),
        values=tuple(product(("opened", "updated", "closed"), get_args(Severity))),
    ),
    # --- how long things take ---
    Metric(
        name="framewatch_escalation_seconds",
        kind="histogram",
        meaning="From a segment's append to the broker to the acknowledged incident it led to.",
        buckets=SLOW_S,
    ),
    Metric(
        name="framewatch_stage_seconds",
        kind="histogram",
        meaning="What each step took for one segment; open, hash and resize are parts of decode and count CPU time.",
        labels=("stage",),
        values=_one(*STEPS),
        buckets=FAST_S,
    ),
    Metric(
        name="framewatch_release_seconds",
        kind="histogram",
        meaning="How long a release of results and offsets took.",
        buckets=FAST_S,
    ),
    Metric(
        name="framewatch_restore_seconds",
        kind="histogram",
        meaning="How long it took to take a partition, from its assignment until it worked.",
        buckets=SLOW_S,
    ),
    Metric(
        name="framewatch_event_loop_lag_seconds",
        kind="histogram",
        meaning="How late the event loop was to a timer, looked at once a second.",
        buckets=FAST_S,
    ),
    # --- partitions and the group ---
    Metric(
        name="framewatch_releases_total",
        kind="counter",
        meaning="Releases by how they ended; after an unknown one the partition is taken again.",
        labels=("result",),
        values=_one("ok", "unknown"),
    ),
    Metric(
        name="framewatch_rebalances_total",
        kind="counter",
        meaning="Assignments that the group gave to this process.",
    ),
    Metric(
        name="framewatch_partitions_owned",
        kind="gauge",
        meaning="Partitions that this process has now.",
    ),
    Metric(
        name="framewatch_partitions_paused",
        kind="gauge",
        meaning="Partitions held back now because too much is in work.",
    ),
    Metric(
        name="framewatch_partitions_lost_total",
        kind="counter",
        meaning="Partitions whose memory was given up, to be taken again.",
    ),
    Metric(
        name="framewatch_partitions_parked",
        kind="gauge",
        meaning="Partitions that stand still: state, offset and log disagree, intake.on_rewind has to say what holds.",
    ),
    Metric(
        name="framewatch_offsets_moved_total",
        kind="counter",
        meaning="Partitions taken although state, offset and log disagree, as intake.on_rewind says.",
    ),
    Metric(
        name="framewatch_unclean_takes_total",
        kind="counter",
        meaning="Partitions whose last owner died with work in hand: that goes one at a time, to find what killed it.",
    ),
    Metric(
        name="framewatch_breaker_tripped",
        kind="gauge",
        meaning="1 while intake is stopped because most healthy streams turned bad at once. Alert on it.",
    ),
    Metric(
        name="framewatch_held_total",
        kind="counter",
        meaning="Times an event had to wait for something that was away, such as a store.",
    ),
    Metric(
        name="framewatch_in_flight_segments",
        kind="gauge",
        meaning="Segments in work or waiting in this process.",
        labels=("partition",),
        bound="the partitions of the segments topic",
    ),
    Metric(
        name="framewatch_in_flight_bytes",
        kind="gauge",
        meaning="Bytes of bodies in work or waiting in this process.",
        labels=("partition",),
        bound="the partitions of the segments topic",
    ),
    Metric(
        name="framewatch_lag_messages",
        kind="gauge",
        meaning="Records that the broker has and this process has not consumed.",
        labels=("partition",),
        bound="the partitions of the segments topic",
    ),
    # --- what is remembered of streams ---
    Metric(
        name="framewatch_streams",
        kind="gauge",
        meaning="Streams remembered, as of the partition's last release; streams.max and incidents bound it.",
        labels=("partition",),
        bound="the partitions of the segments topic",
    ),
    Metric(
        name="framewatch_streams_bytes",
        kind="gauge",
        meaning="Bytes kept of them: snapshots, segments to preserve, initialisations.",
        labels=("partition",),
        bound="the partitions of the segments topic",
    ),
    Metric(
        name="framewatch_streams_evicted_total",
        kind="counter",
        meaning="Streams forgotten: ended, idle, or crowded out above streams.max. Alert on any that were crowded out.",
        labels=("why",),
        values=_one("ended", "idle", "crowded"),
    ),
    Metric(
        name="framewatch_restoring_records",
        kind="gauge",
        meaning="State records read so far by a partition that is being restored; 0 once it works.",
        labels=("partition",),
        bound="the partitions of the segments topic",
    ),
    # --- the process and what it decides with ---
    Metric(
        name="framewatch_decoder_ends_total",
        kind="counter",
        meaning="Decoder processes that ended: died by themselves, killed in anger, or retired as planned; and why.",
        labels=("change", "cause"),
        values=tuple(product(("died", "killed", "retired"), CAUSES)),
    ),
    Metric(
        name="framewatch_jail_level",
        kind="gauge",
        meaning="1 at how far the decoders are locked down here, found by trying to escape; 0 at the other levels.",
        labels=("level",),
        values=_one(*JAIL_LEVELS),
    ),
    Metric(
        name="framewatch_list_entries",
        kind="gauge",
        meaning="Entries of each hash list in use.",
        labels=("list",),
        bound="the lists of matching.lists",
    ),
    Metric(
        name="framewatch_model_info",
        kind="gauge",
        meaning="1 for the classifier in use; no series where there is none.",
        labels=("name", "version", "sha256"),
        bound="one at a time",
    ),
    Metric(
        name="framewatch_policy_info",
        kind="gauge",
        meaning="1 for the policy in use.",
        labels=("name", "sha256"),
        bound="one at a time",
    ),
    Metric(
        name="framewatch_build_info",
        kind="gauge",
        meaning="1 for the version that runs.",
        labels=("version",),
        bound="one",
    ),
)


def table() -> str:
    """Return the catalogue as a Markdown table."""
    rows = ["| metric | kind | labels | meaning |", "| --- | --- | --- | --- |"]
    rows += [f"| `{metric.name}` | {metric.kind} | {_labels(metric)} | {metric.meaning} |" for metric in METRICS]
    return "\n".join(rows)


def _labels(metric: Metric) -> str:
    if metric.bound:
        return f"{', '.join(f'`{label}`' for label in metric.labels)}: {metric.bound}"
    columns = zip(metric.labels, zip(*metric.values, strict=True), strict=True)
    return "; ".join(f"`{label}`: {', '.join(dict.fromkeys(values))}" for label, values in columns)
