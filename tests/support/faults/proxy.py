"""A TCP proxy between workers and a broker: cut, stalled, deaf in one direction, or answering in the broker's place.

``proxied`` starts brokers that advertise their proxies' addresses on a listener of their own: who starts from a
proxy's address speaks to all brokers through proxies, who starts from the cluster's own address through none.
"""

from __future__ import annotations

import asyncio
import struct
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Literal

from support import kafka
from support.kafka import Cluster, Listener, free_ports

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

Direction = Literal["to_broker", "to_client"]
DOOR = "PROXIED"
CHUNK_BYTES = 65536


class Proxy:
    """One broker's proxy. It stands on the test's event loop: what blocks that, blocks the link.

    Args:
        port: Where it listens, on loopback.
        broker: host:port of the broker's listener that advertises this proxy.
    """

    def __init__(self, port: int, broker: str) -> None:
        self.address = f"127.0.0.1:{port}"
        self._port = port
        self._broker = broker.rsplit(":", 1)
        self._server: asyncio.Server | None = None
        self._links: set[_Link] = set()
        self._open: dict[Direction, asyncio.Event] = {"to_broker": asyncio.Event(), "to_client": asyncio.Event()}
        self._answers: dict[int, Callable[[int, bytes], bytes | None]] = {}
        self.connections = 0
        """Connections that were made through it."""

    async def start(self) -> None:
        """Listen and pass everything on."""
        for gate in self._open.values():
            gate.set()
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port)

    async def stop(self) -> None:
        """Close all and listen no more."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for link in list(self._links):
            await link.close()

    async def cut(self) -> None:
        """Close every connection and refuse new ones."""
        await self.stop()

    async def mend(self) -> None:
        """Pass everything on again, whatever was done before. A deaf connection is closed: bytes of it are lost."""
        for link in [link for link in self._links if link.lossy]:
            await link.close()
        for gate in self._open.values():
            gate.set()
        if self._server is None:
            await self.start()

    def stall(self, *directions: Direction) -> None:
        """Pass nothing on in these directions (both, if none is named) until mended; nothing is lost."""
        for direction in directions or self._open:
            self._open[direction].clear()

    def drop(self, direction: Direction) -> None:
        """Lose everything in one direction, on connections that are open now and on new ones, until mended.

        The receiving side only sees silence, as where a firewall forgets one way of a connection.
        """
        self.stall(direction)
        for link in self._links:
            link.lossy = True

    def answer(self, api_key: int, make: Callable[[int, bytes], bytes | None] | None) -> None:
        """Answer requests of this kind in the broker's place; None: no more.

        ``make`` is given the request's API version and its bytes after the correlation id (the client id is first),
        and returns the response's bytes after the correlation id, or None to pass the request on.
        """
        if make is None:
            self._answers.pop(api_key, None)
        else:
            self._answers[api_key] = make

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            broker = await asyncio.open_connection(self._broker[0], int(self._broker[1]))
        except OSError:  # the broker is down: so is this connection
            writer.close()
            return
        link = _Link((reader, writer), broker, self._open, self._answers)
        self._links.add(link)
        try:
            await link.run()
        finally:
            self._links.discard(link)


class _Link:
    """A client's connection and the one to the broker that was made for it."""

    def __init__(
        self,
        client: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        broker: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        gates: dict[Direction, asyncio.Event],
        answers: dict[int, Callable[[int, bytes], bytes | None]],
    ) -> None:
        self._from_client, self._to_client = client
        self._from_broker, self._to_broker = broker
        self._gates = gates
        self._answers = answers
        self._tasks: list[asyncio.Task[None]] = []
        self._unanswered = 0
        self._none_unanswered = asyncio.Event()
        self._none_unanswered.set()
        self.lossy = False

    async def run(self) -> None:
        """Pump until one side ends."""
        self._tasks = [asyncio.create_task(self._requests()), asyncio.create_task(self._responses())]
        await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
        await self.close()

    async def close(self) -> None:
        """End both connections."""
        for task in self._tasks:
            task.cancel()
        for writer in (self._to_client, self._to_broker):
            writer.close()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _requests(self) -> None:
        """A request at a time: each is its length in four bytes, API key, version, correlation id and the rest."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await self._from_client.readexactly(4)
                request = await self._from_client.readexactly(struct.unpack(">I", head)[0])
                await self._gates["to_broker"].wait()
                if (response := self._answered(request)) is not None:
                    await self._none_unanswered.wait()  # responses come in the order of requests
                    await self._gates["to_client"].wait()
                    self._to_client.write(struct.pack(">I", len(response)) + response)
                    await self._to_client.drain()
                else:
                    self._unanswered += 1
                    self._none_unanswered.clear()
                    self._to_broker.write(head + request)
                    await self._to_broker.drain()

    def _answered(self, request: bytes) -> bytes | None:
        api_key, version, correlation = struct.unpack_from(">hhI", request)
        make = self._answers.get(api_key)
        body = None if make is None else make(version, request[8:])
        return None if body is None else struct.pack(">I", correlation) + body

    async def _responses(self) -> None:
        """A response at a time, so that an answer of ours never stands in the middle of one."""
        with suppress(OSError, asyncio.IncompleteReadError):
            while True:
                head = await self._from_broker.readexactly(4)
                body = await self._from_broker.readexactly(struct.unpack(">I", head)[0])
                await self._gates["to_client"].wait()
                self._to_client.write(head + body)
                await self._to_client.drain()
                self._unanswered -= 1
                if not self._unanswered:
                    self._none_unanswered.set()


class Proxied:
    """A cluster and its brokers' proxies, in the brokers' order."""

    def __init__(self, cluster: Cluster, proxies: list[Proxy]) -> None:
        self.cluster = cluster
        self.proxies = proxies

    @property
    def bootstrap_servers(self) -> str:
        """What workers are given so that they speak through the proxies."""
        return ",".join(proxy.address for proxy in self.proxies)


@asynccontextmanager
async def proxied(folder: Path, size: int = 1) -> AsyncIterator[Proxied]:
    """Brokers of one's own, each with a proxy before it."""
    ports = free_ports(size)
    door = Listener(DOOR, "PLAINTEXT", advertised=dict(enumerate(ports, start=1)))
    with kafka.running(folder, size, listeners=[door]) as cluster:
        proxies = [Proxy(port, broker.door(DOOR)) for port, broker in zip(ports, cluster.brokers, strict=True)]
        try:
            for proxy in proxies:
                await proxy.start()
            yield Proxied(cluster, proxies)
        finally:
            for proxy in proxies:
                await proxy.stop()
