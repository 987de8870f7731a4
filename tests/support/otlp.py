"""A collector of traces: OTLP/HTTP with protobuf, as OpenTelemetry's exporters speak it."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from opentelemetry.proto.trace.v1.trace_pb2 import Span

PATIENCE_S = 30.0


def needed() -> None:
    """Skips the test where the extra ``otel`` is not installed."""
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason="needs the extra otel")


class Collector:
    """Remembers what it was sent; answers what it is told to."""

    def __init__(self, status: int = 200) -> None:
        self.status = status
        self.spans: list[Span] = []
        self.headers: list[Mapping[str, str]] = []
        self.resource: dict[str, str] = {}
        self._came = asyncio.Condition()

    async def until(self, spans: int) -> list[Span]:
        """The spans, once there are so many."""
        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(lambda: len(self.spans) >= spans)
        return self.spans

    async def until_asked(self) -> Mapping[str, str]:
        """The headers of the first request, once it is there."""
        async with asyncio.timeout(PATIENCE_S), self._came:
            await self._came.wait_for(lambda: bool(self.headers))
        return self.headers[0]

    async def take(self, request: web.Request) -> web.Response:
        """Take a request in."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (  # noqa: PLC0415 - an extra
            ExportTraceServiceRequest,
        )

        body = await request.read()
        if request.headers.get("Content-Encoding") == "gzip" and body[:2] == b"\x1f\x8b":
            body = gzip.decompress(body)
        asked = ExportTraceServiceRequest.FromString(body)
        async with self._came:
            self.headers.append(request.headers.copy())
            if self.status == web.HTTPOk.status_code:
                for of_resource in asked.resource_spans:
                    self.resource = {one.key: one.value.string_value for one in of_resource.resource.attributes}
                    self.spans += [span for scope in of_resource.scope_spans for span in scope.spans]
            self._came.notify_all()
        return web.Response(status=self.status)


@asynccontextmanager
async def collecting(status: int = 200) -> AsyncIterator[tuple[Collector, str]]:
    """A collector that listens, and its endpoint."""
    collector = Collector(status)
    app = web.Application()
    app.router.add_post("/v1/traces", collector.take)
    async with TestServer(app) as server:
        yield collector, str(server.make_url("/v1/traces"))
