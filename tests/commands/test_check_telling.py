"""What ``framewatch check`` says of metrics, lines and traces."""

from __future__ import annotations

import asyncio

import pytest
from support import otlp
from support.kafka import free_ports

from worker.commands.checks import telling
from worker.errors import UsageError
from worker.settings.tree import Log, Settings, Telemetry, Web


def traces(**settings: str):
    """What is found of the traces, with these settings of theirs."""
    [found] = telling.traces(Settings(telemetry=Telemetry(**settings)))
    return found


def test_where_metrics_and_lines_are_is_told() -> None:
    """An operator reads the place of /metrics and the form of lines before anything starts."""
    settings = Settings(web=Web(host="0.0.0.0", port=9100), log=Log(format="json", level="warning", lines_per_s=7))  # noqa: S104 - nothing listens
    [metrics], [lines] = telling.metrics(settings), telling.lines(settings)
    assert "0.0.0.0:9100/metrics" in metrics.detail
    assert all(word in lines.detail for word in ("JSON", "warning", "7 a second"))
    assert {metrics.level, lines.level} == {"pass"}


def test_no_traces_is_a_choice() -> None:
    """Nothing is wrong with exporting none."""
    assert traces().level == "pass"


async def test_a_collector_that_takes_spans_is_found_to() -> None:
    """It is asked with an empty batch: no span is made up."""
    otlp.needed()
    async with otlp.collecting() as (there, endpoint):
        found = await asyncio.to_thread(traces, otlp_endpoint=f"{endpoint}?key=hunter2")
    assert (found.level, len(there.headers), there.spans) == ("pass", 1, [])
    assert "hunter2" not in found.detail


@pytest.mark.parametrize("status", [400, 404])
async def test_one_that_takes_none_is_a_warning(status: int) -> None:
    """A worker watches without traces, so it is no failure."""
    otlp.needed()
    async with otlp.collecting(status) as (_, endpoint):
        found = await asyncio.to_thread(traces, otlp_endpoint=endpoint)
    assert (found.level, found.remedy is None) == ("warning", False)


def test_one_that_is_not_there_is_a_warning() -> None:
    """Within a bounded time."""
    otlp.needed()
    [port] = free_ports(1)
    assert traces(otlp_endpoint=f"http://127.0.0.1:{port}/v1/traces").level == "warning"


def test_headers_that_can_not_be_read_are_what_a_worker_would_not_start_with() -> None:
    """The check ends as the start would."""
    with pytest.raises(UsageError, match="otlp_headers_file"):
        traces(otlp_endpoint="http://127.0.0.1:1/v1/traces", otlp_headers_file="/nowhere/headers")
