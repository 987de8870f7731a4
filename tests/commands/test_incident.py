"""``framewatch incident --test``: sent as the worker would, and marked."""

from __future__ import annotations

import asyncio

import pytest
from support.deployment import deployed

from worker.commands import incident
from worker.errors import Stopped, UsageError
from worker.settings.tree import Kafka, LinkTemplates, Scoring, Settings


async def test_a_test_incident_arrives_and_says_what_it_is(broker):
    """It is on the escalations topic under its stream, marked, with the deployment's links and model."""
    links = LinkTemplates(watch="https://review.example/{stream_id}")
    async with deployed(broker, links=links) as deployment:
        sent = await asyncio.to_thread(incident.send_test, deployment.settings, stream_id="canary/1")
        [received] = await deployment.incidents(1)
    assert received == sent
    assert (received.test, received.severity, received.stream_id) == (True, "low", "canary/1")
    assert received.links.watch == "https://review.example/canary%2F1"
    assert received.model is not None


async def test_without_a_model_and_lists_it_can_be_sent_too(broker):
    """Who only tests the way to the reviewers needs no model folder."""
    async with deployed(broker, scoring=Scoring()) as deployment:
        sent = await asyncio.to_thread(incident.send_test, deployment.settings)
        assert [each.incident_id for each in await deployment.incidents(1)] == [sent.incident_id]


def test_a_missing_topic_is_told_at_once(broker):
    """A producer would wait for it."""
    with pytest.raises(Stopped, match="topics create"):
        incident.send_test(Settings(kafka=Kafka(bootstrap_servers=broker.bootstrap_servers)))


@pytest.mark.parametrize("stream_id", ["", "x" * 257, "\ud800"])
def test_a_stream_id_that_no_key_can_be_is_a_mistake(stream_id):
    """It is told before any broker is asked."""
    with pytest.raises(UsageError, match="--stream"):
        incident.send_test(Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1")), stream_id=stream_id)
