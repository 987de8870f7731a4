"""``framewatch incident --test``: shows whether a reviewer's tool gets incidents."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from worker import escalation
from worker.errors import SegmentError, UsageError
from worker.escalation.context import Context
from worker.kafka.publisher import publisher
from worker.loaded import Loaded
from worker.policy import read as policies
from worker.wire import headers, write

if TYPE_CHECKING:
    from worker.records import Incident, Message
    from worker.settings.tree import Settings

STREAM = "framewatch-test"


def send_test(settings: Settings, *, stream_id: str = STREAM) -> Incident:
    """Send an incident that says it is a test, and return it once the broker has it.

    It names the model, the policy and the lists that these settings name, as the workers' incidents do.

    Raises:
        UsageError: The stream id is none, or what the settings name has a mistake.
        Stopped: There is no broker or no topic, or the broker refused.
    """
    _check(stream_id)
    context = _context(settings)
    now = datetime.now(UTC)
    incident = escalation.test_incident(stream_id, now, context)
    message = write.incident_message(
        incident, topic=settings.topics.escalations, source=context.source, at=now, trace=None
    )
    asyncio.run(_send(settings, message))
    return incident


async def _send(settings: Settings, message: Message) -> None:
    async with publisher(settings.kafka, message.topic) as sender:
        await sender.send(message)


def _check(stream_id: str) -> None:
    try:
        headers.key(stream_id.encode())
    except (SegmentError, UnicodeEncodeError):
        raise UsageError("--stream must be 1 to 256 bytes of UTF-8") from None


def _context(settings: Settings) -> Context:
    if settings.scoring.model or settings.matching.lists:
        loaded = Loaded(settings)
        if loaded.classifier is not None:
            loaded.classifier.close()
        return loaded.context(settings)
    escalation.check_links(settings.links)
    return Context(
        model=None,
        policy=policies.default().ref,
        lists=(),
        links=settings.links,
        preserve_before_s=settings.escalation.preserve_before_s,
        source=settings.escalation.source,
    )
