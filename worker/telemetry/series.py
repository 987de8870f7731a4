"""The series of one process, in a registry of their own: counts, sets and times them by name, within their bounds."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from worker.telemetry.catalogue import METRICS
from worker.telemetry.catalogue.metric import OTHER, Metric

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from prometheus_client.metrics_core import Metric as Family

Child = TypeVar("Child", Counter, Histogram)
OF_PARTITIONS = tuple(one.name for one in METRICS if one.labels == ("partition",))


class Series:
    """Knows each metric of the catalogue. Not thread-safe beyond what Prometheus' client is."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        """Every series whose labels are known beforehand begins at 0, so that its first increase is seen.

        ``monotonic`` gives seconds.
        """
        self._monotonic = monotonic
        self._registry = CollectorRegistry()
        self._counters = {one.name: _counter(one, self._registry) for one in METRICS if one.kind == "counter"}
        self._gauges = {one.name: _gauge(one, self._registry) for one in METRICS if one.kind == "gauge"}
        self._histograms = {one.name: _histogram(one, self._registry) for one in METRICS if one.kind == "histogram"}
        self._counted: dict[tuple[str, tuple[str, ...]], Counter] = {}
        self._observed: dict[tuple[str, tuple[str, ...]], Histogram] = {}
        self._values = {one.name: frozenset(one.values) for one in METRICS}
        ProcessCollector(registry=self._registry)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text, and its media type: OpenMetrics, with exemplars, where ``accept`` asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(_Lean(self._registry)), content_type

    def value(self, name: str, *labels: str) -> float:
        """Return a series' value now, 0 where nothing has happened; of a histogram ``name_sum`` or ``name_count``."""
        family = name.removesuffix("_sum").removesuffix("_count")
        keys = next(one.labels for one in METRICS if one.name in (name, family))
        return self._registry.get_sample_value(name, dict(zip(keys, labels, strict=True))) or 0.0

    def _count(self, name: str, *labels: str, amount: float = 1) -> None:
        _one(self._counted, self._counters[name], name, self._bounded(name, labels)).inc(amount)

    def _set(self, name: str, value: float, *labels: str) -> None:
        gauge, labels = self._gauges[name], self._bounded(name, labels)
        (gauge.labels(*labels) if labels else gauge).set(value)

    def _observe(self, name: str, value: float, *labels: str, trace_id: str | None = None) -> None:
        """Note a value; ``trace_id`` is that of a trace which somebody keeps, to look at one such case."""
        exemplar = None if trace_id is None else {"trace_id": trace_id}
        histogram = _one(self._observed, self._histograms[name], name, self._bounded(name, labels))
        histogram.observe(value, exemplar)

    def _clear(self, *names: str) -> None:
        for name in names:
            self._gauges[name].clear()

    def _bounded(self, name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        known = self._values[name]
        return labels if not known or labels in known else (OTHER,) * len(labels)


class _Lean:
    """A registry without the client's ``_created`` series, which would double every counter for nothing.

    The client can leave them out too, but only for the whole process.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._registry = registry

    def collect(self) -> Iterator[Family]:
        for family in self._registry.collect():
            family.samples = [sample for sample in family.samples if not sample.name.endswith("_created")]
            yield family


def _one(known: dict[tuple[str, tuple[str, ...]], Child], family: Child, name: str, labels: tuple[str, ...]) -> Child:
    """Return a family's series with these labels; looked up once, since the client's own way there takes a lock."""
    if not labels:
        return family
    if (found := known.get((name, labels))) is None:
        found = known[name, labels] = family.labels(*labels)
    return found


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    counter = Counter(metric.name, metric.meaning, metric.labels, registry=registry)
    for values in metric.values:
        counter.labels(*values)
    return counter


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    gauge = Gauge(metric.name, metric.meaning, metric.labels, registry=registry)
    for values in metric.values:
        gauge.labels(*values)
    return gauge


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    histogram = Histogram(metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets)
    for values in metric.values:
        histogram.labels(*values)
    return histogram
