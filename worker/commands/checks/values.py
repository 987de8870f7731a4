"""Checks of the settings against each other. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker import topics
from worker.commands.checks.findings import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings.tree import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")


def settings_agree(settings: Settings) -> list[Finding]:
    """Check what the settings' own reader can't: names that clash, times that contradict each other, what is risky."""
    found = [*_names(settings), *_times(settings), *_risky(settings)]
    if any(finding.level == "failure" for finding in found):
        return found
    detail = f"group {settings.kafka.group_id}, {settings.kafka.guarantee}, as ce_source {settings.escalation.source}"
    return [Finding(level="pass", what="settings", detail=detail), *found]


def _names(settings: Settings) -> Iterator[Finding]:
    for mistake in topics.name_mistakes(settings):
        yield Finding(level="failure", what="settings", detail=mistake, remedy="give each topic a name of its own")


def _times(settings: Settings) -> Iterator[Finding]:
    drain_s = settings.intake.drain_s
    for name, limit_s in (
        ("shutdown.grace_s", settings.shutdown.grace_s),
        ("kafka.rebalance_timeout_s", settings.kafka.rebalance_timeout_s),
    ):
        if drain_s >= limit_s:
            yield Finding(
                level="warning",
                what="settings",
                detail=f"intake.drain_s is {drain_s:g}, {name} is {limit_s:g}: draining is cut off",
                remedy=f"keep intake.drain_s below {name}",
            )


def _risky(settings: Settings) -> Iterator[Finding]:
    if settings.dead_letters.payload:
        yield Finding(
            level="warning",
            what="settings",
            detail="dead_letters.payload is on: dead letters carry imagery",
            remedy="turn it off, or guard the dead letters' topic as you guard segments",
        )
    if settings.web.host not in LOOPBACK:
        yield Finding(
            level="warning",
            what="settings",
            detail=f"web.host is {settings.web.host}: health and metrics are open to who reaches that address",
            remedy="let only probes and Prometheus reach it (a NetworkPolicy), or 127.0.0.1",
        )
    if not settings.topics.assessments:
        yield Finding(
            level="warning",
            what="settings",
            detail="topics.assessments is off: nobody can say later why something was not caught",
            remedy="topics.assessments = assessments, and framewatch topics create",
        )
