"""Why there is no link: aiokafka tells of a failed start only that it failed, so it is tried again, step by step."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from aiokafka.cluster import ClusterMetadata
from aiokafka.conn import collect_hosts, create_conn
from aiokafka.errors import (
    IllegalSaslStateError,
    KafkaConnectionError,
    KafkaError,
    NodeNotReadyError,
    RequestTimedOutError,
    SaslAuthenticationFailed,
    UnsupportedSaslMechanismError,
)
from aiokafka.protocol.metadata import MetadataRequest

from worker.kafka import security
from worker.kafka.tokens import NoToken
from worker.settings.link import encrypts, logs_in

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from aiokafka.conn import AIOKafkaConnection

    from worker.settings.tree import Kafka

STEP_S = 5.0
MOST_BROKERS = 5
FAILURES = (KafkaError, OSError, TimeoutError, ValueError, AssertionError)
"""What a client's start can raise; the last two are aiokafka's answers to a server that proves itself wrongly."""
X509_EXPIRED, X509_NOT_YET, X509_HOSTNAME, X509_ADDRESS = 10, 9, 62, 64
"""OpenSSL's numbers, X509_V_ERR_* in x509_vfy.h."""


async def failed(kafka: Kafka, error: BaseException, otherwise: str) -> str:
    """Return in one line why a client failed: what the link's settings have to do with it, else ``otherwise``."""
    links = (KafkaConnectionError, NodeNotReadyError, RequestTimedOutError, OSError, TimeoutError, ValueError)
    if not isinstance(error, links) and type(error) is not KafkaError:
        return otherwise
    return await wrong(kafka) or otherwise


async def wrong(kafka: Kafka) -> str | None:
    """Return what is wrong with the link to the first broker that it is known of; None where nothing is found."""
    asked: set[tuple[str, int]] = set()
    waiting = [(host, port) for host, port, _ in collect_hosts(kafka.bootstrap_servers, randomize=False)]
    while waiting and len(asked) < MOST_BROKERS:
        at = waiting.pop(0)
        if at not in asked:
            asked.add(at)
            told, others = await _look(kafka, *at)
            if told is not None:
                return f"Kafka at {at[0]}:{at[1]}: {told}"
            waiting += others
    return None


async def _look(kafka: Kafka, host: str, port: int) -> tuple[str | None, list[tuple[str, int]]]:
    greeted = False
    try:
        async with connected(kafka, host, port) as connection:
            greeted = True
            metadata = await connection.send(MetadataRequest([]))
    except FAILURES as error:
        return await _meaning(kafka, host, port, error, greeted=greeted), []
    cluster = ClusterMetadata()
    cluster.update_metadata(metadata)
    if not cluster.brokers():  # what stands in an answer to a login that was not one
        return _of_silence(kafka), []
    return None, [(broker.host, broker.port) for broker in cluster.brokers()]


@asynccontextmanager
async def connected(kafka: Kafka, host: str, port: int) -> AsyncIterator[AIOKafkaConnection]:
    """A connection of its own with the link's settings, TLS and login done."""
    connection = await create_conn(
        host, port, client_id="framewatch-link", request_timeout_ms=round(STEP_S * 1000), **security.arguments(kafka)
    )
    try:
        yield connection
    finally:
        await connection.close()


async def _meaning(kafka: Kafka, host: str, port: int, error: BaseException, *, greeted: bool) -> str | None:
    for cause in _causes(error):
        if (told := _of_tls(kafka, host, cause) or _of_login(kafka, cause)) is not None:
            return told
    if isinstance(error, ConnectionRefusedError):
        return None
    return await _of_port(kafka, host, port, greeted=greeted)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _of_tls(kafka: Kafka, host: str, error: BaseException) -> str | None:
    if isinstance(error, ssl.SSLCertVerificationError):
        return _of_certificate(kafka, host, error)
    if isinstance(error, ssl.SSLError) and "ALERT" in (reason := error.reason or ""):
        if "CERTIFICATE_REQUIRED" in reason or not kafka.cert_file:
            return f"it refused us ({_named(reason)}): it may want a certificate of ours, set kafka.cert_file"
        return (
            f"it refused our certificate {kafka.cert_file} ({_named(reason)}): "
            "expired, or signed by nobody whom it trusts"
        )
    return None


def _named(reason: str) -> str:
    return reason.lower().replace("_", " ")


def _of_certificate(kafka: Kafka, host: str, error: ssl.SSLCertVerificationError) -> str:
    if error.verify_code == X509_EXPIRED:
        return "its certificate has expired"
    if error.verify_code == X509_NOT_YET:
        return "its certificate is not valid yet: is this machine's clock right?"
    if error.verify_code in (X509_HOSTNAME, X509_ADDRESS):
        return f"its certificate is not for {host}: use a name that it has, in kafka.bootstrap_servers and advertised"
    authorities = f"kafka.ca_file {kafka.ca_file}" if kafka.ca_file else "the system's authorities: set kafka.ca_file"
    return f"its certificate is not signed by {authorities}"


def _of_login(kafka: Kafka, error: BaseException) -> str | None:
    if isinstance(error, NoToken):
        return str(error)
    if isinstance(error, SaslAuthenticationFailed):
        return f"it refused {_presented(kafka)}"
    if isinstance(error, UnsupportedSaslMechanismError):
        return f"it does not offer kafka.sasl_mechanism {kafka.sasl_mechanism}"
    if isinstance(error, IllegalSaslStateError):
        return f"it takes no login, but kafka.security_protocol is {kafka.security_protocol}"
    if isinstance(error, ValueError | AssertionError) and logs_in(kafka):
        return "it could not prove during the login that it knows the password: not the broker that it says it is"
    return None


def _presented(kafka: Kafka) -> str:
    if kafka.sasl_mechanism == "OAUTHBEARER":
        return f"the token of kafka.token_provider {kafka.token_provider}"
    return f"kafka.username {kafka.username} with the password in kafka.password_file"


async def _of_port(kafka: Kafka, host: str, port: int, *, greeted: bool) -> str | None:
    protocol = f"kafka.security_protocol is {kafka.security_protocol}"
    if greeted:
        return _of_silence(kafka)
    speaks_tls = await _speaks_tls(host, port)
    if speaks_tls is None or speaks_tls == encrypts(kafka):
        return None
    return f"the port speaks TLS, but {protocol}" if speaks_tls else f"the port does not speak TLS, but {protocol}"


def _of_silence(kafka: Kafka) -> str | None:
    """Return why it may have closed the connection after what it had taken for a greeting."""
    if not logs_in(kafka):
        return f"it hangs up: it may want a login, but kafka.security_protocol is {kafka.security_protocol}"
    if kafka.sasl_mechanism == "OAUTHBEARER":  # a refusal comes as a challenge, which aiokafka takes for a yes
        return f"it refused {_presented(kafka)}"
    return None


async def _speaks_tls(host: str, port: int) -> bool | None:
    """Return whether the port answers a TLS handshake, whoever it is; None when it can't be reached."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # nothing is sent; it is only asked what it is
    try:
        async with asyncio.timeout(STEP_S):
            _, writer = await asyncio.open_connection(host, port, ssl=context)
    except ssl.SSLError as error:
        return "ALERT" in (error.reason or "")
    except ConnectionRefusedError:
        return None
    except (OSError, TimeoutError):
        return False
    await _close(writer)
    return True


async def _close(writer: Any) -> None:
    writer.close()
    try:
        async with asyncio.timeout(STEP_S):
            await writer.wait_closed()
    except (OSError, TimeoutError):
        return  # it had something else to say at the end (a certificate is required): the question is answered
