"""A real Apache Kafka for the tests: KRaft, broker and controller in one JVM, on loopback and free ports.

``tests/integration/pom.xml`` names the version; Maven copies its jars once into ``.cache/kafka/<version>``. Needs
``java`` 17 or later and ``mvn`` on PATH; ``why_not`` says what is missing.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient, NewTopic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

ROOT = Path(__file__).parents[2]
POM = ROOT / "tests" / "integration" / "pom.xml"
CLUSTER_ID = "ZnJhbWV3YXRjaC10ZXN0cw"
MAX_MESSAGE_BYTES = 9 * 1024 * 1024
OLDEST_JAVA = 17
SCRAM = ("SCRAM-SHA-256", "SCRAM-SHA-512")
STARTS_WITHIN_S = 60.0
STOPS_WITHIN_S = 10.0
# Every client's and broker's whole configuration would push what matters out of the log's tail.
QUIET = [
    f"-Dorg.slf4j.simpleLogger.log.{name}=warn" for name in ("kafka.server.KafkaConfig", "org.apache.kafka.common")
]


@dataclass(frozen=True, eq=False)
class Listener:
    """One more door of a broker, beside the plain one."""

    name: str
    """Letters only."""
    protocol: str
    """SSL, SASL_PLAINTEXT or SASL_SSL."""
    properties: Mapping[str, str] = field(default_factory=dict)
    """Its own, without the prefix ``listener.name.<name>.``."""
    advertised: Mapping[int, int] = field(default_factory=dict)
    """By node id: the port that clients are told instead, a proxy's."""


def why_not() -> str | None:
    """Why no real broker can run here, in one line; None where it can."""
    missing = [program for program in ("java", "mvn") if shutil.which(program) is None]
    if missing:
        return f"a real Apache Kafka needs java {OLDEST_JAVA} or later and mvn: {' and '.join(missing)} not on PATH"
    told = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(?:1\.)?(\d+)', told)
    if version is None or int(version[1]) < OLDEST_JAVA:
        return f"a real Apache Kafka needs java {OLDEST_JAVA} or later, not {told.partition(chr(10))[0]!r}"
    return None


def jars() -> Path:
    """The folder of Kafka's jars, fetched if need be.

    Raises:
        subprocess.CalledProcessError: Maven could not fetch them.
    """
    version = re.search(r"<kafka\.version>(.+?)</kafka\.version>", POM.read_text())
    assert version is not None
    folder = ROOT / ".cache" / "kafka" / version[1]
    if not folder.exists():
        # A folder of that name is whole: it gets its name last.
        partly = folder.with_name(f"{folder.name}.{os.getpid()}.part")
        command = ["mvn", "-q", "-B", "-f", str(POM), "dependency:copy-dependencies", f"-DoutputDirectory={partly}"]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        partly.rename(folder)
    return folder


def free_ports(count: int) -> list[int]:
    """Ports that were free just now, all different."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


class Broker:
    """One Kafka process, and what can happen to it.

    Args:
        folder: Where its data, configuration and log lie.
        node_id: Its number in the cluster, from 1.
        voters: Every node's controller port by its node id, this one's included.
        listeners: Doors beside the plain one.
        users: Names and SCRAM passwords that it knows from the start.
        properties: More of its own configuration.
    """

    def __init__(
        self,
        folder: Path,
        *,
        node_id: int,
        voters: Mapping[int, int],
        listeners: Sequence[Listener] = (),
        users: Mapping[str, str] | None = None,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        self._folder = folder
        self._log = folder / "broker.log"
        self._classpath = f"{jars()}/*"
        self._port, *others = free_ports(1 + len(listeners))
        doors = dict(zip(listeners, others, strict=True))
        self._doors = {door.name: port for door, port in doors.items()}
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True)
        self._properties = folder / "server.properties"
        more = "".join(f"{name}={value}\n" for name, value in (properties or {}).items())
        self._properties.write_text(_properties(folder, node_id, self._port, voters, doors) + more)
        scram = [(kind, name, word) for name, word in (users or {}).items() for kind in SCRAM]
        known = [f"--add-scram={kind}=[name={name},password={word}]" for kind, name, word in scram]
        self._run("kafka.tools.StorageTool", "format", "-t", CLUSTER_ID, "-c", str(self._properties), *known).wait()

    @property
    def address(self) -> str:
        """host:port of this broker; the same after a restart."""
        return f"127.0.0.1:{self._port}"

    def door(self, name: str) -> str:
        """host:port of one of its listeners."""
        return f"127.0.0.1:{self._doors[name]}"

    def start(self) -> None:
        """Starts the process; it answers a little later."""
        self._process = self._run("kafka.Kafka", str(self._properties))

    def ask_to_stop(self) -> None:
        """Tells it to end in good order, and does not wait."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> None:
        """Ends it in good order; as a power cut would, if it can't (a controller that has lost its quorum waits on)."""
        self.ask_to_stop()
        if self._process is not None:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(STOPS_WITHIN_S)
            self.kill()

    def kill(self) -> None:
        """Ends it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def freeze(self) -> None:
        """Stops its clock: it is there and says nothing."""
        self._running().send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Lets a frozen broker go on."""
        self._running().send_signal(signal.SIGCONT)

    def log_tail(self, lines: int = 60) -> str:
        """The end of what the process wrote."""
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-lines:]) if self._log.exists() else ""

    @property
    def pid(self) -> int:
        """Its process id. It was started."""
        return self._running().pid

    @property
    def on(self) -> bool:
        """Whether it was started and not ended by us."""
        return self._process is not None

    @property
    def died(self) -> bool:
        """Whether it has ended by itself."""
        return self._process is not None and self._process.poll() is not None

    def _running(self) -> subprocess.Popen[bytes]:
        assert self._process is not None, "this broker was not started"
        return self._process

    def _run(self, *main: str) -> subprocess.Popen[bytes]:
        # setpriv ends the JVM with the test run, also after a SIGKILL.
        leash = ["setpriv", "--pdeathsig", "KILL"] if shutil.which("setpriv") else []
        flags = ["-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *QUIET]
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [*leash, "java", *flags, "-cp", self._classpath, *main],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )


class Cluster:
    """One to three brokers under one address list.

    Args:
        folder: Where everything of it lies.
        size: How many brokers.
        more: ``listeners``, ``users`` and ``properties`` of each.
    """

    def __init__(self, folder: Path, size: int = 1, **more: Any) -> None:
        voters = dict(enumerate(free_ports(size), start=1))
        self.brokers = [Broker(folder / f"node-{node}", node_id=node, voters=voters, **more) for node in voters]

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def bootstrap_servers(self) -> str:
        """What clients are given: host:port, separated by commas."""
        return ",".join(broker.address for broker in self.brokers)

    def start(self) -> None:
        """Starts whatever does not run, and returns when all answer."""
        for broker in self.brokers:
            if not broker.on:
                broker.start()
        self.wait()

    def stop(self) -> None:
        """Ends all in good order; their data stays."""
        for broker in self.brokers:
            broker.ask_to_stop()
        for broker in self.brokers:
            broker.stop()

    def kill(self) -> None:
        """Ends all as a power cut would; their data stays."""
        for broker in self.brokers:
            broker.kill()

    def restart(self) -> None:
        """Ends all in good order and starts them again at the same addresses."""
        self.stop()
        self.start()

    async def away(self, seconds: float, *, silent: bool = False) -> None:
        """Ends all in good order for so long; or, if ``silent``, lets all be there and say nothing."""
        if silent:
            for broker in self.brokers:
                broker.freeze()
        else:
            self.stop()
        try:
            await asyncio.sleep(seconds)
        finally:
            if silent:
                for broker in self.brokers:
                    broker.thaw()
            else:
                self.start()  # in this thread: a process dies with the thread that started it

    def close(self) -> None:
        """Ends all at once; to be used no more."""
        self.kill()

    def wait(self) -> None:
        """Returns when every running broker knows of every other.

        Raises:
            RuntimeError: It took too long, or a process has ended; with the end of its log.
        """
        running = [broker for broker in self.brokers if broker.on]
        deadline = time.monotonic() + STARTS_WITHIN_S
        for broker in running:
            admin = _admin(broker.address)
            while not _knows(admin, len(running)):
                if broker.died or time.monotonic() > deadline:
                    raise RuntimeError(f"the broker does not start:\n{broker.log_tail()}")

    def create_topics(
        self,
        topics: Mapping[str, int],
        *,
        config: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        """Creates topics (name to partitions), replicated on every broker.

        Args:
            topics: Name to number of partitions.
            config: Name to that topic's own settings, such as ``{"risk": {"cleanup.policy": "compact"}}``.

        Raises:
            confluent_kafka.KafkaException: A topic is there already, or refused.
        """
        own = config or {}
        asked = [
            NewTopic(name, partitions, len(self.brokers), config=dict(own.get(name, {})))
            for name, partitions in topics.items()
        ]
        admin = _admin(self.bootstrap_servers)  # a client that nobody holds gives its answers up
        for created in admin.create_topics(asked, operation_timeout=30.0).values():
            created.result(30.0)

    def log_tail(self) -> str:
        """The end of every broker's log."""
        return "\n\n".join(f"{broker.address}\n{broker.log_tail()}" for broker in self.brokers)


@contextmanager
def running(folder: Path, size: int = 1, **more: Any) -> Iterator[Cluster]:
    """A cluster for as long as the context lasts."""
    with Cluster(folder, size, **more) as cluster:
        yield cluster


def _admin(bootstrap_servers: str) -> AdminClient:
    # Connections refused while it starts are no news.
    return AdminClient({"bootstrap.servers": bootstrap_servers, "log_level": 0, "reconnect.backoff.max.ms": 200})


def _knows(admin: AdminClient, brokers: int) -> bool:
    try:
        return len(admin.list_topics(timeout=1.0).brokers) == brokers
    except KafkaException:
        return False


def _properties(folder: Path, node_id: int, port: int, voters: Mapping[int, int], doors: Mapping[Listener, int]) -> str:
    replicas = len(voters)
    more = "".join(f",{door.name}://127.0.0.1:{at}" for door, at in doors.items())
    told = "".join(f",{door.name}://127.0.0.1:{door.advertised.get(node_id, at)}" for door, at in doors.items())
    settings = {
        "process.roles": "broker,controller",
        "node.id": node_id,
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{voters[node_id]}{more}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}{told}",
        "controller.listener.names": "CONTROLLER",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"
        + "".join(f",{door.name}:{door.protocol}" for door in doors),
        "controller.quorum.voters": ",".join(f"{node}@127.0.0.1:{at}" for node, at in voters.items()),
        "log.dirs": folder / "data",
        "auto.create.topics.enable": "false",
        "message.max.bytes": MAX_MESSAGE_BYTES,
        "replica.fetch.max.bytes": MAX_MESSAGE_BYTES,
        # Tests start and end members all the time: nobody waits for more of them, and coordinators move at once.
        "group.initial.rebalance.delay.ms": 0,
        "group.min.session.timeout.ms": 1000,
        "offsets.topic.num.partitions": 1,
        "offsets.topic.replication.factor": replicas,
        "transaction.state.log.num.partitions": 1,
        "transaction.state.log.replication.factor": replicas,
        "transaction.state.log.min.isr": max(1, replicas - 1),
        "share.coordinator.state.topic.replication.factor": replicas,
        "share.coordinator.state.topic.min.isr": 1,
        "num.recovery.threads.per.data.dir": 1,
        "log.cleaner.dedupe.buffer.size": 2 * 1024 * 1024,
    }
    for door in doors:
        settings |= {f"listener.name.{door.name.lower()}.{key}": value for key, value in door.properties.items()}
    return "".join(f"{name}={value}\n" for name, value in settings.items())
