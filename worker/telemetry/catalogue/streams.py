"""What is remembered of streams."""

from __future__ import annotations

from worker.telemetry.catalogue.metric import PARTITIONS, Metric, one

METRICS = (
    Metric(
        name="framewatch_streams",
        kind="gauge",
        unit="streams",
        meaning="Streams remembered, as of the partition's last release; streams.max and incidents bound it.",
        action="Near streams.max: raise it (docs/memory.md has the cost), or lower streams.idle_s.",
        labels=("partition",),
        bound=PARTITIONS,
    ),
    Metric(
        name="framewatch_streams_bytes",
        kind="gauge",
        unit="bytes",
        meaning="Bytes kept of them: snapshots, segments to preserve, initialisations.",
        action="For sizing memory; docs/memory.md has the formula.",
        labels=("partition",),
        bound=PARTITIONS,
    ),
    Metric(
        name="framewatch_streams_evicted_total",
        kind="counter",
        unit="streams",
        meaning="Streams forgotten: ended, idle, or crowded out above streams.max.",
        action="Alert on any that were crowded out: raise streams.max, or add partitions' worth of workers.",
        labels=("why",),
        values=one("ended", "idle", "crowded"),
    ),
    Metric(
        name="framewatch_restoring_records",
        kind="gauge",
        unit="records",
        meaning="State records read so far by a partition that is being restored; 0 once it works.",
        action="Stands still above 0: the broker does not give the risk topic; see the log.",
        labels=("partition",),
        bound=PARTITIONS,
    ),
)
