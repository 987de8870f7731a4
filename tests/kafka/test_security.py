"""What clients are given: TLS contexts, passwords, tokens, all from files that may be rotated."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from aiokafka.client import AIOKafkaClient
from support.secured import Papers

from worker.errors import UsageError
from worker.kafka import security
from worker.settings.link import mistakes
from worker.settings.tree import Kafka

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def papers(tmp_path: Path) -> Papers:
    """Authorities of their own."""
    return Papers(tmp_path / "papers")


def greeting(context: ssl.SSLContext) -> ssl.SSLObject:
    """A connection begun in memory; what it trusts and shows is its context's."""
    return context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname="127.0.0.1")


def subjects(context: ssl.SSLContext) -> list[object]:
    """Whom a new connection trusts."""
    return [each["serialNumber"] for each in greeting(context).context.get_ca_certs()]


def test_a_plain_link_is_given_nothing_else() -> None:
    """The default is as it always was."""
    assert security.arguments(Kafka()) == {"security_protocol": "PLAINTEXT"}


def test_a_tls_link_checks_certificate_and_name(papers: Papers) -> None:
    """There is no setting that turns either off."""
    made = security.arguments(Kafka(security_protocol="SSL", ca_file=str(papers.ca)))["ssl_context"]
    inner = greeting(made).context
    assert (inner.verify_mode, inner.check_hostname) == (ssl.CERT_REQUIRED, True)


def test_a_rotated_authority_is_trusted_by_the_next_connection_and_the_former_no_more(papers: Papers) -> None:
    """The context is made afresh: an authority that was taken out of the file is out."""
    context = security.RereadContext(Kafka(security_protocol="SSL", ca_file=str(papers.ca)))
    before = subjects(context)
    papers.ca.write_bytes(papers.other_ca.read_bytes())
    after = subjects(context)
    assert len(before) == len(after) == 1
    assert before != after


def test_an_unchanged_file_is_not_read_again(papers: Papers) -> None:
    """A connection costs a look at the files, no more."""
    context = security.RereadContext(Kafka(security_protocol="SSL", ca_file=str(papers.ca)))
    assert greeting(context).context is greeting(context).context


def test_a_half_written_rotation_leaves_the_former_files_in_use_until_it_is_whole(papers: Papers) -> None:
    """A certificate is often replaced a moment before its key."""
    (first, first_key), (second, second_key) = papers.apart("one"), papers.apart("two")
    context = security.RereadContext(
        Kafka(security_protocol="SSL", ca_file=str(papers.ca), cert_file=str(first), key_file=str(first_key))
    )
    before = greeting(context).context
    first.write_bytes(second.read_bytes())
    assert greeting(context).context is before
    first_key.write_bytes(second_key.read_bytes())
    assert greeting(context).context is not before


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"ca_file": "/nix"}, "kafka.ca_file /nix: can't be read: No such file or directory"),
        ({"ca_file": "{password}"}, "holds no certificate in PEM"),
        ({"cert_file": "/nix"}, "kafka.cert_file /nix: can't be read"),
        ({"cert_file": "{cert}", "key_file": "/nix"}, "kafka.key_file /nix: can't be read"),
        ({"cert_file": "{cert}", "key_file": "{other_key}"}, "does not belong to the certificate"),
        ({"cert_file": "{cert}", "key_file": "{key}"}, "kafka.key_password_file"),
        ({"cert_file": "{cert}", "key_file": "{key}", "key_password_file": "{wrong}"}, "kafka.key_password_file"),
        ({"cert_file": "{cert}", "key_file": "{key}", "key_password_file": "/nix"}, "can't be read"),
    ],
)
def test_a_file_that_does_not_do_is_one_line_without_its_content(
    papers: Papers, tmp_path: Path, change: dict[str, str], words: str
) -> None:
    """The setting and the path are named, the secret is not."""
    cert, key = papers.apart("ours", "opensesame")
    wrong, password = tmp_path / "wrong", tmp_path / "password"
    wrong.write_text("hunter2")
    password.write_text("opensesame\n")
    places = {
        "cert": cert,
        "key": key,
        "other_key": papers.apart("theirs")[1],
        "wrong": wrong,
        "password": password,
    }
    given = {"ca_file": str(papers.ca)} | {name: text.format(**places) for name, text in change.items()}
    with pytest.raises(UsageError) as told:
        security.arguments(Kafka(security_protocol="SSL", **given))
    line = str(told.value)
    assert words in line
    assert "\n" not in line
    assert not any(secret in line for secret in ("hunter2", "opensesame", "BEGIN"))


def test_an_encrypted_key_is_opened_with_its_password(papers: Papers, tmp_path: Path) -> None:
    """The line's end in the password's file does not count."""
    cert, key = papers.apart("ours", "opensesame")
    password = tmp_path / "password"
    password.write_text("opensesame\n")
    security.arguments(
        Kafka(
            security_protocol="SSL",
            ca_file=str(papers.ca),
            cert_file=str(cert),
            key_file=str(key),
            key_password_file=str(password),
        )
    )


@pytest.mark.parametrize("content", [b"", b"\n", b"two\nlines\n", b"\xff", b"with\0zero"])
def test_a_secret_is_one_line_of_text(tmp_path: Path, content: bytes) -> None:
    """Whatever else is refused without being told."""
    file = tmp_path / "password"
    file.write_bytes(content)
    with pytest.raises(UsageError, match=r"^kafka\.password_file .*password: (must hold one line|is no text)") as told:
        security.secret("kafka.password_file", str(file))
    assert "two" not in str(told.value)


async def test_a_clients_password_is_read_for_each_connection_and_the_last_good_one_stays(tmp_path: Path) -> None:
    """By itself aiokafka keeps what it was given when it was made."""
    file = tmp_path / "password"
    file.write_text("first")
    kafka = Kafka(security_protocol="SASL_PLAINTEXT", sasl_mechanism="PLAIN", username="alice", password_file=str(file))
    client = AIOKafkaClient(**security.arguments(kafka))
    security.rereading(client, kafka)
    assert client._sasl_plain_password == "first"
    file.write_text("second\n")
    assert client._sasl_plain_password == "second"
    file.unlink()
    assert client._sasl_plain_password == "second"


@pytest.mark.parametrize(
    ("kafka", "words"),
    [
        (Kafka(ca_file="ca.pem"), "kafka.ca_file is set, but kafka.security_protocol is PLAINTEXT"),
        (Kafka(username="a"), "kafka.username is set, but kafka.security_protocol is PLAINTEXT"),
        (Kafka(security_protocol="SSL", key_file="k"), "need kafka.cert_file"),
        (Kafka(security_protocol="SASL_SSL", username="a"), "kafka.password_file must be set for SCRAM-SHA-512"),
        (Kafka(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER"), "kafka.token_file must be set"),
        (
            Kafka(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", token_file="t", username="a"),
            "not used with OAUTHBEARER",
        ),
        (
            Kafka(security_protocol="SASL_SSL", username="a", password_file="p", token_file="t"),
            "kafka.token_file is set, but kafka.sasl_mechanism is SCRAM-SHA-512",
        ),
    ],
)
def test_settings_that_contradict_each_other_are_told(kafka: Kafka, words: str) -> None:
    """Also what would silently not be used: it was set because somebody believes in it."""
    [line] = mistakes(kafka)
    assert words in line


@pytest.mark.parametrize(
    "kafka",
    [
        Kafka(),
        Kafka(security_protocol="SSL"),
        Kafka(security_protocol="SSL", cert_file="c", key_file="k", key_password_file="p"),
        Kafka(security_protocol="SASL_SSL", username="a", password_file="p", ca_file="c"),
        Kafka(security_protocol="SASL_SSL", sasl_mechanism="OAUTHBEARER", token_provider="msk"),
    ],
)
def test_settings_that_agree_are_no_mistake(kafka: Kafka) -> None:
    """Each kind of link can be set."""
    assert list(mistakes(kafka)) == []
