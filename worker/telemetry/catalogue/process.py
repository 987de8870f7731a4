"""The process, its decoders, and what it decides with."""

from __future__ import annotations

from itertools import product

from worker.telemetry.catalogue.bounds import CAUSES, JAIL_LEVELS, PROVIDERS, UNREADY
from worker.telemetry.catalogue.metric import Metric, one

LISTS = "the lists of matching.lists"

METRICS = (
    Metric(
        name="framewatch_ready",
        kind="gauge",
        unit="1",
        meaning="1 while the worker does its work, 0 while it does not: what /readyz answers.",
        action="0 for minutes: framewatch_unready says why in a word, /readyz and the log in a line.",
    ),
    Metric(
        name="framewatch_unready",
        kind="gauge",
        unit="1",
        meaning="1 at each reason for not being ready that holds now.",
        action=(
            "joining: the broker or the group. halted: the breaker, or grown partitions. parked: intake.on_rewind. "
            "failing: the brokers refuse results. restoring: wait. held: a store is away."
        ),
        labels=("reason",),
        values=one(*UNREADY),
    ),
    Metric(
        name="framewatch_decoders_alive",
        kind="gauge",
        unit="processes",
        meaning="Decoder processes that are alive, with those in reserve.",
        action="Below jail.processes (0: the cores) for minutes: decoders die faster than they are made.",
    ),
    Metric(
        name="framewatch_decoders_busy",
        kind="gauge",
        unit="processes",
        meaning="Segments that have a decoder or are about to have one.",
        action="At jail.processes all the time: decoding is the limit; add cores or workers.",
    ),
    Metric(
        name="framewatch_decoder_ends_total",
        kind="counter",
        unit="processes",
        meaning="Decoder processes that ended: died by themselves, killed in anger, or retired as planned; and why.",
        action="Many that died or were killed: segments kill decoders; the decode dead letters name the streams.",
        labels=("change", "cause"),
        values=tuple(product(("died", "killed", "retired"), CAUSES)),
    ),
    Metric(
        name="framewatch_jail_level",
        kind="gauge",
        unit="1",
        meaning="1 at how far the decoders are locked down here, found by trying to escape; 0 at the other levels.",
        action="Not full: docs/security.md says what is missing on which kernel, and what it means.",
        labels=("level",),
        values=one(*JAIL_LEVELS),
    ),
    Metric(
        name="framewatch_list_entries",
        kind="gauge",
        unit="entries",
        meaning="Entries of each hash list in use.",
        action="Falls after an update: was the list cut off on its way? The workers' values should agree.",
        labels=("list",),
        bound=LISTS,
    ),
    Metric(
        name="framewatch_list_info",
        kind="gauge",
        unit="1",
        meaning="1 for each hash list in use, with its version.",
        action="More than one version of a list over all workers for long: some were not restarted after the update.",
        labels=("list", "version", "kind"),
        bound=LISTS,
    ),
    Metric(
        name="framewatch_list_published_timestamp_seconds",
        kind="gauge",
        unit="timestamp",
        meaning="How new each hash list is: the date its version begins with, else when its newest file was changed.",
        action="Older than its source's rhythm (time() less it): updates do not come through; docs/hash-lists.md.",
        labels=("list",),
        bound=LISTS,
    ),
    Metric(
        name="framewatch_model_info",
        kind="gauge",
        unit="1",
        meaning="1 for the classifier in use; no series where there is none.",
        action="More than one over all workers for long: a deployment is half done. None: only lists are looked for.",
        labels=("name", "version", "sha256"),
        bound="one at a time",
    ),
    Metric(
        name="framewatch_model_published_timestamp_seconds",
        kind="gauge",
        unit="timestamp",
        meaning="How new the classifier is: the date its version begins with, else when its newest file was changed.",
        action="For the dashboard: what was found before and after a new model.",
        labels=("name",),
        bound="one at a time",
    ),
    Metric(
        name="framewatch_model_provider_info",
        kind="gauge",
        unit="1",
        meaning="1 at where the classifier was to run (scoring.provider) and where it runs; no series without one.",
        action="They differ: it is missing, fails or misses the examples: framewatch check and the log say which.",
        labels=("wanted", "used"),
        values=PROVIDERS,
    ),
    Metric(
        name="framewatch_model_batch",
        kind="gauge",
        unit="pictures",
        meaning="Most pictures in one run of the classifier; 0 where there is none.",
        action="1 where scoring.batch is more: the model can't, or answers otherwise in batches; the log says why.",
    ),
    Metric(
        name="framewatch_policy_info",
        kind="gauge",
        unit="1",
        meaning="1 for the policy in use.",
        action="More than one over all workers for long: a deployment is half done.",
        labels=("name", "sha256"),
        bound="one at a time",
    ),
    Metric(
        name="framewatch_spans_total",
        kind="counter",
        unit="spans",
        meaning="Spans handed to the traces' collector, and those that it did not take; 0 where telemetry is off.",
        action="failed ones: look at telemetry.otlp_endpoint; watching goes on without traces.",
        labels=("result",),
        values=one("ok", "failed"),
    ),
    Metric(
        name="framewatch_build_info",
        kind="gauge",
        unit="1",
        meaning="1 for the version that runs.",
        action="absent(framewatch_build_info): no worker is there. More than one: a deployment is half done.",
        labels=("version",),
        bound="one",
    ),
)
