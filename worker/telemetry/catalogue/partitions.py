"""Partitions, the group, how far behind, and what leaves."""

from __future__ import annotations

from worker.telemetry.catalogue.bounds import TOPICS
from worker.telemetry.catalogue.metric import PARTITIONS, Metric, one

METRICS = (
    Metric(
        name="framewatch_lag_messages",
        kind="gauge",
        unit="records",
        meaning="Records that the broker has and this process has not consumed, as of its last fetch.",
        action="Grows for minutes: add workers, up to the number of partitions; one partition alone: a hot stream.",
        labels=("partition",),
        bound=PARTITIONS,
    ),
    Metric(
        name="framewatch_behind_seconds",
        kind="gauge",
        unit="seconds",
        meaning=(
            "How far behind live a partition is: the age of what it consumed last (the median of its last 9 records' "
            "append times, so that no publisher's clock bends it), and 0 where it has consumed all there is and is not "
            "stopped. Of one that does not work yet or stands still: how long this process has had it."
        ),
        action="Above the objective: add workers. Grows on one worker only: look at its readiness, restart it.",
        labels=("partition",),
        bound=PARTITIONS,
    ),
    Metric(
        name="framewatch_rebalances_total",
        kind="counter",
        unit="rebalances",
        meaning="Assignments that the group gave to this process.",
        action="Often without a deployment: members die or miss heartbeats; set kafka.instance_id, look for restarts.",
    ),
    Metric(
        name="framewatch_partitions_owned",
        kind="gauge",
        unit="partitions",
        meaning="Partitions that this process has now.",
        action="The sum over all workers is the topic's partitions; less for minutes means some are not watched.",
    ),
    Metric(
        name="framewatch_partitions_paused",
        kind="gauge",
        unit="partitions",
        meaning="Partitions held back now because too much is in work.",
        action="All the time: this worker is at its limit. Add workers, or raise intake.max_segments if memory allows.",
    ),
    Metric(
        name="framewatch_partitions_held",
        kind="gauge",
        unit="partitions",
        meaning="Partitions in which some stream waits now for something that is away, such as a store.",
        action="The log's held lines and /readyz name what is away; bring it back, nothing is lost meanwhile.",
    ),
    Metric(
        name="framewatch_partitions_lost_total",
        kind="counter",
        unit="partitions",
        meaning="Partitions whose memory was given up, to be taken again.",
        action="Often: releases have unknown outcomes; look at the broker, and at kafka.send_deadline_s.",
    ),
    Metric(
        name="framewatch_partitions_parked",
        kind="gauge",
        unit="partitions",
        meaning="Partitions that stand still: state, offset and log disagree, intake.on_rewind has to say what holds.",
        action="Alert on any: their streams are not watched. The log says why; set intake.on_rewind and restart.",
    ),
    Metric(
        name="framewatch_offsets_moved_total",
        kind="counter",
        unit="partitions",
        meaning="Partitions taken although state, offset and log disagree, as intake.on_rewind says.",
        action="Set intake.on_rewind back to stop once it is as you meant.",
    ),
    Metric(
        name="framewatch_unclean_takes_total",
        kind="counter",
        unit="partitions",
        meaning="Partitions whose last owner died with work in hand: that goes one at a time, to find what killed it.",
        action="After each out-of-memory kill or node loss some; again and again: look at what kills workers.",
    ),
    Metric(
        name="framewatch_breaker_tripped",
        kind="gauge",
        unit="1",
        meaning="1 while intake is stopped because most healthy streams turned bad at once.",
        action="Alert on it: nothing is watched. Roll the last deployment back, or mend what failed, then restart.",
    ),
    Metric(
        name="framewatch_in_flight_segments",
        kind="gauge",
        unit="records",
        meaning="Segments in work or waiting in this process.",
        action="At intake.max_segments all the time: see framewatch_partitions_paused.",
        labels=("partition",),
        bound=PARTITIONS,
    ),
    Metric(
        name="framewatch_in_flight_bytes",
        kind="gauge",
        unit="bytes",
        meaning="Bytes of bodies in work or waiting in this process.",
        action="At intake.max_bytes all the time: large inline bodies; send claim checks, or add workers.",
        labels=("partition",),
        bound=PARTITIONS,
    ),
    Metric(
        name="framewatch_releases_total",
        kind="counter",
        unit="releases",
        meaning="Releases by how they ended; after an unknown one the partition is taken again.",
        action="unknown ones: the broker did not answer within kafka.send_deadline_s; look at it and at the network.",
        labels=("result",),
        values=one("ok", "unknown"),
    ),
    Metric(
        name="framewatch_released_records_total",
        kind="counter",
        unit="records",
        meaning="Records that acknowledged releases wrote, by topic; those of risk are snapshots and checkpoints.",
        action="For sizing; over framewatch_releases_total it is the records of one release.",
        labels=("topic",),
        values=one(*TOPICS),
    ),
    Metric(
        name="framewatch_released_bytes_total",
        kind="counter",
        unit="bytes",
        meaning="Bytes of those records' keys and values.",
        action="For sizing the topics; of risk it is what snapshots cost (docs/memory.md).",
        labels=("topic",),
        values=one(*TOPICS),
    ),
    Metric(
        name="framewatch_last_release_timestamp_seconds",
        kind="gauge",
        unit="timestamp",
        meaning="When a partition's last release was acknowledged; one that nothing comes of has none to make.",
        action="Minutes old while the partition's lag or in-flight is above 0: its results do not leave; see the log.",
        labels=("partition",),
        bound=PARTITIONS,
    ),
)
