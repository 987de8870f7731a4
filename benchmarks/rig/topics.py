"""The topics of one measurement, stamped by the broker, and gone when it is over."""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from typing import TYPE_CHECKING

from confluent_kafka.admin import AdminClient
from msgspec.structs import replace

from worker.kafka import admin
from worker.settings.tree import Topics
from worker.topics import wanted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings.tree import Settings

PARTITIONS = 4
STAMPED = {"message.timestamp.type": "LogAppendTime"}


def named(stem: str) -> Topics:
    """Names that no other measurement on the same broker has; assessments are on."""
    return Topics(
        segments=f"{stem}-segments",
        escalations=f"{stem}-escalations",
        dead_letters=f"{stem}-dead-letters",
        risk=f"{stem}-risk",
        assessments=f"{stem}-assessments",
    )


@contextmanager
def made(settings: Settings, partitions: int = PARTITIONS) -> Iterator[None]:
    """Make a deployment's topics; when the block ends the broker forgets them and their bytes.

    Raises:
        RuntimeError: One is there already, or was refused.
    """
    topics = wanted(settings, partitions).values()
    stamped = [replace(topic, config={**topic.config, **STAMPED}) for topic in topics]
    became = asyncio.run(admin.create(settings.kafka, stamped, replication=1))
    if set(became.values()) != {"created"}:
        raise RuntimeError(f"the topics could not be made: {became}")
    try:
        yield
    finally:
        client = AdminClient({"bootstrap.servers": settings.kafka.bootstrap_servers, "log_level": 3})
        for gone in client.delete_topics(list(became)).values():
            gone.result()
