"""Faust (faust-streaming), User Guide, "Agents" and "Channels & Topics": an agent over events that sends to topics.

Defaults, except that the group starts with what is there, and that nothing is served over HTTP.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import decide
import faust

told = decide.plan()
decider = decide.Decider(told)
app = faust.App(
    told["group"],
    broker=f"kafka://{told['servers']}",
    datadir=told["folder"],
    consumer_auto_offset_reset="earliest",
    topic_disable_leader=True,
    web_enabled=False,
)
segments = app.topic(told["segments"], key_serializer="raw", value_serializer="raw")
decisions = app.topic(told["decisions"], key_serializer="raw", value_serializer="raw")
escalations = app.topic(told["escalations"], key_serializer="raw", value_serializer="raw")


@app.agent(segments)
async def on_segment(stream: Any) -> None:
    """Decide on one segment after the other."""
    async for event in stream.events():
        escalates = await asyncio.to_thread(decider.escalates, event.value)
        record = decide.told_of(dict(event.headers)["ce_id"], escalates=escalates)
        if escalates:
            await escalations.send(key=event.key, value=record)
        await decisions.send(key=event.key, value=record)


if __name__ == "__main__":
    sys.argv = [sys.argv[0], "worker", "--loglevel=warn"]
    app.main()
