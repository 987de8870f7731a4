"""Which settings of the traces' collector belong together. Pure; no file is read here."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings.tree import Telemetry


def mistakes(settings: Telemetry) -> Iterator[str]:
    """Yield what contradicts itself, a line each. What is set and would not be used is a mistake too."""
    if settings.otlp_endpoint and not _is_plain_url(settings.otlp_endpoint):
        yield "telemetry.otlp_endpoint must be http://… or https://…, without a user"
    if settings.otlp_headers_file and not settings.otlp_endpoint:
        yield "telemetry.otlp_headers_file: there is no telemetry.otlp_endpoint to send them to"


def _is_plain_url(text: str) -> bool:
    try:
        url = urlsplit(text)
    except ValueError:
        return False
    return url.scheme in {"http", "https"} and bool(url.hostname) and "@" not in url.netloc
