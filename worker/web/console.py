"""The console over HTTP: a page, its two files, and server-sent events with what has changed.

Event streams are as the HTML standard has them (§9.2): ``event:``, one line of ``data:``, an empty line. JSON has no
line feeds of its own.
"""

from __future__ import annotations

import asyncio
import time
from importlib import resources
from typing import TYPE_CHECKING, Protocol

from aiohttp import web

from worker.errors import Stopped
from worker.web.access import COOKIE, Access

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from worker.web.access import Answer

EVERY_S = 1.0
"""What has changed is sent so often."""
MOST_CLIENTS = 16
MOST_PREFIX = 256
SENT_WITHIN_S = 10.0
"""A client that takes nothing for so long is let go."""
RETRY_MS = 1000
COMMENT = b":\n\n"
"""Sent where nothing has changed: only who sends notices that nobody listens any longer."""
FILES = {
    "console.css": "text/css",
    "console.js": "text/javascript",
    "icon.svg": "image/svg+xml",
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; "
        "trusted-types 'none'"
    ),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
REFUSALS: dict[Answer, tuple[int, str]] = {
    "host": (421, "The console is for this machine: open it as http://localhost, 127.0.0.1 or [::1].\n"),
    "proxy": (403, "The console is reached through its proxy only (web.proxy_header).\n"),
}


class Shown(Protocol):
    """Has what the console shows (``worker.console.view.Console``)."""

    def parts(self, prefix: str) -> Mapping[str, bytes]:
        """Return each part as JSON; of streams only those whose id begins with ``prefix``."""


class Console:
    """Answers everything under ``/`` and ``/console/``."""

    def __init__(self, access: Access, shown: Shown, *, every_s: float = EVERY_S) -> None:
        """Send what has changed every ``every_s`` seconds."""
        self._access = access
        self._shown = shown
        self._every_s = every_s
        folder = resources.files("worker.web") / "static"
        self._files = {name: (folder / name).read_bytes() for name in (*FILES, "index.html", "login.html")}
        self._clients = 0
        self._closing = asyncio.Event()
        self._made: tuple[float, Mapping[str, bytes]] | None = None

    def routes(self) -> list[web.RouteDef]:
        """Return what is answered."""
        files = [web.get(f"/console/{name}", self._file(name)) for name in FILES]
        return [
            web.get("/", self._page),
            web.post("/console/login", self._login),
            web.get("/console/events", self._events, allow_head=False),
            *files,
        ]

    def close(self) -> None:
        """Let every client go."""
        self._closing.set()

    # --- pages ---

    async def _page(self, request: web.Request) -> web.Response:
        if (refused := self._refused(request)) is not None:
            return refused
        return self._html("index.html")

    def _file(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def answer(request: web.Request) -> web.Response:
            del request
            return web.Response(body=self._files[name], content_type=FILES[name], charset="utf-8", headers=HEADERS)

        return answer

    async def _login(self, request: web.Request) -> web.Response:
        given = (await request.post()).get("token")
        try:
            session = self._access.session(given, time.time()) if isinstance(given, str) else None
        except Stopped as error:
            return _text(503, f"{error}\n")
        if session is None:
            return self._html("login.html", status=403)
        answer = web.Response(status=303, headers={**HEADERS, "Location": "/"})
        # A browser says in Origin how it has reached us, be it through a proxy that ends TLS.
        secure = request.headers.get("Origin", "").startswith("https://")
        answer.set_cookie(COOKIE, session, httponly=True, samesite="Strict", secure=secure, path="/")
        return answer

    def _html(self, name: str, *, status: int = 200) -> web.Response:
        return web.Response(
            body=self._files[name], status=status, content_type="text/html", charset="utf-8", headers=HEADERS
        )

    def _refused(self, request: web.Request) -> web.Response | None:
        try:
            answer = self._access.answer(request.headers, request.cookies, request.remote, time.time())
        except Stopped as error:
            return _text(503, f"{error}\n")
        if answer == "may":
            return None
        if answer == "login":
            page = self._html("login.html", status=401)
            page.headers["WWW-Authenticate"] = "Bearer"
            return page
        return _text(*REFUSALS[answer])

    # --- events ---

    async def _events(self, request: web.Request) -> web.StreamResponse:
        if (refused := self._refused(request)) is not None:
            return refused
        # Another site's page could not read it, but would take a place (Fetch Metadata; who is no browser sends none).
        if request.headers.get("Sec-Fetch-Site", "none") not in ("same-origin", "none"):
            return _text(403, "Another site's page asks.\n")
        if self._clients >= MOST_CLIENTS:
            return _text(503, f"{MOST_CLIENTS} consoles are open already.\n")
        self._clients += 1
        try:
            return await self._send(request)
        finally:
            self._clients -= 1

    async def _send(self, request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse(headers={**HEADERS, "Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        prefix = request.query.get("prefix", "")[:MOST_PREFIX]
        await answer.prepare(request)
        sent: dict[str, bytes] = {}
        text = f"retry: {RETRY_MS}\n\n".encode()
        try:
            while not self._closing.is_set() and self._refused(request) is None:
                parts = self._parts(prefix)
                changed = {name: part for name, part in parts.items() if sent.get(name) != part}
                text += b"".join(b"event: %s\ndata: %s\n\n" % (name.encode(), part) for name, part in changed.items())
                async with asyncio.timeout(SENT_WITHIN_S):
                    await answer.write(text or COMMENT)
                sent, text = {**sent, **changed}, b""
                await self._next()
        except (ConnectionError, TimeoutError):
            pass  # the client has gone, or takes nothing: nobody is there to be told
        return answer

    async def _next(self) -> None:
        try:
            async with asyncio.timeout(self._every_s):
                await self._closing.wait()
        except TimeoutError:
            return  # it is time

    def _parts(self, prefix: str) -> Mapping[str, bytes]:
        """Make them once for all clients that look for nothing in particular."""
        if prefix:
            return self._shown.parts(prefix)
        at_s = time.monotonic()
        if self._made is None or at_s - self._made[0] >= self._every_s / 2:
            self._made = at_s, self._shown.parts("")
        return self._made[1]


def _text(status: int, text: str) -> web.Response:
    return web.Response(status=status, text=text, headers=HEADERS)
