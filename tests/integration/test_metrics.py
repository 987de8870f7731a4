"""A real worker's metrics, traces and lines: what a scrape gives, and whether it adds up."""

from __future__ import annotations

import asyncio
import re
import subprocess
from typing import TYPE_CHECKING

import aiohttp
from prometheus_client.openmetrics.parser import text_string_to_metric_families
from support import media, otlp, prometheus
from support.cards import card, harmless
from support.deployment import deployed

from worker.records import Trace
from worker.settings.tree import Telemetry

if TYPE_CHECKING:
    from worker.app import Worker

OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}
TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
SAMPLED = Trace(traceparent=f"00-{TRACE_ID}-b7ad6b7169203331-01", tracestate="vendor=1")
UNSAMPLED = Trace(traceparent=f"00-{TRACE_ID[::-1]}-b7ad6b7169203331-00")
CARD = card(180, 320)
QUIET = harmless(180, 320, 1)


def clip(picture, start_s: float) -> bytes:
    """A segment of two seconds of one picture."""
    return media.make_segment(width=320, height=180, picture=lambda _: picture, start_s=start_s)


def lint(text: str) -> subprocess.CompletedProcess[str]:
    """What promtool says of a scrape."""
    return subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True, check=False)


async def scraped(worker: Worker, headers: dict[str, str] | None = None) -> str:
    """What a scrape gives."""
    url = f"http://127.0.0.1:{worker.web.port}/metrics"
    async with aiohttp.ClientSession() as client, client.get(url, headers=headers or {}) as answer:
        return await answer.text()


def values(text: str) -> dict[str, float]:
    """Every sample of a scrape in OpenMetrics, by its name and labels as they stand there."""
    return {
        f"{sample.name}{sorted(sample.labels.items())}": sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def total(found: dict[str, float], name: str, *with_labels: str) -> float:
    """The sum of a name's series whose labels have these values."""
    return sum(
        value
        for key, value in found.items()
        if key.startswith(f"{name}[") and all(f"'{label}'" in key for label in with_labels)
    )


async def caught_up(worker: Worker, segments: int) -> dict[str, float]:
    """A scrape once so many segments have their outcome and the gauges were looked at after it."""
    async with asyncio.timeout(30):
        while True:
            found = values(await scraped(worker, OPENMETRICS))
            told = total(found, "framewatch_segments_total")
            still = total(found, "framewatch_ready") == 1 and not total(found, "framewatch_in_flight_segments")
            if told >= segments and still:
                return found
            await asyncio.sleep(0.1)


async def test_what_a_scrape_tells_adds_up(broker):
    """Consumed = outcomes + notices; the time of the media, the outcomes' and the releases' records agree with them."""
    prometheus.needed()
    async with deployed(broker) as deployment, deployment.worker() as worker:
        for sequence in [0, 1, 2, 5]:
            await deployment.send(deployment.segment("calm", clip(QUIET, 2.0 * sequence), sequence=sequence))
        for sequence in range(10):
            await deployment.send(deployment.segment("risky", clip(CARD, 2.0 * sequence), sequence=sequence))
        await deployment.send(deployment.segment("bad", b"no media at all" * 10, sequence=1))
        await deployment.send(deployment.end("calm"))
        await deployment.assessments(15)
        found = await caught_up(worker, 15)
        linted = await asyncio.to_thread(lint, await scraped(worker))
    assert (linted.returncode, linted.stdout, linted.stderr) == (0, "", "")
    outcomes = total(found, "framewatch_segments_total")
    assert total(found, "framewatch_consumed_total") == outcomes + total(found, "framewatch_notices_total") == 16
    assert total(found, "framewatch_segments_total", "dead_lettered") == total(found, "framewatch_dead_letters_total")
    assert total(found, "framewatch_outcome_seconds_count") == outcomes
    assert abs(total(found, "framewatch_media_seconds_total", "watched") - 14 * 2.0) < 0.5
    assert abs(total(found, "framewatch_media_seconds_total", "missing") - 2 * 2.0) < 0.5
    assert total(found, "framewatch_longest_gap_seconds", "missing") > 3.0
    assert total(found, "framewatch_released_records_total", "assessments") == 15
    assert total(found, "framewatch_released_records_total", "escalations") == total(
        found, "framewatch_incidents_total"
    )
    assert total(found, "framewatch_open_incidents") == 1
    assert total(found, "framewatch_incident_reasons_total", "label") == 1
    assert total(found, "framewatch_label_probability_count") == total(found, "framewatch_keyframes_total", "scored")
    assert total(found, "framewatch_behind_seconds") == 0
    assert total(found, "framewatch_decoders_alive") > 0


async def test_a_sampled_segment_is_followed_to_its_escalation(broker):
    """The escalation carries the publisher's trace id, our span is exported and is its parent, an exemplar names it."""
    otlp.needed()
    async with (
        otlp.collecting() as (collector, endpoint),
        deployed(broker, partitions=1, telemetry=Telemetry(otlp_endpoint=endpoint)) as deployment,
        deployment.worker() as worker,
    ):
        for sequence in range(10):
            risky = deployment.segment("risky", clip(CARD, 2.0 * sequence), sequence=sequence, trace=SAMPLED)
            calm = deployment.segment("calm", clip(QUIET, 2.0 * sequence), sequence=sequence, trace=UNSAMPLED)
            await deployment.send(risky, calm)
        await deployment.assessments(20)
        escalation = (await deployment.read(deployment.settings.topics.escalations, 1))[0]
        await caught_up(worker, 20)
        exemplars = re.findall(r'_bucket\{.*# \{trace_id="(\w+)"\}', await scraped(worker, OPENMETRICS))
        spans = list(await collector.until(60))
    headers = dict(escalation.headers)
    _, trace_id, ours, flags = headers["traceparent"].decode().split("-")
    assert (trace_id, flags, headers["tracestate"]) == (TRACE_ID, "01", b"vendor=1")
    assert set(exemplars) == {TRACE_ID}
    assert {span.trace_id.hex() for span in spans} == {TRACE_ID}
    whole = next(span for span in spans if span.span_id.hex() == ours)
    assert (whole.name, whole.parent_span_id.hex()) == (
        f"process {deployment.settings.topics.segments}",
        "b7ad6b7169203331",
    )
    parts = {span.name: span for span in spans if span.parent_span_id == whole.span_id}
    assert parts.keys() == {"fetch", "decode", "match", "score", "release"}
    assert (
        parts["fetch"].start_time_unix_nano
        <= parts["decode"].start_time_unix_nano
        <= parts["release"].start_time_unix_nano
    )
    assert collector.resource["service.name"] == "framewatch"
    assert all("risky" not in str(span) for span in spans)
