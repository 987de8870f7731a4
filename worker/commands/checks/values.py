"""Checks of the settings against each other. Pure, but for a look at the console's token."""

from __future__ import annotations

from typing import TYPE_CHECKING

from worker import topics
from worker.commands.checks.findings import Finding
from worker.errors import Stopped
from worker.web.access import Access, why_off

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings.tree import Settings

LOOPBACK = ("127.0.0.1", "::1", "localhost")
SHORT_H = 6.0
"""Hours of imagery on brokers' disks that go without a word."""


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


def _console(settings: Settings) -> Iterator[Finding]:
    if (off := why_off(settings.web)) is not None:
        yield Finding(level="pass", what="console", detail=off)
        return
    try:
        Access(settings.web)
    except Stopped as error:
        remedy = "write a token there that this user may read"
        yield Finding(level="failure", what="console", detail=str(error), remedy=remedy)


def _risky(settings: Settings) -> Iterator[Finding]:
    kept_h = settings.retention.segments_h
    if not settings.fetch.roots and kept_h > SHORT_H:
        yield Finding(
            level="warning",
            what="settings",
            detail=f"bodies lie in messages (fetch.roots is empty): {kept_h:g} h of imagery on the brokers' disks",
            remedy=f"have publishers send claim checks, or retention.segments_h = {SHORT_H:g} or less; docs/privacy.md",
        )
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
    yield from _console(settings)
    if not settings.topics.assessments:
        yield Finding(
            level="warning",
            what="settings",
            detail="topics.assessments is off: nobody can say later why something was not caught",
            remedy="topics.assessments = assessments, and framewatch topics create",
        )
