"""Tells the metrics what a worker decides with: the classifier, the policy, the hash lists, and how new they are."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from worker.telemetry.ages import published_s
from worker.telemetry.process import ListInUse

if TYPE_CHECKING:
    from worker.loaded import Loaded
    from worker.settings.tree import Settings
    from worker.telemetry import Telemetry


def tell_what_decides(telemetry: Telemetry, settings: Settings, loaded: Loaded) -> None:
    """Tell it, in place of what was told before."""
    classifier, paths = loaded.classifier, settings.matching.lists
    if classifier is not None:
        telemetry.labels(set(classifier.labels) - classifier.harmless)
    running = None if classifier is None else classifier.running
    telemetry.decides_with(
        None if classifier is None else classifier.ref,
        loaded.policy.ref,
        [
            ListInUse(
                name=known.name,
                version=known.version,
                kind=known.kind,
                entries=len(known.hashes),
                published_s=published_s(known.version, Path(path)),
            )
            for path, known in zip(paths, loaded.lists, strict=True)
        ],
        model_published_s=None
        if classifier is None
        else published_s(classifier.ref.version, Path(settings.scoring.model)),
        running=None if running is None else (running.wanted, running.used, running.batch),
    )
