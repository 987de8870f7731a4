"""Asks the broker about topics, and makes them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka.admin import AIOKafkaAdminClient, NewPartitions, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, TopicAlreadyExistsError, for_code
from msgspec import Struct

from worker.errors import Stopped
from worker.kafka import diagnosis, security
from worker.topics import Topic

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Iterable

    from worker.settings.tree import Kafka

ASK_S = 30.0
SHOWN_AGAIN_S = 0.1
MEMBER_FIELDS = 5
"""Of a group's member in DescribeGroups before version 4, which added the instance id."""


class Cluster(Struct, frozen=True, kw_only=True):
    """What the brokers tell of themselves."""

    brokers: int
    max_message_bytes: int | None
    """The default for topics that set none; None where the broker does not say."""


@asynccontextmanager
async def _admin(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    client = AIOKafkaAdminClient(
        bootstrap_servers=kafka.bootstrap_servers, client_id="framewatch-admin", **security.arguments(kafka)
    )
    security.rereading(client._client, kafka)  # noqa: SLF001 - the admin client has no other way to it
    try:
        async with asyncio.timeout(ASK_S):
            await client.start()
            yield client
    except diagnosis.FAILURES as error:
        otherwise = f"Kafka at {kafka.bootstrap_servers}: {type(error).__name__}"
        raise Stopped(await diagnosis.failed(kafka, error, otherwise)) from error
    finally:
        await client.close()


async def describe(kafka: Kafka, names: Collection[str]) -> dict[str, Topic]:
    """Return those of the named topics that exist. A broker that tells no configuration gives an empty one.

    Raises:
        Stopped: The broker could not be asked.
    """
    async with _admin(kafka) as client:
        # All topics are asked for: aiokafka's question for one that is missing has brokers make it, and wrongly.
        every = {t["topic"]: t for t in await client.describe_topics() if t["error_code"] == 0}
        there = {name: every[name] for name in names if name in every}
        configs = await _configs(client, there)
    return {
        name: Topic(name=name, partitions=len(topic["partitions"]), config=configs.get(name, {}))
        for name, topic in there.items()
    }


async def _configs(client: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    try:
        responses = await client.describe_configs(resources)
    except KafkaError:
        return {}  # not supported or not allowed: what can't be told is not checked
    return {
        name: {entry[0]: entry[1] for entry in entries}
        for response in responses
        for code, _, _, name, entries in response.resources
        if code == 0
    }


async def cluster(kafka: Kafka) -> Cluster:
    """Return what the brokers tell of themselves.

    Raises:
        Stopped: The broker could not be asked.
    """
    async with _admin(kafka) as client:
        brokers = [broker["node_id"] for broker in (await client.describe_cluster())["brokers"]]
        config = await _broker_config(client, brokers[0]) if brokers else {}
    limit = config.get("message.max.bytes", "")
    return Cluster(brokers=len(brokers), max_message_bytes=int(limit) if limit.isdigit() else None)


async def _broker_config(client: AIOKafkaAdminClient, node: int) -> dict[str, str]:
    try:
        responses = await client.describe_configs([ConfigResource(ConfigResourceType.BROKER, str(node))])
    except KafkaError:
        return {}  # not supported or not allowed
    found = [entries for response in responses for code, _, _, _, entries in response.resources if code == 0]
    return {entry[0]: entry[1] for entries in found for entry in entries if entry[1] is not None}


async def grow(kafka: Kafka, topic: str, partitions: int) -> None:
    """Give a topic that many partitions, and return when the broker shows them.

    Raises:
        Stopped: The broker could not be asked, refuses, or does not show them in time.
    """
    async with _admin(kafka) as client:
        await client.create_partitions({topic: NewPartitions(partitions)})
        while True:
            [shown] = await client.describe_topics([topic])
            if len(shown["partitions"]) >= partitions and all(one["leader"] >= 0 for one in shown["partitions"]):
                return
            await asyncio.sleep(SHOWN_AGAIN_S)


async def members(kafka: Kafka) -> tuple[str, ...]:
    """Return who is in the consumer group: each member's client id. Raises Stopped: the broker could not be asked."""
    async with _admin(kafka) as client:
        [response] = await client.describe_consumer_groups([kafka.group_id])
    [(code, _, _, _, _, found, *_)] = response.groups
    if code:
        raise Stopped(f"group {kafka.group_id} can't be described: {for_code(code).__name__}")
    return tuple(str(member[1]) for member in _named(found))


def _named(found: Iterable[Any]) -> list[Any]:
    """Newer protocol versions have a member's instance id in the second place."""
    return [member if len(member) == MEMBER_FIELDS else (member[0], member[2]) for member in found]


async def create(kafka: Kafka, topics: Iterable[Topic], *, replication: int) -> dict[str, str]:
    """Make topics; return by name what became of each: ``created``, ``exists``, or the broker's word for why not.

    Raises:
        Stopped: The broker could not be asked.
    """
    wanted = [NewTopic(t.name, t.partitions, replication, topic_configs=dict(t.config)) for t in topics]
    async with _admin(kafka) as client:
        response: Any = await client.create_topics(wanted)
    return {name: _became(code) for name, code, *_ in response.topic_errors}


def _became(code: int) -> str:
    if code == 0:
        return "created"
    error = for_code(code)
    return "exists" if error is TopicAlreadyExistsError else error.__name__
