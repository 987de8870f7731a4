"""Which settings of the link to the broker belong together. Pure; no file is read here."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.settings.tree import Kafka

OF_TLS = ("ca_file", "cert_file", "key_file", "key_password_file")
OF_SASL = ("username", "password_file", "token_file")


def encrypts(kafka: Kafka) -> bool:
    """Tell whether the link is TLS."""
    return kafka.security_protocol in ("SSL", "SASL_SSL")


def logs_in(kafka: Kafka) -> bool:
    """Tell whether the link begins with a SASL login."""
    return kafka.security_protocol in ("SASL_PLAINTEXT", "SASL_SSL")


def mistakes(kafka: Kafka) -> Iterator[str]:
    """Yield what contradicts itself or is missing, a line each.

    What is set and would not be used is a mistake too: who sets a CA believes that the link is encrypted.
    """
    protocol = f"kafka.security_protocol is {kafka.security_protocol}"
    if not encrypts(kafka):
        yield from (f"kafka.{key} is set, but {protocol}: set SSL or SASL_SSL" for key in OF_TLS if getattr(kafka, key))
    if not logs_in(kafka):
        yield from (
            f"kafka.{key} is set, but {protocol}: set SASL_SSL or SASL_PLAINTEXT"
            for key in OF_SASL
            if getattr(kafka, key)
        )
    elif kafka.sasl_mechanism == "OAUTHBEARER":
        yield from _of_tokens(kafka)
    else:
        yield from _of_passwords(kafka)
    if (kafka.key_file or kafka.key_password_file) and not kafka.cert_file:
        yield "kafka.key_file and kafka.key_password_file need kafka.cert_file"


def _of_tokens(kafka: Kafka) -> Iterator[str]:
    if kafka.username or kafka.password_file:
        yield "kafka.username and kafka.password_file are not used with OAUTHBEARER: set kafka.token_provider"
    if kafka.token_provider == "file" and not kafka.token_file:  # noqa: S105 - a provider's name, no secret
        yield "kafka.token_provider is file: kafka.token_file must be set"


def _of_passwords(kafka: Kafka) -> Iterator[str]:
    if kafka.token_file:
        yield f"kafka.token_file is set, but kafka.sasl_mechanism is {kafka.sasl_mechanism}: set OAUTHBEARER"
    missing = [key for key in ("username", "password_file") if not getattr(kafka, key)]
    yield from (f"kafka.{key} must be set for {kafka.sasl_mechanism}" for key in missing)
