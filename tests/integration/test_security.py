"""Every kind of link to a real Apache Kafka, and what is told when one of its settings is wrong."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support import kafka
from support.secured import PASSWORD, USER, Secured, secured, token

from worker.commands.checks import broker as checks
from worker.errors import Stopped, UsageError
from worker.kafka import admin, clients, probe
from worker.kafka.follower import following
from worker.kafka.publisher import publisher
from worker.records import Message
from worker.settings.tree import Kafka, Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.kafka
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def link(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    """A broker with a door of each kind."""
    reason = kafka.why_not()
    if reason is not None:
        if os.environ.get("FRAMEWATCH_TEST_REQUIRE_KAFKA"):
            pytest.fail(f"FRAMEWATCH_TEST_REQUIRE_KAFKA is set, but {reason}")
        pytest.skip(reason)
    with secured(tmp_path_factory.mktemp("secured")) as made:
        made.cluster.create_topics({"letters": 1})
        yield made


class Papers:
    """Settings of the link, each with files of this test alone."""

    def __init__(self, link: Secured, folder: Path) -> None:
        self.link = link
        self.folder = folder

    def file(self, name: str, text: str) -> str:
        """A file with a text."""
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def tls(self, door: str = "TLS", **more: Any) -> Kafka:
        """A link that is encrypted."""
        given = {"security_protocol": "SSL", "ca_file": str(self.link.papers.ca)} | more
        return Kafka(bootstrap_servers=self.link.door(door), **given)

    def mtls(self, **more: Any) -> Kafka:
        """A link on which we show a certificate too."""
        return self.tls("MTLS", cert_file=str(self.link.papers.signed("client", host="client")), **more)

    def scram(self, mechanism: str = "SCRAM-SHA-512", *, user: str = USER, password: str = PASSWORD) -> Kafka:
        """An encrypted link with a login."""
        return self.tls(
            "SCRAM",
            security_protocol="SASL_SSL",
            sasl_mechanism=mechanism,
            username=user,
            password_file=self.file("password", password),
        )

    def plain(self, password: str = PASSWORD) -> Kafka:
        """A login without encryption."""
        return Kafka(
            bootstrap_servers=self.link.door("OPEN"),
            security_protocol="SASL_PLAINTEXT",
            sasl_mechanism="PLAIN",
            username=USER,
            password_file=self.file("password", password),
        )

    def bearer(self, text: str) -> Kafka:
        """A login by token."""
        return replace(
            self.plain(), sasl_mechanism="OAUTHBEARER", username="", password_file="", token_file=self.file("t", text)
        )


@pytest.fixture
def papers(link: Secured, tmp_path: Path) -> Papers:
    """Settings of the link for one test."""
    return Papers(link, tmp_path)


GOOD: dict[str, Callable[[Papers], Kafka]] = {
    "tls": lambda p: p.tls(),
    "mtls": lambda p: p.mtls(),
    "scram-512": lambda p: p.scram(),
    "scram-256": lambda p: p.scram("SCRAM-SHA-256"),
    "plain": lambda p: p.plain(),
    "bearer": lambda p: p.bearer(token(USER)),
}


@pytest.mark.parametrize("kind", GOOD)
async def test_every_client_works_over_every_kind_of_link(papers: Papers, kind: str) -> None:
    """Admin, producer, transactional producer, reader: what one wrote the other reads."""
    made = GOOD[kind](papers)
    async with publisher(made, "letters") as to:
        await to.send(Message(topic="letters", partition=0, key=b"k", value=kind.encode()))
    async with following(made, "letters", since="earliest") as records, asyncio.timeout(20):
        async for record in records:
            if record.value == kind.encode():
                break
    await probe.transactions(made, f"probe-{kind}", timeout_s=20)


@pytest.mark.parametrize("kind", GOOD)
async def test_check_says_what_the_link_is(papers: Papers, kind: str) -> None:
    """Protocol, version of TLS, mechanism, and until when the broker's certificate holds."""
    made = GOOD[kind](papers)
    [found] = await checks.linked(Settings(kafka=made))
    assert found.level == "pass"
    assert made.security_protocol in found.detail
    encrypted = made.security_protocol.endswith("SSL")
    assert ("TLSv1.3" in found.detail, "holds until" in found.detail) == (encrypted, encrypted)
    assert ("logged in by" in found.detail) == made.security_protocol.startswith("SASL")


BAD: dict[str, tuple[Callable[[Papers], Kafka], str]] = {
    "wrong CA": (
        lambda p: p.tls(ca_file=str(p.link.papers.other_ca)),
        "certificate is not signed by kafka.ca_file",
    ),
    "the system's CAs": (lambda p: p.tls(ca_file=""), "the system's authorities: set kafka.ca_file"),
    "expired": (lambda p: p.tls("EXPIRED"), "its certificate has expired"),
    "other host": (lambda p: p.tls("ELSEWHERE"), "its certificate is not for 127.0.0.1"),
    "no certificate of ours": (lambda p: p.tls("MTLS"), "set kafka.cert_file"),
    "expired certificate of ours": (
        lambda p: p.tls("MTLS", cert_file=str(p.link.papers.signed("old", host="c", expired=True))),
        "it refused our certificate",
    ),
    "certificate of a stranger": (
        lambda p: p.tls("MTLS", cert_file=str(p.link.papers.signed("strange", host="c", by_stranger=True))),
        "it refused our certificate",
    ),
    "wrong password": (lambda p: p.scram(password="hunter2"), "it refused kafka.username alice"),
    "unknown user": (lambda p: p.scram(user="mallory"), "it refused kafka.username mallory"),
    "wrong password, PLAIN": (lambda p: p.plain(password="hunter2"), "it refused kafka.username alice"),
    "mechanism": (lambda p: p.scram("PLAIN"), "it does not offer kafka.sasl_mechanism PLAIN"),
    "expired token": (lambda p: p.bearer(token(USER, for_s=-30)), "it refused the token"),
    "no token": (lambda p: p.bearer(""), "kafka.token_file"),
    "plain to TLS": (lambda p: Kafka(bootstrap_servers=p.link.door("TLS")), "the port speaks TLS"),
    "plain to a login": (lambda p: Kafka(bootstrap_servers=p.link.door("OPEN")), "it may want a login"),
    "TLS to a login": (lambda p: p.tls("SCRAM"), "it may want a login"),
    "TLS to plain": (
        lambda p: replace(p.tls(), bootstrap_servers=p.link.cluster.bootstrap_servers),
        "the port does not speak TLS",
    ),
    "login to plain": (
        lambda p: replace(p.plain(), bootstrap_servers=p.link.cluster.bootstrap_servers),
        "it takes no login",
    ),
    "login without TLS to TLS": (
        lambda p: replace(p.plain(), bootstrap_servers=p.link.door("SCRAM")),
        "the port speaks TLS",
    ),
}


@pytest.mark.parametrize("kind", BAD)
async def test_a_wrong_link_is_one_line_that_names_the_setting(
    papers: Papers, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    """From the admin client, with which all commands begin, and from the probe; no secret is in it, nor in any log."""
    caplog.set_level(logging.INFO)
    make, words = BAD[kind]
    made = make(papers)
    lines = []
    for attempt in (admin.cluster(made), probe.link(made)):
        with pytest.raises(Stopped) as told:
            await attempt
        lines.append(str(told.value))
    assert [words in line for line in lines] == [True] * 2, lines
    assert not any("\n" in line for line in lines)
    assert "hunter2" not in " ".join(lines) + caplog.text
    assert "eyJ" not in " ".join(lines) + caplog.text


@pytest.mark.parametrize("kind", ["wrong CA", "wrong password"])
async def test_a_client_whose_link_goes_wrong_later_says_it_too(papers: Papers, kind: str) -> None:
    """The files may be changed between two clients of one command."""
    make, words = BAD[kind]
    made = make(papers)
    for client in (clients.writer(made), clients.reader(made)):
        with pytest.raises(Stopped, match=words):
            await clients.start(client, made)


@pytest.mark.parametrize("command", [["run"], ["check"], ["watch"], ["topics", "create"], ["state", "move"]])
def test_every_command_ends_in_that_line(papers: Papers, command: list[str]) -> None:
    """Status 1 and no traceback."""
    made = papers.scram(password="hunter2")
    names = ("bootstrap_servers", "security_protocol", "ca_file", "username", "password_file")
    given = {f"FRAMEWATCH_KAFKA_{name.upper()}": getattr(made, name) for name in names}
    given |= {"FRAMEWATCH_SCORING_MODEL": str(ROOT / "models" / "demo"), "FRAMEWATCH_JAIL_PROCESSES": "1"}
    ended = subprocess.run(
        [sys.executable, "-m", "worker", *command],
        cwd=ROOT,
        env=os.environ | given,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    said = ended.stdout + ended.stderr
    assert ended.returncode == 1, said
    assert "it refused kafka.username alice with the password in kafka.password_file" in said
    assert "Traceback" not in said
    assert "hunter2" not in said


async def test_a_rotated_password_is_used_by_a_running_client(papers: Papers, link: Secured) -> None:
    """The broker knows only the new one, and has hung up: the same producer goes on with it."""
    link.change_password("rotating", "first")
    made = papers.scram(user="rotating", password="first")
    producer = clients.writer(made)
    await clients.start(producer, made)
    try:
        await producer.send_and_wait("letters", b"1")
        link.change_password("rotating", "second")
        papers.file("password", "second\n")
        await _hang_up(producer)
        async with asyncio.timeout(20):
            await producer.send_and_wait("letters", b"2")
    finally:
        await clients.stop(producer)


async def test_a_rotated_certificate_is_shown_by_a_running_client(papers: Papers, link: Secured) -> None:
    """A producer that began with one the broker takes can't reconnect with a stranger's, and can with a good one."""
    ours = papers.folder / "ours.pem"
    ours.write_bytes(link.papers.signed("first", host="c").read_bytes())
    made = replace(papers.mtls(), cert_file=str(ours))
    producer = clients.writer(made)
    await clients.start(producer, made)
    try:
        await producer.send_and_wait("letters", b"1")
        ours.write_bytes(link.papers.signed("strange", host="c", by_stranger=True).read_bytes())
        await _hang_up(producer)
        sending = await producer.send("letters", b"2")
        await asyncio.wait({sending}, timeout=1.0)
        assert not sending.done()
        ours.write_bytes(link.papers.signed("second", host="c").read_bytes())
        async with asyncio.timeout(20):
            await sending
    finally:
        await clients.stop(producer)


async def test_a_token_is_asked_for_each_connection(papers: Papers) -> None:
    """Whoever keeps the file fresh keeps the link."""
    made = papers.bearer(token(USER, for_s=-30))
    with pytest.raises(Stopped):
        await admin.cluster(made)
    papers.file("t", token(USER))
    assert (await admin.cluster(made)).brokers == 1


async def test_a_missing_file_is_told_before_anything_is_connected(papers: Papers) -> None:
    """A mistake in use, as every other one in the settings."""
    with pytest.raises(UsageError, match=r"kafka\.ca_file /nix: can't be read"):
        await admin.cluster(papers.tls(ca_file="/nix"))


async def _hang_up(producer: Any) -> None:
    """What a broker does at the end of a session: the connection is gone, the client goes on."""
    for connection in list(producer.client._conns.values()):
        await connection.close()
