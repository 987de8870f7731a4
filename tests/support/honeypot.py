"""A listener on loopback that nobody has any business with: it counts who comes, and answers nothing."""

from __future__ import annotations

import selectors
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Honeypot:
    """TCP and UDP on one port of 127.0.0.1.

    Attributes:
        port: Where it listens.
        visits: A line for each connection and each datagram, in order.
    """

    def __init__(self) -> None:
        self._tcp, self._udp = _on_one_port()
        self._stop, self._stopped = socket.socketpair()
        self.port: int = self._tcp.getsockname()[1]
        self.visits: list[str] = []
        self._thread = threading.Thread(target=self._serve, name="honeypot", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Count what has already come, and stop."""
        self._stop.close()
        self._thread.join()
        for one in (self._tcp, self._udp, self._stopped):
            one.close()

    def seen(self) -> list[str]:
        """All visits up to now: what was sent before this call is among them."""
        with socket.create_connection(("127.0.0.1", self.port)) as own:
            name = f"tcp {own.getsockname()[1]}"
            while name not in self.visits:
                threading.Event().wait(0.001)
        self.visits.remove(name)
        return list(self.visits)

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            for one in (self._tcp, self._udp, self._stopped):
                selector.register(one, selectors.EVENT_READ)
            while True:
                ready = {key.fileobj for key, _ in selector.select()}
                # In this order: a visit that was there before somebody asked is told before the answer.
                if self._udp in ready:
                    self.visits.append(f"udp {self._udp.recvfrom(2048)[1][1]}")
                if self._tcp in ready:
                    visitor, address = self._tcp.accept()
                    visitor.close()
                    self.visits.append(f"tcp {address[1]}")
                elif self._stopped in ready:
                    return


@contextmanager
def a_honeypot() -> Iterator[Honeypot]:
    """Open a honeypot for a block."""
    honeypot = Honeypot()
    try:
        yield honeypot
    finally:
        honeypot.close()


def _on_one_port() -> tuple[socket.socket, socket.socket]:
    tcp = socket.create_server(("127.0.0.1", 0))
    udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    udp.bind(tcp.getsockname())
    return tcp, udp
