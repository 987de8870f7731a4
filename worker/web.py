"""What the worker answers over HTTP: ``/livez``, ``/readyz`` and ``/metrics``, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from worker.errors import Stopped

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.settings import tree

MAX_LINE_BYTES = 2048
"""Longest request line and longest single header."""
CLOSES_WITHIN_S = 1.0
"""How long a request that is being answered may go on at the end."""


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


class Web:
    """The worker's HTTP server, in the worker's own loop."""

    def __init__(self, settings: tree.Web, metrics: Metrics, health: Health) -> None:
        """Nothing listens before ``start``."""
        self._settings = settings
        self._metrics = metrics
        app = web.Application(client_max_size=1)
        app.router.add_get("/livez", _answering(health.live))
        app.router.add_get("/readyz", _answering(health.ready))
        app.router.add_get("/metrics", self._expose)
        self._runner = web.AppRunner(
            app,
            access_log=None,
            max_line_size=MAX_LINE_BYTES,
            max_field_size=MAX_LINE_BYTES,
            shutdown_timeout=CLOSES_WITHIN_S,
        )
        self.port: int | None = None
        """The port it listens on; None before it does."""

    async def start(self) -> None:
        """Listen.

        Raises:
            Stopped: The address can't be had.
        """
        await self._runner.setup()
        try:
            await web.TCPSite(self._runner, self._settings.host, self._settings.port).start()
        except OSError as error:
            await self._runner.cleanup()
            where = f"{self._settings.host}:{self._settings.port}"
            raise Stopped(f"web.host, web.port: can't listen on {where}: {error.strerror or error}") from error
        self.port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        """Stop listening; to be called once."""
        await self._runner.cleanup()

    async def _expose(self, request: web.Request) -> web.Response:
        body, content_type = self._metrics.expose(request.headers.get("Accept", ""))
        return web.Response(body=body, headers={"Content-Type": content_type})


def _answering(ask: Callable[[], str | None]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(request: web.Request) -> web.StreamResponse:
        del request
        why = ask()
        return web.Response(text=f"{why or 'ok'}\n", status=200 if why is None else 503)

    return answer
