"""Spans to a collector."""

from __future__ import annotations

import asyncio
import threading

import pytest
from support import otlp

from worker.errors import UsageError
from worker.settings.load import load
from worker.settings.tree import Telemetry
from worker.telemetry.span import Span
from worker.telemetry.traces import Collector, collector

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
OURS = "00f067aa0ba902b7"


def a_span(name: str = "process segments", span_id: str | None = OURS, **more) -> Span:
    """A span of ours."""
    return Span(
        name=name, trace_id=TRACE_ID, span_id=span_id, parent_id="b7ad6b7169203331", start_s=100.5, end_s=101.0, **more
    )


class Counts:
    """What became of spans, told from another thread."""

    def __init__(self) -> None:
        self.told: list[tuple[str, int]] = []
        self.came = threading.Event()

    def __call__(self, result: str, spans: int) -> None:
        self.told.append((result, spans))
        self.came.set()


def exporting(settings: Telemetry, counts: Counts) -> Collector:
    """Where spans go, at once."""
    otlp.needed()
    found = collector(settings, instance="worker-0", on_export=counts, every_s=0.01)
    assert found is not None
    return found


async def test_a_collector_gets_the_spans_with_their_ids_and_times() -> None:
    """Ids are the trace's, times are in nanoseconds, what went wrong is the status."""
    counts = Counts()
    async with otlp.collecting() as (there, endpoint):
        exporter = exporting(Telemetry(otlp_endpoint=endpoint), counts)
        failed = a_span(attributes={"framewatch.outcome": "dead_lettered"}, error="decode: corrupt")
        exporter.export([failed, a_span("decode", span_id=None)])
        whole, part = await there.until(2)
        await asyncio.to_thread(exporter.close)
    assert (whole.trace_id.hex(), whole.span_id.hex(), whole.parent_span_id.hex()) == (
        TRACE_ID,
        OURS,
        "b7ad6b7169203331",
    )
    assert (whole.start_time_unix_nano, whole.end_time_unix_nano) == (100_500_000_000, 101_000_000_000)
    assert (whole.status.message, part.status.message) == ("decode: corrupt", "")
    assert part.span_id not in {whole.span_id, b"", bytes(8)}
    assert there.resource["service.instance.id"] == "worker-0"
    assert counts.told == [("ok", 2)]


async def test_a_collector_s_headers_come_from_a_file(tmp_path) -> None:
    """A token is a secret: it stands in no setting."""
    file = tmp_path / "headers"
    file.write_text("Authorization: Bearer of-a-test\n\nX-Scope: framewatch\n")
    async with otlp.collecting() as (there, endpoint):
        exporter = exporting(Telemetry(otlp_endpoint=endpoint, otlp_headers_file=str(file)), Counts())
        exporter.export([a_span()])
        headers = await there.until_asked()
        await asyncio.to_thread(exporter.close)
    assert (headers["Authorization"], headers["X-Scope"]) == ("Bearer of-a-test", "framewatch")


async def test_a_collector_that_refuses_is_counted_and_disturbs_nobody(caplog) -> None:
    """Exporting neither raises nor waits, and the library's own lines about it are not written."""
    counts = Counts()
    async with otlp.collecting(status=400) as (_, endpoint):
        exporter = exporting(Telemetry(otlp_endpoint=endpoint), counts)
        exporter.export([a_span()])
        assert await asyncio.to_thread(counts.came.wait, 20)
        await asyncio.to_thread(exporter.close)
    assert counts.told == [("failed", 1)]
    assert caplog.records == []


def test_without_an_endpoint_there_is_no_collector() -> None:
    """Nobody needs the extra who wants no traces."""
    assert collector(Telemetry(), instance="", on_export=Counts()) is None


@pytest.mark.parametrize("content", ["Authorization Bearer", ": nameless", b"X: \xff"])
def test_a_file_of_headers_that_is_none_is_a_mistake_without_its_content(content, tmp_path) -> None:
    """What is wrong is told, what stands there is not."""
    file = tmp_path / "headers"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    settings = Telemetry(otlp_endpoint="http://localhost:4318/v1/traces", otlp_headers_file=str(file))
    with pytest.raises(UsageError, match=r"^telemetry\.otlp_headers_file") as raised:
        collector(settings, instance="", on_export=Counts())
    assert "Bearer" not in str(raised.value)
    assert "nameless" not in str(raised.value)


@pytest.mark.parametrize(
    "settings",
    [
        {"FRAMEWATCH_TELEMETRY_OTLP_ENDPOINT": "collector:4318"},
        {"FRAMEWATCH_TELEMETRY_OTLP_ENDPOINT": "http://user:secret@collector/"},
        {"FRAMEWATCH_TELEMETRY_OTLP_ENDPOINT": "http://[::1/"},
        {"FRAMEWATCH_TELEMETRY_OTLP_HEADERS_FILE": "/run/headers"},
    ],
)
def test_an_endpoint_is_a_plain_url(settings: dict[str, str]) -> None:
    """A mistake ends the start with a line, and no login stands in a URL."""
    with pytest.raises(UsageError, match="telemetry") as raised:
        load(flags={}, environ=settings, config=None)
    assert "secret" not in str(raised.value)
