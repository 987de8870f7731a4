"""Spans to an OTLP/HTTP collector: OpenTelemetry's own encoder, batches and retries, in a thread of its own.

Needs the extra ``otel``. The SDK's tracer is not used: it makes spans while the work goes on, with ids of its own. Ours
are made once the broker has the results, of sampled segments only, so that what is not sampled costs nothing.
"""

from __future__ import annotations

import logging
import secrets
import threading
from typing import TYPE_CHECKING

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

from worker import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from worker.telemetry.span import Span

QUEUE = 4096
"""So many spans wait for the collector; above it the oldest are dropped."""
BATCH = 512
CLOSE_S = 2.0
NS = 1_000_000_000
_SCOPE = InstrumentationScope("framewatch", __version__)
_SAMPLED = TraceFlags(TraceFlags.SAMPLED)


class Otlp:
    """Hands spans to a collector."""

    def __init__(
        self,
        endpoint: str,
        headers: Mapping[str, str],
        *,
        instance: str,
        on_export: Callable[[str, int], None],
        export_s: float,
        every_s: float,
    ) -> None:
        """Nothing is sent before there is a span. ``on_export`` is told from another thread."""
        self._resource = Resource(
            {"service.name": "framewatch", "service.version": __version__, "service.instance.id": instance}
        )
        # Its errors hold whole replies of the collector; ``on_export`` counts what failed instead.
        logging.getLogger("opentelemetry.exporter").setLevel(logging.CRITICAL)
        self._exporter = OTLPSpanExporter(endpoint=endpoint, headers=dict(headers), timeout=export_s)
        self._processor = BatchSpanProcessor(
            _Counted(self._exporter, on_export),
            max_queue_size=QUEUE,
            max_export_batch_size=BATCH,
            schedule_delay_millis=every_s * 1000,
        )

    def export(self, spans: Sequence[Span]) -> None:
        """Let spans leave with the next batch; does not wait."""
        for span in spans:
            self._processor.on_end(_readable(span, self._resource))

    def takes(self) -> bool:
        """Send an empty batch, and tell whether it was taken; blocks for a bounded time."""
        return self._exporter.export([]) is SpanExportResult.SUCCESS

    def close(self) -> None:
        """Send what waits; blocks for ``CLOSE_S`` at most: a collector that hangs keeps nobody from ending."""
        closing = threading.Thread(target=self._processor.shutdown, name="spans-close", daemon=True)
        closing.start()
        closing.join(CLOSE_S)


class _Counted(SpanExporter):
    """An exporter whose batches are counted."""

    def __init__(self, exporter: SpanExporter, on_export: Callable[[str, int], None]) -> None:
        self._exporter = exporter
        self._on_export = on_export

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._exporter.export(spans)
        self._on_export("ok" if result is SpanExportResult.SUCCESS else "failed", len(spans))
        return result

    def shutdown(self) -> None:
        self._exporter.shutdown()


def _readable(span: Span, resource: Resource) -> ReadableSpan:
    """Return a span as the SDK has it. One with an id of its own is what we make of somebody else's message."""
    is_whole = span.span_id is not None
    return ReadableSpan(
        name=span.name,
        context=_context(span.trace_id, span.span_id or secrets.token_hex(8), is_remote=False),
        parent=_context(span.trace_id, span.parent_id, is_remote=is_whole),
        resource=resource,
        attributes=span.attributes,
        kind=SpanKind.CONSUMER if is_whole else SpanKind.INTERNAL,
        status=Status(StatusCode.UNSET) if span.error is None else Status(StatusCode.ERROR, span.error),
        start_time=round(span.start_s * NS),
        end_time=round(span.end_s * NS),
        instrumentation_scope=_SCOPE,
    )


def _context(trace_id: str, span_id: str, *, is_remote: bool) -> SpanContext:
    return SpanContext(int(trace_id, 16), int(span_id, 16), is_remote, _SAMPLED)
