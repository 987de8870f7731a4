"""What every client is given to prove who it is and to know whom it speaks to: TLS, SASL, secrets from files.

Files are read when a client is made, and again for each new connection once they have changed: a rotated certificate,
authority, password or token needs no restart. Connections that stand are left alone.
"""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import structlog
from aiokafka.abc import AbstractTokenProvider
from aiokafka.client import AIOKafkaClient

from worker.errors import UsageError
from worker.kafka import tokens
from worker.settings.link import encrypts, logs_in

if TYPE_CHECKING:
    from worker.kafka.tokens import TokenProvider
    from worker.settings.tree import Kafka

log = structlog.get_logger()
_BAD_KEY = {
    "KEY_VALUES_MISMATCH": "the key does not belong to the certificate",
    "BAD_DECRYPT": "kafka.key_password_file does not open the key",
    "BAD_PASSWORD_READ": "the key is encrypted: set kafka.key_password_file",
}


def arguments(kafka: Kafka) -> dict[str, Any]:
    """Return what aiokafka's clients take for security. Raises UsageError: a file is missing or not what it must be."""
    given: dict[str, Any] = {"security_protocol": kafka.security_protocol}
    if encrypts(kafka):
        given["ssl_context"] = RereadContext(kafka)
    if not logs_in(kafka):
        return given
    given["sasl_mechanism"] = kafka.sasl_mechanism
    if kafka.sasl_mechanism == "OAUTHBEARER":
        given["sasl_oauth_token_provider"] = _Tokens(kafka.token_provider, tokens.provider(kafka))
    else:
        given["sasl_plain_username"] = kafka.username
        given["sasl_plain_password"] = secret("kafka.password_file", kafka.password_file)
    return given


def rereading(client: AIOKafkaClient, kafka: Kafka) -> None:
    """Let a client's inner client read the password for each new connection; aiokafka takes it once, as text."""
    if logs_in(kafka) and kafka.sasl_mechanism != "OAUTHBEARER":
        client.framewatch_password = _Password(kafka.password_file, client._sasl_plain_password)  # noqa: SLF001 - see above
        client.__class__ = _RereadingClient


def secret(setting: str, path: str) -> str:
    """Return what a file holds, without the line's end. Raises UsageError, which tells nothing of it."""
    text = _text(setting, path).removesuffix("\n").removesuffix("\r")
    if not text or "\n" in text or "\0" in text:
        raise UsageError(f"{setting} {path}: must hold one line, the secret")
    return text


def _text(setting: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise UsageError(f"{setting} {path}: can't be read: {error.strerror}") from error
    except ValueError as error:
        raise UsageError(f"{setting} {path}: is no text") from error


# --- TLS ---


class RereadContext(ssl.SSLContext):
    """A client's TLS context; for a new connection it is made afresh if one of its files has changed.

    While a change can't be read (a key is written a moment after its certificate) the former files go on being used.
    """

    def __new__(cls, _kafka: Kafka) -> Self:
        """Make the shell; what connects is made from the files."""
        return super().__new__(cls, ssl.PROTOCOL_TLS_CLIENT)

    def __init__(self, kafka: Kafka) -> None:
        """Read the files. Raises UsageError."""
        self._kafka = kafka
        self._stamps = _stamps(kafka)
        self._made = _context(kafka)

    def wrap_bio(self, *arguments: Any, **named: Any) -> ssl.SSLObject:
        """Begin a connection; asyncio calls this for each."""
        self._refresh()
        return self._made.wrap_bio(*arguments, **named)

    def _refresh(self) -> None:
        stamps = _stamps(self._kafka)
        if stamps == self._stamps:
            return
        try:
            self._made = _context(self._kafka)
        except UsageError as error:
            log.warning("the new files are not used yet", reason=str(error))
        else:
            self._stamps = stamps
            log.info("the files of the link were read again")


def _stamps(kafka: Kafka) -> tuple[object, ...]:
    return tuple(map(_stamp, (kafka.ca_file, kafka.cert_file, kafka.key_file, kafka.key_password_file)))


def _stamp(path: str) -> object:
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size, found.st_ino


def _context(kafka: Kafka) -> ssl.SSLContext:
    if kafka.ca_file:
        _text("kafka.ca_file", kafka.ca_file)
    try:
        context = ssl.create_default_context(cafile=kafka.ca_file or None)
    except ssl.SSLError as error:
        raise UsageError(f"kafka.ca_file {kafka.ca_file}: holds no certificate in PEM") from error
    if kafka.cert_file:
        _load_chain(context, kafka)
    return context


def _load_chain(context: ssl.SSLContext, kafka: Kafka) -> None:
    _text("kafka.cert_file", kafka.cert_file)
    if kafka.key_file:
        _text("kafka.key_file", kafka.key_file)
    given = secret("kafka.key_password_file", kafka.key_password_file) if kafka.key_password_file else ""
    try:
        # A password is always given, be it empty: without one OpenSSL would ask the terminal for it.
        context.load_cert_chain(kafka.cert_file, kafka.key_file or None, lambda: given)
    except (ssl.SSLError, ValueError) as error:
        why = _BAD_KEY.get(str(getattr(error, "reason", None)))
        if why is None:
            why = "no certificate and key in PEM, or a wrong or missing kafka.key_password_file"
        raise UsageError(f"kafka.cert_file {kafka.cert_file}, key {kafka.key_file or 'in it'}: {why}") from error


# --- SASL ---


class _Password:
    """A password as its file has it now; the last good one while it can't be read."""

    def __init__(self, path: str, first: str) -> None:
        self._path = path
        self._last = first

    def now(self) -> str:
        try:
            self._last = secret("kafka.password_file", self._path)
        except UsageError as error:
            log.warning("the former password is used", reason=str(error))
        return self._last


class _RereadingClient(AIOKafkaClient):  # type: ignore[misc] # aiokafka has no types
    """What ``rereading`` makes of a client."""

    framewatch_password: _Password

    @property
    def _sasl_plain_password(self) -> str:
        return self.framewatch_password.now()


class _Tokens(AbstractTokenProvider):  # type: ignore[misc] # aiokafka has no types
    """A provider as aiokafka calls it."""

    def __init__(self, name: str, given: TokenProvider) -> None:
        self._name = name
        self._given = given

    async def token(self) -> str:
        return await asyncio.to_thread(tokens.checked, self._name, self._given)
