"""Checks of the broker: reachable, topics as they must be, transactions."""

from __future__ import annotations

import os
import socket
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from worker import topics
from worker.commands.checks.findings import Finding
from worker.kafka import admin, probe
from worker.provisioning.rights import transactional_prefix
from worker.retention import DAY_MS, HOUR_MS

if TYPE_CHECKING:
    from worker.commands.checks.findings import Level
    from worker.settings.tree import Settings
    from worker.topics import Problem, Role, Topic

PROBE_S = 15.0
SOON = timedelta(days=14)


async def reachable(settings: Settings) -> list[Finding]:
    """Check that the broker answers, and what it takes by default. Raises Stopped."""
    told = await admin.cluster(settings.kafka)
    limit = "" if told.max_message_bytes is None else f", message.max.bytes {told.max_message_bytes}"
    detail = f"{told.brokers} at {settings.kafka.bootstrap_servers}{limit}"
    return [Finding(level="pass", what="brokers", detail=detail)]


async def linked(settings: Settings) -> list[Finding]:
    """Check how we are connected: encrypted, logged in, and for how long the broker's certificate holds.

    Raises:
        UsageError: One of the link's files is not what it must be.
        Stopped: There is no link.
    """
    link = await probe.link(settings.kafka)
    told = [f"{settings.kafka.security_protocol} to {link.address}"]
    told += [link.tls] if link.tls else ["not encrypted"]
    told += [f"logged in by {link.login}"] if link.login else []
    ends = link.certificate_ends
    told += [f"its certificate holds until {ends:%Y-%m-%d}"] if ends else []
    if ends is not None and ends - datetime.now(UTC) < SOON:
        return [Finding(level="warning", what="link", detail=", ".join(told), remedy="renew the broker's certificate")]
    return [Finding(level="pass", what="link", detail=", ".join(told))]


async def topics_right(settings: Settings) -> list[Finding]:
    """Check each topic in use. Raises Stopped."""
    names = topics.names(settings)
    found = await admin.describe(settings.kafka, list(names.values()))
    wrong = topics.problems(settings, found)
    good = [_topic(role, found[name]) for role, name in names.items() if not any(p.topic == name for p in wrong)]
    return [*good, *map(_problem, wrong)]


async def transactions(settings: Settings) -> list[Finding]:
    """Check that the broker's transactions work, with an id that no partition has. Raises Stopped."""
    if settings.kafka.guarantee != "exactly_once":
        return [
            Finding(
                level="warning",
                what="transactions",
                detail="not used: after a crash an incident can come twice, with the same ce_id",
                remedy="kafka.guarantee = exactly_once, if the broker has transactions",
            )
        ]
    await probe.transactions(settings.kafka, probe_id(settings), timeout_s=PROBE_S)
    return [Finding(level="pass", what="transactions", detail="one was begun and aborted, with nothing in it")]


def probe_id(settings: Settings) -> str:
    """Return a transactional id that the worker's rights cover and that no partition of any topic has."""
    return f"{transactional_prefix(settings)}check-{socket.gethostname()}-{os.getpid()}-probe"


def _topic(role: Role, topic: Topic) -> Finding:
    told = [f"{topic.partitions} partitions"]
    if limit := topic.config.get("max.message.bytes"):
        told.append(f"records to {limit} bytes")
    if role == "risk" and "cleanup.policy" in topic.config:
        told.append("compacted")
    retention_ms = topic.config.get("retention.ms", "")
    if role != "risk" and retention_ms.isdigit():
        days, hours = int(retention_ms) / DAY_MS, int(retention_ms) / HOUR_MS
        told.append(f"kept {days:g} days" if days >= 1 else f"kept {hours:g} h")
    if not topic.config:
        told.append("the broker tells no configuration: not checked")
    return Finding(level="pass", what=f"topic {topic.name}", detail=", ".join(told))


def _problem(problem: Problem) -> Finding:
    level: Level = "failure" if problem.fatal or problem.against_policy else "warning"
    return Finding(level=level, what=f"topic {problem.topic}", detail=problem.what, remedy=problem.remedy)
