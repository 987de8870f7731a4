"""What an expression of PromQL speaks of, held against the metrics that the worker declares."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from worker.telemetry.catalogue import METRICS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

OTHERS = {"ALERTS", "up", "process_start_time_seconds", "process_resident_memory_bytes", "process_cpu_seconds_total"}
"""What Prometheus itself and its client have."""
FROM_SCRAPES = {"namespace", "job", "instance", "pod", "alertname", "alertstate", "severity"}
"""Labels that no worker sets."""
_DECLARED = {one.name: one for one in METRICS}
_METRIC = r"(?:\w+:)?framewatch_\w+(?::\w+)?|\bALERTS\b|\bup\b|\bprocess_\w+"
_MATCHER = r'(\w+)(=~|!~|=|!=)"([^"]*)"'


def undeclared(expression: str, records: Collection[str] = ()) -> list[str]:
    """What an expression names that nobody makes: metrics, their labels, and values that a label never has."""
    return [
        wrong
        for name, matchers in re.findall(rf"({_METRIC})(?:\{{([^}}]*)\}})?", expression)
        for wrong in _wrong(name, matchers, records)
    ]


def records(groups: dict) -> set[str]:
    """The names that a rules file records."""
    return {rule["record"] for group in groups["groups"] for rule in group["rules"] if "record" in rule}


def _wrong(name: str, matchers: str, recorded: Collection[str]) -> Iterator[str]:
    family = re.sub(r"_(bucket|sum|count)$", "", name)
    metric = _DECLARED.get(name) or _DECLARED.get(family)
    if metric is None:
        if name not in OTHERS and name not in recorded:
            yield name
        return
    if (name == metric.name) == (metric.kind == "histogram"):
        yield f"{name} is a {metric.kind}"
    for label, _, value in re.findall(_MATCHER, matchers):
        if label in FROM_SCRAPES:
            continue
        if label == "le":
            if float(value) not in metric.buckets:
                yield f"{name}: no bucket {value}"
        elif label not in metric.labels:
            yield f"{name}: no label {label}"
        elif metric.values:
            column = {values[metric.labels.index(label)] for values in metric.values}
            yield from (f"{name}: {label} is never {one}" for one in set(value.split("|")) - column)
