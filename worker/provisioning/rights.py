"""The least rights of each principal, as Kafka's access control lists have them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from worker import topics
from worker.topics import names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings.tree import Settings
    from worker.topics import Role

Principal = Literal["publisher", "worker", "reviewer"]
PRINCIPALS: tuple[Principal, ...] = ("publisher", "worker", "reviewer")
Resource = Literal["topic", "group", "transactional_id", "cluster"]
Operation = Literal["Read", "Write", "Describe", "DescribeConfigs", "IdempotentWrite"]

MEANINGS: dict[Principal, str] = {
    "publisher": "the platform's packagers: they write segments, and read nothing",
    "worker": "Framewatch itself",
    "reviewer": "who consumes escalations: reads those, and no imagery",
}
_PUBLISHED: tuple[Operation, ...] = ("Write", "Describe")
_CONSUMED: tuple[Operation, ...] = ("Read", "Describe")
_OF_WORKER: dict[Role, tuple[Operation, ...]] = {
    "segments": ("Read", "Describe", "DescribeConfigs"),
    "escalations": ("Write", "Describe", "DescribeConfigs"),
    "dead_letters": ("Write", "Describe", "DescribeConfigs"),
    "risk": ("Read", "Write", "Describe", "DescribeConfigs"),
    "assessments": ("Write", "Describe", "DescribeConfigs"),
}


class Grant(Struct, frozen=True, kw_only=True):
    """Operations that a principal may do on one resource, from every host."""

    resource: Resource
    name: str | None
    """None for the cluster."""
    prefixed: bool = False
    """Whether ``name`` is the beginning of the resources' names."""
    operations: tuple[Operation, ...]


def account(principal: Principal) -> str:
    """Return the name by which the broker knows a principal, without ``User:``."""
    return f"framewatch-{principal}"


def transactional_prefix(settings: Settings) -> str:
    """Return how the transactional ids of all partitions begin (``worker.kafka.outlets`` makes them)."""
    return topics.transactional_prefix(settings.kafka.group_id, settings.topics.segments)


def reviewers_prefix(settings: Settings) -> str:
    """Return how the consumer groups of those begin who read escalations; the worker's own group does not."""
    return f"{settings.kafka.group_id}-review"


def grants(settings: Settings) -> dict[Principal, tuple[Grant, ...]]:
    """Return what each principal must be allowed, and no more.

    ``DescribeConfigs`` lets the worker check its topics' limits at start; without it they are not checked. Kafka before
    2.8 wants ``IdempotentWrite`` for the publisher too.
    """
    found = names(settings)
    return {
        "publisher": (Grant(resource="topic", name=found["segments"], operations=_PUBLISHED),),
        "worker": tuple(_of_worker(settings)),
        "reviewer": (
            Grant(resource="topic", name=found["escalations"], operations=_CONSUMED),
            Grant(resource="group", name=reviewers_prefix(settings), prefixed=True, operations=("Read",)),
        ),
    }


def _of_worker(settings: Settings) -> Iterator[Grant]:
    for role, name in names(settings).items():
        yield Grant(resource="topic", name=name, operations=_OF_WORKER[role])
    yield Grant(resource="group", name=settings.kafka.group_id, operations=("Read",))
    if settings.kafka.guarantee == "exactly_once":
        yield Grant(
            resource="transactional_id",
            name=transactional_prefix(settings),
            prefixed=True,
            operations=("Write", "Describe"),
        )
    yield Grant(resource="cluster", name=None, operations=("IdempotentWrite",))
