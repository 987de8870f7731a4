"""The metrics of one process, in a registry of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector
from prometheus_client.exposition import choose_encoder

from worker import __version__
from worker.telemetry.catalogue import JAIL_LEVELS, METRICS, OTHER, Metric

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.records import ModelRef, Outcome, PolicyRef, Severity


class Telemetry:
    """Counts what happened; each method is named after it. Not thread-safe beyond what Prometheus' client is."""

    def __init__(self) -> None:
        """Every series whose labels are known beforehand begins at 0, so that its first increase is seen."""
        self._registry = CollectorRegistry()
        self._counters = {one.name: _counter(one, self._registry) for one in METRICS if one.kind == "counter"}
        self._gauges = {one.name: _gauge(one, self._registry) for one in METRICS if one.kind == "gauge"}
        self._histograms = {one.name: _histogram(one, self._registry) for one in METRICS if one.kind == "histogram"}
        self._values = {one.name: frozenset(one.values) for one in METRICS}
        ProcessCollector(registry=self._registry)
        self._set("framewatch_build_info", 1, __version__)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics as text, and its media type: OpenMetrics where ``accept`` asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type

    def value(self, name: str, *labels: str) -> float:
        """Return a series' value now, 0 where nothing has happened; of a histogram ``name_sum`` or ``name_count``."""
        family = name.removesuffix("_sum").removesuffix("_count")
        keys = next(one.labels for one in METRICS if one.name in (name, family))
        return self._registry.get_sample_value(name, dict(zip(keys, labels, strict=True))) or 0.0

    # --- the way of a segment ---

    def consumed(self, size_bytes: int) -> None:
        """Count a record before anything in it is believed."""
        self._count("framewatch_consumed_total")
        self._count("framewatch_consumed_bytes_total", amount=size_bytes)

    def outcome(self, outcome: Outcome, why: str | None) -> None:
        """Count what became of a segment, and why, once the broker has acknowledged it."""
        self._count("framewatch_segments_total", outcome)
        if why is not None and outcome != "dead_lettered":
            self._count("framewatch_segment_reasons_total", outcome, why)

    def noticed(self) -> None:
        """Count an initialisation or end event that was taken in."""
        self._count("framewatch_notices_total")

    def abandoned(self, events: int) -> None:
        """Count what the partition's next owner consumes again."""
        self._count("framewatch_abandoned_total", amount=events)

    def expired(self, events: int) -> None:
        """Count what retention deleted before anybody watched it."""
        self._count("framewatch_segments_expired_total", amount=events)

    def dead_letter(self, stage: str, error: str) -> None:
        """Count an event that can never succeed."""
        self._count("framewatch_dead_letters_total", stage, error)

    def escalated(self, change: str, severity: Severity, seconds: float | None) -> None:
        """Count an acknowledged incident, and how long after its segment's append it was; None where none led to it."""
        self._count("framewatch_incidents_total", change, severity)
        if seconds is not None:
            self._time("framewatch_escalation_seconds", seconds)

    def stage(self, name: str, seconds: float) -> None:
        """Note how long a step took for one segment."""
        self._time("framewatch_stage_seconds", seconds, name)

    # --- partitions and the group ---

    def released(self, result: str, seconds: float) -> None:
        """Count a release by how it ended, and its time."""
        self._count("framewatch_releases_total", result)
        self._time("framewatch_release_seconds", seconds)

    def rebalanced(self) -> None:
        """Count an assignment."""
        self._count("framewatch_rebalances_total")

    def owned(self, partitions: int) -> None:
        """Note how many partitions there are now; what was told of single ones is told anew."""
        self._set("framewatch_partitions_owned", partitions)
        for name in (
            "framewatch_in_flight_segments",
            "framewatch_in_flight_bytes",
            "framewatch_lag_messages",
            "framewatch_streams",
            "framewatch_streams_bytes",
            "framewatch_restoring_records",
        ):
            self._gauges[name].clear()

    def paused(self, partitions: int) -> None:
        """Note how many partitions are held back."""
        self._set("framewatch_partitions_paused", partitions)

    def parked(self, partitions: int) -> None:
        """Note how many partitions stand still until an operator says what holds."""
        self._set("framewatch_partitions_parked", partitions)

    def moved(self) -> None:
        """Count a partition taken although its offset was moved."""
        self._count("framewatch_offsets_moved_total")

    def searching(self) -> None:
        """Count a partition whose last owner died with work in hand."""
        self._count("framewatch_unclean_takes_total")

    def tripped(self) -> None:
        """Note that the breaker has stopped intake."""
        self._set("framewatch_breaker_tripped", 1)

    def lost(self) -> None:
        """Count a partition that is taken again."""
        self._count("framewatch_partitions_lost_total")

    def restored(self, seconds: float) -> None:
        """Note how long a partition took until it worked."""
        self._time("framewatch_restore_seconds", seconds)

    def held(self) -> None:
        """Count a wait for something that is away."""
        self._count("framewatch_held_total")

    def in_flight(self, partition: int, segments: int, size_bytes: int) -> None:
        """Note what a partition has in work or waiting."""
        self._set("framewatch_in_flight_segments", segments, str(partition))
        self._set("framewatch_in_flight_bytes", size_bytes, str(partition))

    def remembers(self, partition: int, streams: int, size_bytes: int) -> None:
        """Note how many streams a partition remembers, and how large that is."""
        self._set("framewatch_streams", streams, str(partition))
        self._set("framewatch_streams_bytes", size_bytes, str(partition))
        self._set("framewatch_restoring_records", 0, str(partition))

    def forgot(self, why: str, streams: int) -> None:
        """Count streams that were let go."""
        self._count("framewatch_streams_evicted_total", why, amount=streams)

    def restoring(self, partition: int, records: int) -> None:
        """Note how far a partition's restoring has come."""
        self._set("framewatch_restoring_records", records, str(partition))

    def lag(self, partition: int, messages: int | None) -> None:
        """Note how far a partition is behind; nothing where that is unknown."""
        if messages is not None:
            self._set("framewatch_lag_messages", messages, str(partition))

    # --- the process and what it decides with ---

    def decoder_ended(self, change: str, cause: str) -> None:
        """Count the end of a decoder process."""
        self._count("framewatch_decoder_ends_total", change, cause)

    def jail_level(self, level: str) -> None:
        """Note how far the decoders are locked down."""
        for each in JAIL_LEVELS:
            self._set("framewatch_jail_level", each == level, each)

    def loop_lag(self, seconds: float) -> None:
        """Note how late the event loop was."""
        self._time("framewatch_event_loop_lag_seconds", seconds)

    def decides_with(self, model: ModelRef | None, policy: PolicyRef, list_entries: Mapping[str, int]) -> None:
        """Note the classifier, the policy and the hash lists in use, in place of those before."""
        for name in ("framewatch_model_info", "framewatch_policy_info", "framewatch_list_entries"):
            self._gauges[name].clear()
        if model is not None:
            self._set("framewatch_model_info", 1, model.name, model.version, model.sha256)
        self._set("framewatch_policy_info", 1, policy.name, policy.sha256)
        for name, entries in list_entries.items():
            self._set("framewatch_list_entries", entries, name)

    def _count(self, name: str, *labels: str, amount: float = 1) -> None:
        counter, labels = self._counters[name], self._bounded(name, labels)
        (counter.labels(*labels) if labels else counter).inc(amount)

    def _set(self, name: str, value: float, *labels: str) -> None:
        gauge, labels = self._gauges[name], self._bounded(name, labels)
        (gauge.labels(*labels) if labels else gauge).set(value)

    def _time(self, name: str, seconds: float, *labels: str) -> None:
        histogram, labels = self._histograms[name], self._bounded(name, labels)
        (histogram.labels(*labels) if labels else histogram).observe(seconds)

    def _bounded(self, name: str, labels: tuple[str, ...]) -> tuple[str, ...]:
        known = self._values[name]
        return labels if not known or labels in known else (OTHER,) * len(labels)


def _counter(metric: Metric, registry: CollectorRegistry) -> Counter:
    counter = Counter(metric.name, metric.meaning, metric.labels, registry=registry)
    for values in metric.values:
        counter.labels(*values)
    return counter


def _gauge(metric: Metric, registry: CollectorRegistry) -> Gauge:
    return Gauge(metric.name, metric.meaning, metric.labels, registry=registry)


def _histogram(metric: Metric, registry: CollectorRegistry) -> Histogram:
    histogram = Histogram(metric.name, metric.meaning, metric.labels, registry=registry, buckets=metric.buckets)
    for values in metric.values:
        histogram.labels(*values)
    return histogram
