"""Which topics a deployment needs and how they must be. Pure: ``worker.kafka.admin`` asks the broker."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from worker import retention

if TYPE_CHECKING:
    from worker.settings.tree import Settings

MIB = 1024 * 1024
ROOM_BYTES = 64 * 1024
"""Headers, key and framing of a record, above its body."""
COPIES_FOR_QUORUM = 3

RISK: Mapping[str, str] = {
    "cleanup.policy": "compact",
    "segment.bytes": str(16 * MIB),
    "segment.ms": str(600_000),
    "max.compaction.lag.ms": str(3_600_000),
    "min.cleanable.dirty.ratio": "0.1",
}
"""The cleaner compacts closed segments only: small ones that close soon leave little history to restore from."""
SLOWEST: Mapping[str, float] = {
    "segment.bytes": 128 * MIB,
    "segment.ms": 6 * 3_600_000,
    "max.compaction.lag.ms": 6 * 3_600_000,
    "min.cleanable.dirty.ratio": 0.5,
}
"""Above these a start says what to set."""

_NAME = re.compile(r"[A-Za-z0-9._-]{1,249}")

Role = Literal["segments", "escalations", "dead_letters", "risk", "assessments"]


class Topic(Struct, frozen=True, kw_only=True):
    """A topic as it should be, or as it is."""

    name: str
    partitions: int
    config: Mapping[str, str]


class Problem(Struct, frozen=True, kw_only=True):
    """What is wrong with a topic, and what to do about it."""

    topic: str
    what: str
    remedy: str
    fatal: bool = True
    """Whether ``run`` refuses to start."""
    against_policy: bool = False
    """Whether ``check`` fails although ``run`` starts: streams are watched before a topic is tidied up."""

    def __str__(self) -> str:
        """One line for a person."""
        return f"topic {self.topic}: {self.what}; {self.remedy}"


_MAKE = "framewatch topics create makes it; if it is there, grant Describe on it"


def names(settings: Settings) -> dict[Role, str]:
    """Return the topics in use by their role; optional ones that are off are missing."""
    topics = settings.topics
    roles: dict[Role, str] = {
        "segments": topics.segments,
        "escalations": topics.escalations,
        "dead_letters": topics.dead_letters,
        "risk": topics.risk,
        "assessments": topics.assessments,
    }
    return {role: name for role, name in roles.items() if name}


def transactional_prefix(group_id: str, segments: str) -> str:
    """Return how the transactional ids of a topic's partitions begin, before the partition's number.

    No topic's name has a slash, so that no other group and topic make the same: ``a-b`` and ``c`` would, with hyphens,
    be ``a`` and ``b-c``, and fence each other.
    """
    return f"{group_id}/{segments}/"


def wanted(settings: Settings, partitions: int, *, replication: int = 1) -> dict[Role, Topic]:
    """Return each topic in use as ``topics create`` makes it, with ``partitions`` for segments and risk.

    With three copies or more a write counts once two have it: one broker may go without a release waiting for it.

    They keep what the settings ``retention.*`` allow. The risk topic is compacted, in small segments, so that restoring
    reads little history.
    """
    configs: dict[Role, dict[str, str]] = {
        "risk": dict(RISK),
        **{role: retention.as_made(hours) for role, hours in allowed_h(settings).items()},
    }
    size = {"max.message.bytes": str(settings.kafka.max_message_bytes + ROOM_BYTES)}
    safe = {"min.insync.replicas": "2"} if replication >= COPIES_FOR_QUORUM else {}
    return {
        role: Topic(
            name=name,
            partitions=partitions if role in ("segments", "risk") else min(partitions, 6),
            config=configs[role] | size | safe,
        )
        for role, name in names(settings).items()
    }


def allowed_h(settings: Settings) -> dict[Role, float]:
    """Return for how many hours each topic may keep records; the compacted one has no such time."""
    most = settings.retention
    return {
        "segments": most.segments_h,
        "escalations": most.escalations_h,
        "dead_letters": most.dead_letters_h,
        "assessments": most.assessments_h,
    }


def partitions_beside(settings: Settings, found: Mapping[str, Topic], partitions: int) -> int:
    """Return how many partitions segments and risk must have: as many as one has already, else ``partitions``."""
    there = (found.get(name) for name in (settings.topics.segments, settings.topics.risk))
    return next((topic.partitions for topic in there if topic is not None), partitions)


def name_mistakes(settings: Settings) -> list[str]:
    """Return what is wrong with the topics' names, a line each."""
    by_name: dict[str, list[str]] = {}
    for role, name in names(settings).items():
        by_name.setdefault(name, []).append(f"topics.{role}")
    required = ("segments", "escalations", "dead_letters", "risk")
    return [
        *(f"topics.{role}: must not be empty" for role in required if not getattr(settings.topics, role)),
        *(
            f"{roles[0]}: {name!r} is no name of a topic (letters, digits, '.', '_' and '-', at most 249)"
            for name, roles in by_name.items()
            if not _NAME.fullmatch(name) or name in (".", "..")
        ),
        *(f"{' and '.join(roles)} are both {name}" for name, roles in by_name.items() if len(roles) > 1),
    ]


def problems(settings: Settings, found: Mapping[str, Topic]) -> list[Problem]:
    """Return what is wrong with the topics that the broker has; ``found`` is by name."""
    wrong = []
    for role, name in names(settings).items():
        topic = found.get(name)
        if topic is None:
            wrong.append(Problem(topic=name, what="it does not exist, or may not be seen", remedy=_MAKE))
        else:
            wrong += _config_problems(role, topic, settings)
    segments, risk = found.get(settings.topics.segments), found.get(settings.topics.risk)
    if segments and risk and segments.partitions != risk.partitions:
        wrong.append(
            Problem(
                topic=risk.name,
                what=f"it has {risk.partitions} partitions, {segments.name} has {segments.partitions}",
                remedy="both must have the same number, since a stream's state stands beside its segments"
                + ("; framewatch state move moves the state" if segments.partitions > risk.partitions else ""),
            )
        )
    return wrong


def _slow_to_restore(topic: Topic) -> list[Problem]:
    """Return what keeps history: a new owner of a partition reads all that is not compacted yet."""
    slow = [name for name, most in SLOWEST.items() if float(topic.config.get(name, 0)) > most]
    if not slow:
        return []
    what = "restoring will be slow: " + ", ".join(f"{name} is {topic.config[name]}" for name in slow)
    remedy = "set " + ", ".join(f"{name}={RISK[name]}" for name in slow)
    return [Problem(topic=topic.name, what=what, remedy=remedy, fatal=False)]


def _retention_problems(role: Role, topic: Topic, settings: Settings) -> list[Problem]:
    hours = allowed_h(settings)[role]
    made = retention.as_made(hours)
    wrong = []
    if (what := retention.too_long(topic.config, hours)) is not None:
        remedy = f"set retention.ms={made['retention.ms']}, or allow more with retention.{role}_h"
        wrong.append(Problem(topic=topic.name, what=what, remedy=remedy, fatal=False, against_policy=True))
    if (what := retention.too_coarse(topic.config, hours)) is not None:
        remedy = f"set segment.ms={made['segment.ms']}"
        wrong.append(Problem(topic=topic.name, what=what, remedy=remedy, fatal=False))
    return wrong


def _config_problems(role: Role, topic: Topic, settings: Settings) -> list[Problem]:
    wrong = []
    policy = topic.config.get("cleanup.policy")
    if role == "risk" and policy not in (None, "compact"):
        wrong.append(
            Problem(
                topic=topic.name, what=f"cleanup.policy is {policy}: state would be lost", remedy="set it to compact"
            )
        )
    elif role == "risk":
        wrong += _slow_to_restore(topic)
    if role != "risk" and policy is not None and "compact" in policy:
        wrong.append(
            Problem(
                topic=topic.name, what=f"cleanup.policy is {policy}: events would be lost", remedy="set it to delete"
            )
        )
    if role != "risk":
        wrong += _retention_problems(role, topic, settings)
    limit = topic.config.get("max.message.bytes")
    if limit is not None and int(limit) < settings.kafka.max_message_bytes:
        wrong.append(
            Problem(
                topic=topic.name,
                what=f"max.message.bytes is {limit}, kafka.max_message_bytes is {settings.kafka.max_message_bytes}",
                remedy="raise the topic's or lower the setting",
                fatal=False,
            )
        )
    return wrong
