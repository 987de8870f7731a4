"""The worker's HTTP answers."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp
import pytest

from worker.errors import Stopped
from worker.settings import tree
from worker.telemetry import Telemetry
from worker.web import Web

if TYPE_CHECKING:
    from collections.abc import AsyncIterator


@dataclass
class Feels:
    """A worker whose health is what the test says."""

    sick: str | None = None
    idle: str | None = None

    def live(self) -> str | None:
        return self.sick

    def ready(self) -> str | None:
        return self.idle


@asynccontextmanager
async def served(health: Feels, telemetry: Telemetry | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """A client of a running server."""
    server = Web(tree.Web(port=0), telemetry or Telemetry(), health)
    await server.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.port}") as client:
            yield client
    finally:
        await server.stop()


@pytest.mark.parametrize("path", ["/livez", "/readyz"])
async def test_a_well_worker_says_ok(path: str) -> None:
    """Both probes answer 200 when nothing is wrong."""
    async with served(Feels()) as client, client.get(path) as answer:
        assert (answer.status, await answer.text()) == (200, "ok\n")


async def test_a_probe_says_in_a_line_why_not() -> None:
    """Each probe asks its own question; a reason is a 503 with that line."""
    async with served(Feels(idle="restoring partitions 3")) as client:
        async with client.get("/readyz") as answer:
            assert (answer.status, await answer.text()) == (503, "restoring partitions 3\n")
        async with client.get("/livez") as answer:
            assert answer.status == 200


async def test_health_is_asked_at_each_request() -> None:
    """A worker that gets sick after the start is seen to be sick."""
    health = Feels()
    async with served(health) as client:
        health.sick = "nothing was polled for 61 s"
        async with client.get("/livez") as answer:
            assert answer.status == 503


@pytest.mark.parametrize(
    ("accept", "content_type"),
    [("", "text/plain"), ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text")],
)
async def test_metrics_come_in_the_format_that_was_asked_for(accept: str, content_type: str) -> None:
    """Prometheus' own text by default, OpenMetrics for who accepts it."""
    telemetry = Telemetry()
    telemetry.consumed(10)
    async with served(Feels(), telemetry) as client, client.get("/metrics", headers={"Accept": accept}) as answer:
        text = await answer.text()
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith(content_type)
        assert "framewatch_consumed_total 1.0" in text
        assert text.endswith("# EOF\n") == (content_type == "application/openmetrics-text")


@pytest.mark.parametrize("path", ["/", "/metrics/x", "/livez/../etc"])
async def test_nothing_else_is_answered(path: str) -> None:
    """Other paths are not found."""
    async with served(Feels()) as client, client.get(path) as answer:
        assert answer.status == 404


async def test_nothing_can_be_written() -> None:
    """Other methods than GET and HEAD are refused."""
    async with served(Feels()) as client, client.post("/metrics", data=b"x") as answer:
        assert answer.status == 405


async def test_long_headers_and_addresses_are_refused() -> None:
    """A header or address beyond its bound is a bad request, not memory."""
    async with served(Feels()) as client:
        async with client.get("/livez", headers={"X": "x" * 5000}) as answer:
            assert answer.status == 400
        async with client.get("/livez?" + "x" * 5000) as answer:
            assert answer.status == 400


async def test_a_taken_port_is_one_line() -> None:
    """A port that somebody else has ends the worker with a line that names the settings."""
    first = Web(tree.Web(port=0), Telemetry(), Feels())
    await first.start()
    assert first.port is not None
    try:
        with pytest.raises(Stopped, match=r"web\.host, web\.port: can't listen on 127\.0\.0\.1:\d+"):
            await Web(tree.Web(port=first.port), Telemetry(), Feels()).start()
    finally:
        await first.stop()
