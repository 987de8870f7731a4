"""Every metric, declared once: name, kind, unit, labels with all the values they can have, meaning, and what to do.

No label grows with streams, accounts or content. docs/metrics.md is made from this table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.telemetry.catalogue import found, partitions, process, segments, streams, times

if TYPE_CHECKING:
    from worker.telemetry.catalogue.metric import Metric

METRICS: tuple[Metric, ...] = (
    *segments.METRICS,
    *found.METRICS,
    *times.METRICS,
    *partitions.METRICS,
    *streams.METRICS,
    *process.METRICS,
)


def table() -> str:
    """Return the catalogue as a Markdown table."""
    rows = ["| metric | kind | unit | labels | meaning | what to do |", "| --- | --- | --- | --- | --- | --- |"]
    rows += [
        f"| `{one.name}` | {one.kind} | {one.unit} | {_labels(one)} | {one.meaning} | {one.action} |" for one in METRICS
    ]
    return "\n".join(rows)


def _labels(metric: Metric) -> str:
    if metric.bound:
        return f"{', '.join(f'`{label}`' for label in metric.labels)}: {metric.bound}"
    columns = zip(metric.labels, zip(*metric.values, strict=True), strict=True)
    return "; ".join(f"`{label}`: {', '.join(dict.fromkeys(values))}" for label, values in columns)
