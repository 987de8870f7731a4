"""Whether a broker's transactions work, found out without touching anything that a worker has."""

from __future__ import annotations

import asyncio
import ssl
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from aiokafka.conn import collect_hosts
from aiokafka.errors import KafkaError
from msgspec import Struct

from worker.errors import Stopped
from worker.kafka import clients, diagnosis
from worker.settings.link import logs_in

if TYPE_CHECKING:
    from worker.settings.tree import Kafka


class Link(Struct, frozen=True, kw_only=True):
    """How a connection to a broker came about."""

    address: str
    tls: str | None
    """Version of TLS; None without it."""
    certificate_ends: datetime | None
    """When the broker's certificate expires; None without TLS."""
    login: str | None
    """By which SASL mechanism; None without a login."""


async def link(kafka: Kafka) -> Link:
    """Connect to a broker and look at what the link is.

    Raises:
        UsageError: A file of the link is missing or not what it must be.
        Stopped: No broker could be connected; in one line why.
    """
    if (told := await diagnosis.wrong(kafka)) is not None:
        raise Stopped(told)
    error: BaseException | None = None
    for host, port, _ in collect_hosts(kafka.bootstrap_servers, randomize=False):
        try:
            async with diagnosis.connected(kafka, host, port) as connection:
                tls = connection._writer.get_extra_info("ssl_object")  # noqa: SLF001 - nothing else knows it
                return _link(kafka, f"{host}:{port}", tls)
        except diagnosis.FAILURES as failure:
            error = failure
    raise Stopped(f"no Kafka broker at {kafka.bootstrap_servers}: {type(error).__name__}") from error


def _link(kafka: Kafka, address: str, tls: ssl.SSLObject | None) -> Link:
    certificate = tls.getpeercert() if tls is not None else None
    ends = str(certificate["notAfter"]) if certificate else None
    return Link(
        address=address,
        tls=tls.version() if tls is not None else None,
        certificate_ends=datetime.fromtimestamp(ssl.cert_time_to_seconds(ends), UTC) if ends else None,
        login=kafka.sasl_mechanism if logs_in(kafka) else None,
    )


async def transactions(kafka: Kafka, transactional_id: str, *, timeout_s: float) -> None:
    """Start a transactional producer, begin a transaction, and abort it with nothing in it.

    ``transactional_id`` must be nobody else's: starting its producer fences whoever has the same.

    Raises:
        Stopped: The broker refused, or had not answered in time.
    """
    producer = clients.writer(kafka, transactional_id=transactional_id)
    try:
        async with asyncio.timeout(timeout_s):
            await producer.start()
            await producer.begin_transaction()
            await producer.abort_transaction()
    except TimeoutError as error:
        raise Stopped(f"the broker's transaction coordinator has not answered within {timeout_s:g} s") from error
    except (KafkaError, OSError) as error:
        raise Stopped(f"the broker refused: {type(error).__name__}") from error
    finally:
        await clients.stop(producer)
