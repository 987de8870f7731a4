"""What a worker decides with, read from files before anything starts."""

from __future__ import annotations

import socket
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from worker import __version__
from worker.assess import Plan
from worker.conclude import Rules
from worker.cores import cores
from worker.duplicates import NearDuplicates
from worker.errors import UsageError
from worker.escalation.context import Context
from worker.escalation.links import check_links
from worker.lists.read import read_lists
from worker.policy import read as policies
from worker.records import ConfigReport, ListRef
from worker.scoring import session as scoring

if TYPE_CHECKING:
    from worker.jail.lockdown import Lockdown
    from worker.policy.records import Policy
    from worker.records import HashList
    from worker.scoring.session import Classifier
    from worker.settings.tree import Settings


class Loaded:
    """What is read from files before anything starts: a mistake in them ends here, in lines for a person."""

    def __init__(self, settings: Settings) -> None:
        """Read and check classifier, lists and policy. Raises UsageError."""
        if not settings.scoring.model and not settings.matching.lists:
            raise UsageError("neither scoring.model nor matching.lists is set: there is nothing to look for")
        check_links(settings.links)
        model, limits = settings.scoring.model, settings.scoring
        self.classifier = scoring.load(Path(model), threads=limits.threads, limits=limits) if model else None
        self.lists: tuple[HashList, ...] = read_lists(settings.matching.lists)
        self.policy = self._policy(settings)

    def _policy(self, settings: Settings) -> Policy:
        labels = self.classifier.labels if self.classifier else None
        harmless = self.classifier.harmless if self.classifier else frozenset()
        if not settings.policy.file:
            return policies.default(harmless=harmless)
        kinds = {known.name: known.kind for known in self.lists}
        return policies.load(Path(settings.policy.file), labels=labels, harmless=harmless, lists=kinds)

    def context(self, settings: Settings) -> Context:
        """Return what the deployment decides with, as its incidents tell it."""
        return Context(
            model=self.classifier.ref if self.classifier else None,
            policy=self.policy.ref,
            lists=tuple(ListRef(name=known.name, version=known.version) for known in self.lists),
            links=settings.links,
            preserve_before_s=settings.escalation.preserve_before_s,
            source=settings.escalation.source,
        )

    def rules(self, settings: Settings) -> Rules:
        """Return what conclusions are drawn by."""
        return Rules(
            policy=self.policy,
            context=self.context(settings),
            topics=settings.topics,
            max_message_bytes=settings.kafka.max_message_bytes,
            with_payload=settings.dead_letters.payload,
        )


def plan(settings: Settings) -> Plan:
    """Return which keyframes are asked for, and the limits."""
    return Plan(
        interval_s=settings.sampling.interval_s,
        max_keyframes=settings.sampling.max_keyframes,
        max_pixels=settings.jail.max_pixels,
        max_streams=settings.jail.max_streams,
        max_bytes=settings.fetch.max_bytes,
        loop_filter=settings.sampling.loop_filter,
        at_once=2 * ((settings.jail.processes or cores()) + (settings.scoring.threads or cores())),
    )


def near_duplicates(settings: Settings, classifier: Classifier | None) -> NearDuplicates | None:
    """Return what frames are spared the classifier by; None where none are."""
    scoring = settings.scoring
    if classifier is None or not scoring.near_duplicate_bits:
        return None
    return NearDuplicates(
        bits=scoring.near_duplicate_bits,
        rescore_s=scoring.rescore_s,
        model=classifier.ref,
        labels=classifier.labels,
        harmless=classifier.harmless,
    )


def config_report(
    settings: Settings, context: Context, lockdown: Lockdown | None, *, provider: str | None
) -> ConfigReport:
    """Return what a worker decides with.

    ``lockdown`` is its decoders', None while there are none; ``provider`` runs the classifier, None without one.
    """
    return ConfigReport(
        worker=settings.kafka.instance_id or socket.gethostname(),
        version=__version__,
        at=datetime.now(UTC),
        model=context.model,
        policy=context.policy,
        lists=context.lists,
        limits={
            "sampling.interval_s": settings.sampling.interval_s,
            "sampling.max_keyframes": settings.sampling.max_keyframes,
            "scoring.near_duplicate_bits": settings.scoring.near_duplicate_bits,
            "scoring.rescore_s": settings.scoring.rescore_s,
            "overload.lateness_s": settings.overload.lateness_s,
            "overload.first_keyframe_s": settings.overload.first_keyframe_s,
            "overload.one_in": settings.overload.one_in,
            "fetch.max_bytes": settings.fetch.max_bytes,
            "kafka.max_message_bytes": settings.kafka.max_message_bytes,
            "jail.deadline_s": settings.jail.deadline_s,
            "jail.max_pixels": settings.jail.max_pixels,
        },
        jail=str(lockdown) if lockdown else "none",
        provider=provider,
    )
