"""What a worker decides with, as the console shows it."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from msgspec import Struct

from worker import __version__
from worker.console.live import COUNTED_MIN, POINT_S, POINTS
from worker.records import ModelRef, PolicyRef

if TYPE_CHECKING:
    from worker.jail.lockdown import Lockdown
    from worker.loaded import Loaded
    from worker.settings.tree import Settings


class ShownList(Struct, frozen=True, kw_only=True):
    """A hash list in use."""

    name: str
    version: str
    kind: str
    entries: int


class About(Struct, frozen=True, kw_only=True):
    """What does not change while a worker runs."""

    worker: str
    version: str
    group: str
    topic: str
    started_s: float
    model: ModelRef | None
    model_on: str | None
    """The execution provider that runs it: cpu, openvino or cuda."""
    model_notes: tuple[str, ...]
    """What of it is not as the settings want it, and why."""
    policy: PolicyRef
    lists: tuple[ShownList, ...]
    jail: str
    jail_missing: tuple[str, ...]
    every_s: int = POINT_S
    """Seconds between two points of a stream's history."""
    points: int = POINTS
    counted_min: int = COUNTED_MIN
    """Minutes over which outcomes are counted."""


def about_worker(settings: Settings, loaded: Loaded, lockdown: Lockdown | None, *, started_s: float) -> About:
    """Return what a worker decides with; ``lockdown`` is its decoders', None while there are none."""
    classifier = loaded.classifier
    lists = [
        ShownList(name=one.name, version=one.version, kind=one.kind, entries=len(one.hashes)) for one in loaded.lists
    ]
    return About(
        worker=settings.kafka.instance_id or socket.gethostname(),
        version=__version__,
        group=settings.kafka.group_id,
        topic=settings.topics.segments,
        started_s=round(started_s, 1),
        model=classifier.ref if classifier else None,
        model_on=classifier.running.used if classifier else None,
        model_notes=classifier.running.notes if classifier else (),
        policy=loaded.policy.ref,
        lists=tuple(lists),
        jail=lockdown.level if lockdown else "none",
        jail_missing=lockdown.missing if lockdown else (),
    )
