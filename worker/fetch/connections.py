"""Connections to one host of the web: to addresses that were checked, and to no others."""

from __future__ import annotations

import asyncio
import errno
import socket
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector
from aiohttp.abc import AbstractResolver, ResolveResult

from worker.fetch.addresses import is_allowed, parsed

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from aiohappyeyeballs import AddrInfoType

KEPT_OPEN_S = 15.0
MOST_AT_ONCE = 256
"""Connections to one root's host."""
THREADS = 4
"""Threads of our own for look-ups: a name server that hangs must not take those that others wait for."""


class ForbiddenAddressError(Exception):
    """A name has an address that may not be connected to. Its text is for people."""


class Names(Protocol):
    """Looks names up."""

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Return all numeric addresses of a host. Raises OSError where there are none."""

    def close(self) -> None:
        """Let go of threads."""


class SystemNames:
    """The system's resolver, with ``/etc/hosts`` and the cluster's search domains."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="fetch-names")

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        """Look a name up in a thread. See ``Names``."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._threads, _looked_up, host, port)
        return tuple(dict.fromkeys(str(address[0]) for *_, address in found))

    def close(self) -> None:
        """Let the threads go; one that hangs is not waited for."""
        self._threads.shutdown(wait=False, cancel_futures=True)


def _looked_up(host: str, port: int) -> list[tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[str, int]]]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)  # type: ignore[return-value] # IPv6's has two more


class CheckedResolver(AbstractResolver):
    """Gives aiohttp the addresses that it then connects to: nobody looks the name up a second time."""

    def __init__(self, names: Names, *, private: bool) -> None:
        """``private`` opens private addresses for this host."""
        self._names = names
        self._private = private

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Return a host's addresses if every one of them may be connected to.

        One that may not spoils the others: whoever answers so means no good, or doesn't know what it serves.

        Raises:
            ForbiddenAddressError: One may not.
            OSError: There are none.
        """
        addresses = await self._names(host, port)
        if not addresses:
            raise OSError(errno.EADDRNOTAVAIL, "no address")
        for address in addresses:
            self._check(address)
        return [_result(host, address, port) for address in addresses if family in (socket.AF_UNSPEC, _family(address))]

    async def close(self) -> None:
        """Nothing is kept here."""

    def _check(self, address: str) -> None:
        if is_allowed(address, private=self._private):
            return
        if is_allowed(address, private=True):
            raise ForbiddenAddressError("its host has a private address: that needs private = true")
        raise ForbiddenAddressError("its host has an address that nothing may be fetched from")


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET


def _result(host: str, address: str, port: int) -> ResolveResult:
    numeric = socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    return ResolveResult(hostname=host, host=address, port=port, family=_family(address), proto=0, flags=numeric)


class Gate:
    """The last look at an address, where its socket is made: also at numbers, which aiohttp gives to no resolver."""

    def __init__(self, *, private: bool) -> None:
        """``private`` opens private addresses."""
        self._private = private

    def __call__(self, address: AddrInfoType) -> socket.socket:
        """Return a socket for an address that may be connected to. Raises PermissionError."""
        family, kind, protocol, _, where = address
        if parsed(str(where[0])) is None or not is_allowed(str(where[0]), private=self._private):
            raise PermissionError(errno.EACCES, "an address that nothing may be fetched from")
        return socket.socket(family=family, type=kind, proto=protocol)


def session(names: Names, tls: ssl.SSLContext, *, private: bool, idle_s: float) -> ClientSession:
    """Return what asks one root's host, in the running loop.

    No proxy and no ``.netrc`` from the environment, no cookies, nothing decompressed. Certificates are held against the
    host's name, whatever address it has.
    """
    connector = TCPConnector(
        resolver=CheckedResolver(names, private=private),
        socket_factory=Gate(private=private),
        use_dns_cache=False,
        ssl=tls,
        limit=MOST_AT_ONCE,
        keepalive_timeout=KEPT_OPEN_S,
    )
    return ClientSession(
        connector=connector,
        cookie_jar=DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        timeout=ClientTimeout(total=None, sock_connect=idle_s, sock_read=idle_s),
    )
