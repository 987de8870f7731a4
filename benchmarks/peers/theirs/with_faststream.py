"""FastStream, "Kafka", "Publisher Object", "Access to Message Information": a subscriber that publishes.

Defaults, except that a group starts with what is there. The work is done in a thread: a segment takes longer than a
coroutine may.
"""

from __future__ import annotations

import asyncio
from typing import Any

import decide
from faststream import FastStream
from faststream.kafka import KafkaBroker
from faststream.kafka.annotations import KafkaMessage  # noqa: TC002 - FastStream looks at annotations

told = decide.plan()
decider = decide.Decider(told)
broker = KafkaBroker(told["servers"])
app = FastStream(broker)
decisions = broker.publisher(told["decisions"])
escalations = broker.publisher(told["escalations"])


@broker.subscriber(told["segments"], group_id=told["group"], auto_offset_reset="earliest")
async def on_segment(body: Any, message: KafkaMessage) -> None:
    """Decide on one segment."""
    del body
    raw = message.raw_message
    escalates = await asyncio.to_thread(decider.escalates, raw.value)
    record = decide.told_of(dict(raw.headers)["ce_id"], escalates=escalates)
    if escalates:
        await escalations.publish(record, key=raw.key)
    await decisions.publish(record, key=raw.key)


if __name__ == "__main__":
    asyncio.run(app.run())
