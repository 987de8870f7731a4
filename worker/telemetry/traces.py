"""Where spans go: to nobody, or to an OTLP/HTTP collector with the extra ``otel``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from worker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from worker.settings.tree import Telemetry as Settings
    from worker.telemetry.span import Span

EXPORT_S = 5.0
"""How long one batch may take, its retries included; also what closing waits for the last one."""
EVERY_S = 2.0
MOST_HEADERS_BYTES = 16_384


class Collector(Protocol):
    """Takes spans (``worker.telemetry.otel``)."""

    def export(self, spans: Sequence[Span]) -> None:
        """Let spans leave with the next batch; does not wait."""

    def takes(self) -> bool:
        """Send an empty batch, and tell whether it was taken; blocks for a bounded time."""

    def close(self) -> None:
        """Send what waits; blocks for a bounded time."""


def collector(
    settings: Settings, *, instance: str, on_export: Callable[[str, int], None], every_s: float = EVERY_S
) -> Collector | None:
    """Return where spans go; None where the settings name no collector.

    Args:
        settings: Where to, and with which headers.
        instance: Name of this worker.
        on_export: Told ``ok`` or ``failed`` and of how many spans, from another thread.
        every_s: How often spans leave.

    Raises:
        UsageError: The extra is not installed, or the file of headers can't be read.
    """
    if not settings.otlp_endpoint:
        return None
    headers = dict(_headers(settings.otlp_headers_file))
    try:
        from worker.telemetry.otel import Otlp  # noqa: PLC0415 - an extra: only who wants traces has it
    except ImportError as error:
        raise UsageError("telemetry.otlp_endpoint needs OpenTelemetry: pip install 'framewatch[otel]'") from error
    return Otlp(
        settings.otlp_endpoint,
        headers,
        instance=instance,
        on_export=on_export,
        export_s=EXPORT_S,
        every_s=every_s,
    )


def _headers(path: str) -> Iterator[tuple[str, str]]:
    """Yield the headers of a file, a line each: ``name: value``. No line of it is ever told."""
    if not path:
        return
    try:
        text = Path(path).read_bytes()[:MOST_HEADERS_BYTES].decode("ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"telemetry.otlp_headers_file: can't be read: {type(error).__name__}") from error
    for number, line in enumerate(text.splitlines(), 1):
        name, colon, value = line.partition(":")
        if not line.strip():
            continue
        if not colon or not name.strip():
            raise UsageError(f"telemetry.otlp_headers_file: line {number} is not name: value")
        yield name.strip(), value.strip()
