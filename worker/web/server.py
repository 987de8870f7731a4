"""The worker's HTTP server, in the worker's own loop."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

from worker.errors import Stopped
from worker.web import access, probes
from worker.web.console import HEADERS, Console

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from worker.settings import tree
    from worker.web.console import Shown

MAX_LINE_BYTES = 8190
"""Longest request line and longest single header."""
MAX_BODY_BYTES = 8192
"""Of a login: the token. Nothing else has one."""
CLOSES_WITHIN_S = 1.0
"""How long a request that is being answered may go on at the end."""


class Web:
    """Probes, metrics and console."""

    def __init__(
        self, settings: tree.Web, metrics: probes.Metrics, health: probes.Health, shown: Shown | None = None
    ) -> None:
        """Nothing listens before ``start``. There is no console where there is nothing to be ``shown``.

        Raises:
            Stopped: The console's token can't be read, or could be guessed.
        """
        self._settings = settings
        app = web.Application(client_max_size=MAX_BODY_BYTES)
        app.router.add_routes(probes.routes(metrics, health))
        if shown is not None and access.why_off(settings) is None:
            console = Console(access.Access(settings), shown)
            app.router.add_routes(console.routes())
            app.on_shutdown.append(_closing(console))
        else:
            app.router.add_get("/", self._off)
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

    async def _off(self, request: web.Request) -> web.Response:
        del request
        why = access.why_off(self._settings) or "This worker has no console."
        return web.Response(text=f"{why}\n", status=404, headers=HEADERS)


def _closing(console: Console) -> Callable[[web.Application], Awaitable[None]]:
    async def close(app: web.Application) -> None:
        del app
        console.close()

    return close
