"""What is found: matches, labels, incidents."""

from __future__ import annotations

from itertools import product
from typing import get_args

from worker.records import ReasonKind, Severity
from worker.telemetry.catalogue.metric import PARTITIONS, PROBABILITIES, Metric, one

CHANGES = ("opened", "updated", "closed")

METRICS = (
    Metric(
        name="framewatch_matches_total",
        kind="counter",
        unit="matches",
        meaning="Matches of keyframes with entries of each hash list, within its radius; a keyframe can match several.",
        action="A sudden flood from one list after a new version: its radius or its entries are wrong, look at them.",
        labels=("list",),
        bound="the lists of matching.lists",
    ),
    Metric(
        name="framewatch_label_probability",
        kind="histogram",
        unit="probability",
        meaning="The classifier's calibrated probability for each label that is not harmless, one a scored keyframe.",
        action="A distribution that shifts after a model change, or by itself, asks for calibration anew.",
        labels=("label",),
        bound="the model's labels that are not harmless, the first 64 of them",
        buckets=PROBABILITIES,
    ),
    Metric(
        name="framewatch_incidents_total",
        kind="counter",
        unit="incidents",
        meaning="Incidents opened, updated and closed, by severity; those of tests and canaries too.",
        action="A sudden flood: look at the reasons' kinds, the lists' and the model's versions. None for long: test.",
        labels=("change", "severity"),
        values=tuple(product(CHANGES, get_args(Severity))),
    ),
    Metric(
        name="framewatch_test_incidents_total",
        kind="counter",
        unit="incidents",
        meaning="Of those, the ones of segments that say they are a test or a canary.",
        action="A canary's opened ones come as often as it is sent; none means that nothing would be found.",
        labels=("change",),
        values=one(*CHANGES),
    ),
    Metric(
        name="framewatch_incident_reasons_total",
        kind="counter",
        unit="incidents",
        meaning="Incidents opened, by each kind of reason that they had then: one with two kinds counts in both.",
        action="Shows what is found by lists and what by the classifier; a flood of one kind points to its source.",
        labels=("kind", "severity"),
        values=tuple(product(get_args(ReasonKind), get_args(Severity))),
    ),
    Metric(
        name="framewatch_open_incidents",
        kind="gauge",
        unit="incidents",
        meaning="Streams with an open incident, as of the partition's last release.",
        action="Grows without end: reviewers' verdicts do not come back, or the policy opens too much.",
        labels=("partition",),
        bound=PARTITIONS,
    ),
)
