"""``framewatch topics``: makes the deployment's topics, or writes them and their rights down."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Literal

from msgspec import Struct

from worker import topics
from worker.errors import UsageError
from worker.kafka import admin
from worker.provisioning import rights, shell, strimzi, terraform
from worker.topics import Problem

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.settings.tree import Settings
    from worker.topics import Role, Topic

Form = Literal["cli", "strimzi", "terraform"]
DEFAULT_PARTITIONS = 6
SHOWN_WITHIN_S = 10.0
ASK_EVERY_S = 0.1
_WHY: dict[str, str] = {
    "InvalidReplicationFactorError": "there are fewer brokers than copies asked for; lower --replication",
    "TopicAuthorizationFailedError": "Create is not granted; let an administrator run it, or use topics print",
    "ClusterAuthorizationFailedError": "Create is not granted; let an administrator run it, or use topics print",
    "PolicyViolationError": "the cluster's own policy forbids it; topics print writes down what to ask for",
    "InvalidConfigurationError": "the broker does not take one of the topic's settings",
}


class Created(Struct, frozen=True, kw_only=True):
    """What became of one topic."""

    topic: str
    became: str
    """``created``, ``exists``, or why not."""
    problems: tuple[Problem, ...] = ()
    """What is wrong with one that exists."""

    @property
    def right(self) -> bool:
        """Whether a worker can start with it."""
        return self.became in ("created", "exists") and not any(problem.fatal for problem in self.problems)


def create(settings: Settings, *, partitions: int = DEFAULT_PARTITIONS, replication: int = 1) -> tuple[Created, ...]:
    """Make the topics that are missing; those that exist are looked at and left alone.

    Where segments or risk exists already, the other gets as many partitions, whatever ``partitions`` says.

    Raises:
        UsageError: A mistake in a name or a number.
        Stopped: The broker could not be asked.
    """
    _check(settings, partitions, replication)
    return asyncio.run(_create(settings, partitions, replication))


async def _create(settings: Settings, partitions: int, replication: int) -> tuple[Created, ...]:
    names = list(topics.names(settings).values())
    before = await admin.describe(settings.kafka, names)
    wanted = topics.wanted(
        settings, topics.partitions_beside(settings, before, partitions), replication=replication
    ).values()
    missing = [topic for topic in wanted if topic.name not in before]
    became = await admin.create(settings.kafka, missing, replication=replication) if missing else {}
    # Looked at again: somebody may have made one in between.
    found = before | (await _shown(settings, names, became) if missing else {})
    return tuple(_created(name, became.get(name, "exists"), settings, found) for name in names)


async def _shown(settings: Settings, names: list[str], became: Mapping[str, str]) -> dict[str, Topic]:
    """Return the topics as the broker has them, once it shows those just made: that takes a moment."""
    there = {name for name, word in became.items() if word in ("created", "exists")}
    for _ in range(round(SHOWN_WITHIN_S / ASK_EVERY_S)):
        found = await admin.describe(settings.kafka, names)
        if there <= found.keys():
            break
        await asyncio.sleep(ASK_EVERY_S)
    return found


def _created(name: str, became: str, settings: Settings, found: Mapping[str, Topic]) -> Created:
    # Brokers may show a topic a moment after they made it: one that is missing is judged by what became of it.
    wrong = topics.problems(settings, found) if name in found else []
    own = tuple(problem for problem in wrong if problem.topic == name)
    why = _WHY.get(became)
    return Created(topic=name, became=became if why is None else f"{became}: {why}", problems=own)


def told(created: Created) -> list[str]:
    """Return what became of one topic, a line for that and one for each thing that is wrong with it."""
    return [f"{created.topic}: {created.became}", *(f"  {one.what}; {one.remedy}" for one in created.problems)]


def written(
    settings: Settings,
    form: Form,
    *,
    partitions: int = DEFAULT_PARTITIONS,
    replication: int = 1,
    cluster: str = "kafka",
) -> str:
    """Return the topics in use and the least rights of each principal, in a tool's own words; asks no broker.

    Raises:
        UsageError: A mistake in a name or a number.
    """
    _check(settings, partitions, replication)
    wanted: dict[Role, Topic] = topics.wanted(settings, partitions, replication=replication)
    granted = rights.grants(settings)
    if form == "cli":
        servers = settings.kafka.bootstrap_servers
        return shell.script(wanted.values(), granted, replication=replication, bootstrap_servers=servers)
    if form == "strimzi":
        return strimzi.manifests(wanted.values(), granted, replication=replication, cluster=cluster)
    return terraform.configuration(wanted, granted, replication=replication)


def _check(settings: Settings, partitions: int, replication: int) -> None:
    wrong = topics.name_mistakes(settings)
    wrong += [
        f"--{flag} must be at least 1, not {number}"
        for flag, number in (("partitions", partitions), ("replication", replication))
        if number < 1
    ]
    if wrong:
        raise UsageError("\n".join(wrong))
