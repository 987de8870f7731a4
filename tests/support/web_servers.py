"""Servers of the web on loopback, honest and hostile, and names that mean what a test says."""

from __future__ import annotations

import asyncio
import ssl
import zlib
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from worker.fetch import Fetcher
from worker.fetch.web import open_web
from worker.settings.tree import Fetch, Root

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

    Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
    Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HOST = "media.example"


class Authority:
    """An authority that only the tests trust."""

    def __init__(self) -> None:
        self._made = trustme.CA()

    def server(self, *names: str) -> ssl.SSLContext:
        """Return what a server of these names has."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        self._made.issue_cert(*names).configure_cert(context)
        return context

    def client(self) -> ssl.SSLContext:
        """Return what a client has that trusts this authority alone."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        self._made.configure_trust(context)
        return context


class Names:
    """Gives each look-up the next of its answers, the last one for ever, and counts."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers) or [["127.0.0.1"]]
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        del port
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]

    def close(self) -> None:
        """Nothing to let go of."""


class Pauses:
    """A sleep that takes no time and remembers how long it should have been."""

    def __init__(self) -> None:
        self.told_s: list[float] = []

    async def __call__(self, seconds: float) -> None:
        self.told_s.append(seconds)


class Objects:
    """An honest server of objects with etags and byte ranges; it remembers what it was asked."""

    def __init__(self) -> None:
        self.held: dict[str, bytes] = {}
        self.requests: list[web.Request] = []

    @staticmethod
    def etag(data: bytes) -> str:
        """Return the etag that an object has."""
        return f'"{zlib.crc32(data):x}"'

    async def __call__(self, request: web.Request) -> web.Response:
        self.requests.append(request)
        data = self.held.get(unquote(request.raw_path.partition("?")[0]))
        if data is None:
            return web.Response(status=404)
        etag = self.etag(data)
        if request.headers.get("If-Match", etag) != etag:
            return web.Response(status=412)
        if "Range" not in request.headers:
            return web.Response(body=data, headers={"ETag": etag})
        return self._part(request, data, etag)

    def _part(self, request: web.Request, data: bytes, etag: str) -> web.Response:
        first, last = map(int, request.headers["Range"].removeprefix("bytes=").split("-"))
        if first >= len(data):
            return web.Response(status=416)
        last = min(last, len(data) - 1)
        told = {"ETag": etag, "Content-Range": f"bytes {first}-{last}/{len(data)}"}
        return web.Response(status=206, body=data[first : last + 1], headers=told)


@asynccontextmanager
async def served(handler: Handler, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    """Serve on loopback until the block ends; gives the port."""

    async def asked(request: web.Request) -> web.StreamResponse:
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{anything:.*}", asked)
    server = TestServer(app, scheme="https" if tls else "http")
    await server.start_server(ssl=tls)
    try:
        assert server.port is not None
        yield server.port
    finally:
        await server.close()


@asynccontextmanager
async def talking(talk: Talk) -> AsyncIterator[int]:
    """Listen on loopback and let ``talk`` say to each client what no HTTP server would; gives the port."""
    tasks: set[asyncio.Task[Any]] = set()

    async def told(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        tasks.add(asyncio.current_task())  # type: ignore[arg-type] # it runs in one
        # The client has had enough, or the test is over: asyncio's streams would log the latter.
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await talk(reader, writer)
        writer.close()

    server = await asyncio.start_server(told, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


class Honeypot:
    """Whoever connects here has been tricked."""

    def __init__(self) -> None:
        self.connections = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        del reader
        self.connections += 1
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        await writer.drain()


def fetcher(
    *roots: Root | str,
    names: Names | None = None,
    tls: ssl.SSLContext | None = None,
    monotonic: Callable[[], float] | None = None,
    **settings: Any,
) -> Fetcher:
    """Return a fetcher of the web that takes its addresses and its trust from the test."""
    options: dict[str, Any] = {"names": names or Names(), "tls": tls or ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)}
    if monotonic is not None:
        options["monotonic"] = monotonic
    opener = partial(open_web, **options)
    made = Fetch(roots=roots, **{"visible_within_s": 0.0} | settings)
    return Fetcher(made, openers={"https": opener, "http": opener}, sleep=Pauses())


def plain(port: int, path: str = "live/", **options: Any) -> Root:
    """Return a root of a server without TLS on loopback."""
    return Root(uri=f"http://{HOST}:{port}/{path}", private=True, plaintext=True, **options)
