"""What is told of segments, from consumption to what was found in them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker.telemetry.catalogue.bounds import UNWATCHED
from worker.telemetry.peaks import Peak
from worker.telemetry.series import Series

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from worker.records import Outcome, ReasonKind, Severity
    from worker.telemetry.catalogue.bounds import Unwatched

MOST_LABELS = 64
"""A model may have a thousand labels; so many have a distribution of their own."""


class OfSegments(Series):
    """Counts what happens to segments; each method is named after it."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        """``monotonic`` gives seconds."""
        super().__init__(monotonic)
        self._labels: set[str] = set()
        self._gaps = {cause: Peak(monotonic) for cause in UNWATCHED}
        for cause, peak in self._gaps.items():
            self._gauges["framewatch_longest_gap_seconds"].labels(cause).set_function(peak.value)

    def consumed(self, size_bytes: int) -> None:
        """Count a record before anything in it is believed."""
        self._count("framewatch_consumed_total")
        self._count("framewatch_consumed_bytes_total", amount=size_bytes)

    def outcome(self, outcome: Outcome, why: str | None) -> None:
        """Count what became of a segment, and why, once the broker has acknowledged it."""
        self._count("framewatch_segments_total", outcome)
        if why is not None and outcome != "dead_lettered":
            self._count("framewatch_segment_reasons_total", outcome, why)

    def known_after(self, seconds: float, trace_id: str | None = None) -> None:
        """Note how long after its append a segment's outcome was acknowledged."""
        self._observe("framewatch_outcome_seconds", seconds, trace_id=trace_id)

    def noticed(self) -> None:
        """Count an initialisation or end event that was taken in."""
        self._count("framewatch_notices_total")

    def abandoned(self, events: int) -> None:
        """Count what the partition's next owner consumes again."""
        self._count("framewatch_abandoned_total", amount=events)

    def expired(self, events: int) -> None:
        """Count what retention deleted before anybody watched it."""
        self._count("framewatch_segments_expired_total", amount=events)

    def held(self) -> None:
        """Count a wait for something that is away."""
        self._count("framewatch_held_total")

    def dead_letter(self, stage: str, error: str) -> None:
        """Count an event that can never succeed."""
        self._count("framewatch_dead_letters_total", stage, error)

    def stage(self, name: str, seconds: float, trace_id: str | None = None) -> None:
        """Note how long a step took for one segment."""
        self._observe("framewatch_stage_seconds", seconds, name, trace_id=trace_id)

    # --- coverage ---

    def watched(self, seconds: float) -> None:
        """Count media that was looked at in its turn."""
        self._count("framewatch_media_seconds_total", "watched", "none", amount=seconds)

    def recovered(self, seconds: float) -> None:
        """Count media that was looked at late, after it had been counted as unwatched."""
        self._count("framewatch_media_seconds_total", "recovered", "none", amount=seconds)

    def unwatched(self, cause: Unwatched, seconds: float) -> None:
        """Count media that nobody looked at, and why."""
        self._count("framewatch_media_seconds_total", "unwatched", cause, amount=seconds)

    def gap(self, cause: Unwatched, seconds: float) -> None:
        """Note for how long in a row nothing of a stream was watched, and what made it that long."""
        self._gaps[cause].note(seconds)

    def keyframes(self, counts: Mapping[str, int]) -> None:
        """Count keyframes by how far they came."""
        for step, keyframes in counts.items():
            self._count("framewatch_keyframes_total", step, amount=keyframes)

    # --- what is found ---

    def matched(self, list_name: str) -> None:
        """Count a match of a keyframe with an entry of a list."""
        self._count("framewatch_matches_total", list_name)

    def labels(self, names: Collection[str]) -> None:
        """Say which labels have a distribution of their own; the others are not told."""
        self._labels = set(sorted(names)[:MOST_LABELS])

    def scored(self, label: str, probability: float) -> None:
        """Note the classifier's probability for a label of a keyframe."""
        if label in self._labels:
            self._observe("framewatch_label_probability", probability, label)

    def incident(self, change: str, severity: Severity, *, test: bool = False) -> None:
        """Count an acknowledged incident's opening, update or closing; ``test``: its segment said that it is one."""
        self._count("framewatch_incidents_total", change, severity)
        if test:
            self._count("framewatch_test_incidents_total", change)

    def opened_for(self, kinds: Collection[ReasonKind], severity: Severity) -> None:
        """Count the kinds of reasons that an incident was opened for."""
        for kind in kinds:
            self._count("framewatch_incident_reasons_total", kind, severity)

    def escalated_after(self, append_s: float, capture_s: float | None, trace_id: str | None = None) -> None:
        """Note how long after its segment's append and capture an incident was acknowledged; None: nobody said when."""
        self._observe("framewatch_escalation_seconds", append_s, trace_id=trace_id)
        if capture_s is not None:
            self._observe("framewatch_escalation_from_capture_seconds", capture_s, trace_id=trace_id)
