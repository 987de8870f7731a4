"""A worker's insides: where its time and memory go, its decoders, its partitions, the broker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grafana_foundation_sdk.builders.dashboard import Row
from panels import empty, lines, rows

if TYPE_CHECKING:
    from grafana_foundation_sdk.builders.dashboard import Dashboard, Panel

RATE = "[$__rate_interval]"


def dashboard() -> Dashboard:
    """Return the dashboard."""
    made = empty(
        "framewatch-worker",
        "Framewatch: a worker's insides",
        "Where a worker's time and memory go, its decoders, its partitions, and the broker as it sees it.",
        instance=True,
    )
    parts = {
        "Its state": _state(),
        "The way of a segment": _way(),
        "Decoders": _decoders(),
        "Partitions and the broker": _partitions(),
        "Memory and the process": _process(),
    }
    for title, panels in parts.items():
        made.with_row(Row(title))
        for panel in panels:
            made.with_panel(panel)
    return made


def _quantiles(metric: str, by: str = "") -> dict[str, str]:
    summed = f"sum by (le{by and ', ' + by}) (rate({metric}_bucket{{#}}{RATE}))"
    label = f"{{{{{by}}}}} " if by else ""
    return {
        f"{label}half": f"histogram_quantile(0.5, {summed})",
        f"{label}99 of 100": f"histogram_quantile(0.99, {summed})",
    }


def _state() -> list[Panel]:
    return [
        rows(
            "Versions",
            "max by (instance, version) (framewatch_build_info{#})",
            "What each worker runs; two versions for long mean that a deployment is half done.",
            unit="none",
            runbook="versions-differ",
            width=8,
            height=6,
        ),
        lines(
            "Why not ready",
            {"{{instance}} {{reason}}": "framewatch_unready{#}"},
            "1 at each reason that holds: joining the group, halted, parked, restoring, held.",
            unit="none",
            runbook="not-watching",
            width=8,
            height=6,
        ),
        lines(
            "Partitions",
            {
                "{{instance}} has": "framewatch_partitions_owned{#}",
                "{{instance}} held back": "framewatch_partitions_paused{#}",
                "{{instance}} parked": "framewatch_partitions_parked{#}",
                "{{instance}} waiting for a store": "framewatch_partitions_held{#}",
            },
            "What each worker has; held back means that too much is in work.",
            unit="none",
            runbook="partitions-missing",
            width=8,
            height=6,
        ),
    ]


def _way() -> list[Panel]:
    return [
        lines(
            "Consumed and finished",
            {
                "consumed": f"sum(rate(framewatch_consumed_total{{#}}{RATE}))",
                "{{outcome}}": f"sum by (outcome) (rate(framewatch_segments_total{{#}}{RATE}))",
                "notices": f"sum(rate(framewatch_notices_total{{#}}{RATE}))",
                "abandoned": f"sum(rate(framewatch_abandoned_total{{#}}{RATE}))",
            },
            "Records a second. What is consumed ends as one of the others.",
            unit="reqps",
            runbook="outcomes-missing",
        ),
        lines(
            "Time in each stage, 99 of 100",
            {
                "{{stage}}": "histogram_quantile(0.99, sum by (le, stage) "
                f"(rate(framewatch_stage_seconds_bucket{{#}}{RATE})))"
            },
            "For one segment; open, hash and resize are parts of decode and count CPU time.",
            unit="s",
            runbook="escalations-late",
        ),
        lines(
            "In work",
            {"{{instance}}": "sum by (instance) (framewatch_in_flight_segments{#})"},
            "Segments in work or waiting.",
            unit="none",
            runbook="behind",
            width=8,
        ),
        lines(
            "Bytes in work",
            {"{{instance}}": "sum by (instance) (framewatch_in_flight_bytes{#})"},
            "Bodies in work or waiting; intake.max_bytes bounds it.",
            unit="bytes",
            runbook="behind",
            width=8,
        ),
        lines(
            "Bytes consumed",
            {"{{instance}}": f"sum by (instance) (rate(framewatch_consumed_bytes_total{{#}}{RATE}))"},
            "Bodies of the consumed records.",
            unit="Bps",
            runbook="behind",
            width=8,
        ),
    ]


def _decoders() -> list[Panel]:
    return [
        lines(
            "Decoders",
            {"{{instance}} alive": "framewatch_decoders_alive{#}", "{{instance}} busy": "framewatch_decoders_busy{#}"},
            "Busy at its upper end all the time: decoding is the limit.",
            unit="none",
            runbook="decoders",
            width=8,
        ),
        lines(
            "Ends of decoders",
            {"{{change}} {{cause}}": f"sum by (change, cause) (increase(framewatch_decoder_ends_total{{#}}{RATE}))"},
            "Retired ones ended as planned; the others died or were killed.",
            unit="none",
            runbook="decoders",
            width=8,
        ),
        lines(
            "Lock-down",
            {"{{instance}} {{level}}": "framewatch_jail_level{#}"},
            "1 at how far the decoders are locked down; it should be full everywhere.",
            unit="none",
            runbook="jail-not-full",
            width=8,
        ),
    ]


def _partitions() -> list[Panel]:
    return [
        lines(
            "Lag",
            {"{{partition}}": "max by (partition) (framewatch_lag_messages{#})"},
            "Records that the broker has and the partition's worker has not consumed.",
            unit="none",
            runbook="behind",
            width=8,
        ),
        lines(
            "Releases",
            {"{{result}}": f"sum by (result) (rate(framewatch_releases_total{{#}}{RATE}))"},
            "Transactions a second; after an unknown one the partition is taken again.",
            unit="ops",
            runbook="releases-unknown",
            width=8,
        ),
        lines(
            "Time of a release",
            _quantiles("framewatch_release_seconds"),
            "How long a release of results and offsets took.",
            unit="s",
            runbook="releases-unknown",
            width=8,
        ),
        lines(
            "Released, by topic",
            {"{{topic}}": f"sum by (topic) (rate(framewatch_released_bytes_total{{#}}{RATE}))"},
            "What results weigh.",
            unit="Bps",
            runbook="releases-unknown",
            width=8,
            stacked=True,
        ),
        lines(
            "Oldest release",
            {"{{partition}}": "max by (partition) (time() - framewatch_last_release_timestamp_seconds{#})"},
            "How long ago a partition's last release was; one that nothing comes of has none to make.",
            unit="s",
            runbook="results-stuck",
            width=8,
        ),
        lines(
            "Comings and goings",
            {
                "assignments": "sum(increase(framewatch_rebalances_total{#}[$__range]))",
                "lost": "sum(increase(framewatch_partitions_lost_total{#}[$__range]))",
                "taken after a death": "sum(increase(framewatch_unclean_takes_total{#}[$__range]))",
                "offsets moved": "sum(increase(framewatch_offsets_moved_total{#}[$__range]))",
            },
            "In the time shown.",
            unit="none",
            runbook="group-unsettled",
            width=8,
        ),
        lines(
            "Time to restore a partition",
            {"mean": "sum(framewatch_restore_seconds_sum{#}) / sum(framewatch_restore_seconds_count{#})"},
            "From its assignment until it worked, since the workers' start.",
            unit="s",
            runbook="restore-slow",
            width=8,
        ),
        lines(
            "State records read while restoring",
            {"{{partition}}": "max by (partition) (framewatch_restoring_records{#})"},
            "0 once a partition works.",
            unit="none",
            runbook="restore-slow",
            width=8,
        ),
        lines(
            "Waits for what is away",
            {"{{instance}}": f"sum by (instance) (rate(framewatch_held_total{{#}}{RATE}))"},
            "Such as a store that does not answer; the log's held lines name it.",
            unit="ops",
            runbook="store-away",
            width=8,
        ),
    ]


def _process() -> list[Panel]:
    return [
        lines(
            "Memory",
            {"{{instance}}": "process_resident_memory_bytes{#}"},
            "The worker's own process, without its decoders; docs/memory.md has the bound.",
            unit="bytes",
            runbook="workers-die",
            width=8,
        ),
        lines(
            "CPU",
            {"{{instance}}": f"rate(process_cpu_seconds_total{{#}}{RATE})"},
            "Cores that the worker's own process takes, without its decoders.",
            unit="none",
            runbook="behind",
            width=8,
        ),
        lines(
            "How late the event loop is",
            _quantiles("framewatch_event_loop_lag_seconds"),
            "Above a tenth of a second often: the worker's own thread is short of CPU.",
            unit="s",
            runbook="behind",
            width=8,
        ),
        lines(
            "Streams",
            {"{{partition}}": "max by (partition) (framewatch_streams{#})"},
            "Remembered, by partition; streams.max is its bound.",
            unit="none",
            runbook="streams-crowded-out",
            width=8,
        ),
        lines(
            "Bytes of streams",
            {"{{partition}}": "max by (partition) (framewatch_streams_bytes{#})"},
            "Snapshots, segments to preserve, initialisations.",
            unit="bytes",
            runbook="streams-crowded-out",
            width=8,
        ),
        lines(
            "Streams forgotten",
            {"{{why}}": f"sum by (why) (increase(framewatch_streams_evicted_total{{#}}{RATE}))"},
            "Any that were crowded out are too many.",
            unit="none",
            runbook="streams-crowded-out",
            width=8,
        ),
        lines(
            "Spans",
            {"{{result}}": f"sum by (result) (rate(framewatch_spans_total{{#}}{RATE}))"},
            "Handed to the traces' collector, or not taken by it; watching goes on without.",
            unit="ops",
            runbook="README",
            width=8,
            height=5,
        ),
    ]
