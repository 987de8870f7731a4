"""What is told of partitions: the group, how far behind, what leaves, what is remembered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.telemetry.series import OF_PARTITIONS, Series

if TYPE_CHECKING:
    from collections.abc import Iterable


class OfPartitions(Series):
    """Counts what happens to partitions; each method is named after it."""

    def released(self, result: str, seconds: float) -> None:
        """Count a release by how it ended, and its time."""
        self._count("framewatch_releases_total", result)
        self._observe("framewatch_release_seconds", seconds)

    def left(self, partition: int, sizes: Iterable[tuple[str, int]], at_s: float) -> None:
        """Count what an acknowledged release wrote: topic (by its setting) and bytes of each record; Unix seconds."""
        for topic, size_bytes in sizes:
            self._count("framewatch_released_records_total", topic)
            self._count("framewatch_released_bytes_total", topic, amount=size_bytes)
        self._set("framewatch_last_release_timestamp_seconds", at_s, str(partition))

    def rebalanced(self) -> None:
        """Count an assignment."""
        self._count("framewatch_rebalances_total")

    def owned(self, partitions: int) -> None:
        """Note how many partitions there are now; what was told of single ones is told anew."""
        self._set("framewatch_partitions_owned", partitions)
        self._clear(*OF_PARTITIONS)

    def paused(self, partitions: int) -> None:
        """Note how many partitions are held back."""
        self._set("framewatch_partitions_paused", partitions)

    def waiting(self, partitions: int) -> None:
        """Note in how many partitions a stream waits for something that is away."""
        self._set("framewatch_partitions_held", partitions)

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
        """Note how long it took until a partition worked."""
        self._observe("framewatch_restore_seconds", seconds)

    def in_flight(self, partition: int, segments: int, size_bytes: int) -> None:
        """Note what a partition has in work or waiting."""
        self._set("framewatch_in_flight_segments", segments, str(partition))
        self._set("framewatch_in_flight_bytes", size_bytes, str(partition))

    def remembers(self, partition: int, streams: int, size_bytes: int, open_incidents: int = 0) -> None:
        """Note how many streams a partition remembers, how large that is, and how many have an open incident."""
        self._set("framewatch_streams", streams, str(partition))
        self._set("framewatch_streams_bytes", size_bytes, str(partition))
        self._set("framewatch_open_incidents", open_incidents, str(partition))
        self._set("framewatch_restoring_records", 0, str(partition))

    def forgot(self, why: str, streams: int) -> None:
        """Count streams that were let go."""
        self._count("framewatch_streams_evicted_total", why, amount=streams)

    def restoring(self, partition: int, records: int) -> None:
        """Note how far a partition's restoring has come."""
        self._set("framewatch_restoring_records", records, str(partition))

    def lag(self, partition: int, messages: int | None) -> None:
        """Note how many records a partition is behind; nothing where that is unknown."""
        if messages is not None:
            self._set("framewatch_lag_messages", messages, str(partition))

    def behind(self, partition: int, seconds: float) -> None:
        """Note how far behind live a partition is."""
        self._set("framewatch_behind_seconds", seconds, str(partition))
