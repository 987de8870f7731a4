"""Where OAUTHBEARER's tokens come from: a file, AWS IAM, or a package of the operator's.

A package brings a provider as an entry point of the group ``framewatch.token_providers``: a callable that takes the
settings of section kafka and returns a ``TokenProvider``.
"""

from __future__ import annotations

import os
import re
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from worker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from worker.settings.tree import Kafka

GROUP = "framewatch.token_providers"
REGION_OF_HOST = re.compile(r"\.kafka(?:-serverless)?\.([a-z0-9-]+)\.amazonaws\.com")
PRINTABLE = re.compile(r"[\x21-\x7e]+")


class NoToken(OSError):
    """There is no token now; the text is for a person and holds none."""


class TokenProvider(Protocol):
    """Gives tokens; one object for each client."""

    def token(self) -> str:
        """Return a token that is good now.

        Called for each new connection, in a thread: it may wait. Whatever it raises is told by its class only, unless
        it is a ``NoToken``.
        """


class FileTokens:
    """Reads the token anew for each connection from a file that somebody else keeps fresh."""

    def __init__(self, kafka: Kafka) -> None:
        """``kafka.token_file`` names the file."""
        self._path = kafka.token_file

    def token(self) -> str:
        """Return what stands in the file. Raises NoToken."""
        try:
            token = Path(self._path).read_text(encoding="utf-8").strip()
        except OSError as error:
            raise NoToken(f"kafka.token_file {self._path}: can't be read: {error.strerror}") from error
        except ValueError as error:
            raise NoToken(f"kafka.token_file {self._path}: holds no text") from error
        if not token:
            raise NoToken(f"kafka.token_file {self._path}: is empty")
        return token


class MskTokens:
    """Amazon MSK's IAM: tokens signed with the credentials that AWS's own chain finds.

    Interface: https://github.com/aws/aws-msk-iam-sasl-signer-python (``generate_auth_token(region)`` gives the token
    and when it expires, in milliseconds since 1970).
    """

    def __init__(
        self,
        kafka: Kafka,
        *,
        environ: Mapping[str, str] = os.environ,
        sign: Callable[[str], tuple[str, int]] | None = None,
    ) -> None:
        """The region is ``AWS_REGION``, ``AWS_DEFAULT_REGION`` or the brokers' own. Raises UsageError."""
        named = REGION_OF_HOST.search(kafka.bootstrap_servers)
        region = environ.get("AWS_REGION") or environ.get("AWS_DEFAULT_REGION") or (named[1] if named else None)
        if region is None:
            raise UsageError("kafka.token_provider msk: set AWS_REGION, for the brokers' names tell no region")
        self._region = region
        self._sign = sign or _signer()

    def token(self) -> str:
        """Return a token signed now."""
        token, _expires_ms = self._sign(self._region)
        return token


def _signer() -> Callable[[str], tuple[str, int]]:
    try:
        from aws_msk_iam_sasl_signer import MSKAuthTokenProvider  # noqa: PLC0415 - an extra: only who uses it has it
    except ImportError as error:
        raise UsageError("kafka.token_provider msk needs the extra: pip install 'framewatch[msk]'") from error
    return MSKAuthTokenProvider.generate_auth_token  # type: ignore[no-any-return] # it has no types


OURS: Mapping[str, Callable[[Kafka], TokenProvider]] = {"file": FileTokens, "msk": MskTokens}


def provider(kafka: Kafka) -> TokenProvider:
    """Return the provider that the settings name. Raises UsageError."""
    name = kafka.token_provider
    if name in OURS:
        return OURS[name](kafka)
    brought = {point.name: point for point in entry_points(group=GROUP)}
    if name not in brought:
        known = ", ".join(sorted({*OURS, *brought}))
        raise UsageError(f"kafka.token_provider: nobody has brought {name}; there are {known}")
    try:
        made: TokenProvider = brought[name].load()(kafka)
    except UsageError:
        raise
    except Exception as error:
        raise UsageError(f"kafka.token_provider {name} can't be loaded: {type(error).__name__}") from error
    return made


def checked(name: str, given: TokenProvider) -> str:
    """Return a provider's next token. Raises NoToken: it gave none, or one that is no token."""
    try:
        token = given.token()
    except NoToken:
        raise
    except Exception as error:  # a stranger's code: whatever it raises, its text may hold the token
        raise NoToken(f"kafka.token_provider {name} failed: {type(error).__name__}") from error
    # A control character would end the message's field: what follows would be ours to say, and the provider's to write.
    if not isinstance(token, str) or not PRINTABLE.fullmatch(token):
        raise NoToken(f"kafka.token_provider {name} gave something that is no token")
    return token
