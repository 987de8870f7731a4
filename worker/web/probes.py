"""``/livez``, ``/readyz`` and ``/metrics``: open to whoever reaches the address."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


class Health(Protocol):
    """Says whether the worker is well; each answer is None, or one line that says why not. Never waits."""

    def live(self) -> str | None:
        """Return why a restart would help."""

    def ready(self) -> str | None:
        """Return why it does not do its work now."""


class Metrics(Protocol):
    """Has the metrics (``worker.telemetry.Telemetry``)."""

    def expose(self, accept: str) -> tuple[bytes, str]:
        """Return all metrics and their media type, chosen by the header ``Accept``."""


def routes(metrics: Metrics, health: Health) -> list[web.RouteDef]:
    """Return what is answered to probes and to Prometheus."""

    async def expose(request: web.Request) -> web.Response:
        body, content_type = metrics.expose(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})

    return [
        web.get("/livez", _answering(health.live)),
        web.get("/readyz", _answering(health.ready)),
        web.get("/metrics", expose),
    ]


def _answering(ask: Callable[[], str | None]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        del request
        why = ask()
        return web.Response(text=f"{why or 'ok'}\n", status=200 if why is None else 503)

    return answer
