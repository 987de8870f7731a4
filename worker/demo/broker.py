"""The embedded broker: librdkafka's mock cluster, in a process of its own.

``python -m worker.demo.broker --topics segments:6,risk:6`` prints its bootstrap address on one line and serves until
its standard input closes, so it never outlives whoever started it. It is a demonstration's broker, not one to keep
anything on: it listens on loopback, keeps about 5 MB a partition and drops what is older, holds one member a group (a
next one waits until the former's session has ended, 9 s or more), never compacts, and takes transactions without
keeping their offsets (use ``kafka.guarantee`` = ``at_least_once``). A record's timestamp is right for who consumes it,
wrong (1234) in the answer to who produced it.

The library is the one inside the ``confluent-kafka`` wheel. Its Python side can start the mock cluster
(``test.mock.num.brokers``) but not give topics their number of partitions, so the C functions are called:
https://github.com/confluentinc/librdkafka/blob/master/src/rdkafka_mock.h
"""

from __future__ import annotations

import argparse
import ctypes
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from worker.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

PRODUCER = 0
"""``RD_KAFKA_PRODUCER``: the mock cluster lives inside a client, which kind does not matter."""
REBALANCE_DELAY_MS = 100
"""How long a new group waits for more members; librdkafka's own 3 s would be waited for at each start."""


class MockCluster:
    """A running mock cluster.

    Args:
        topics: Name to number of partitions.

    Raises:
        UsageError: The wheel is missing, or the library refuses a topic.
    """

    def __init__(self, topics: Mapping[str, int]) -> None:
        self._library = _load()
        error = ctypes.create_string_buffer(512)
        self._client = self._library.rd_kafka_new(PRODUCER, self._quiet(), error, len(error))
        if not self._client:
            raise UsageError(f"the embedded broker does not start: {error.value.decode(errors='replace')}")
        self._cluster = self._library.rd_kafka_mock_cluster_new(self._client, 1)
        self._library.rd_kafka_mock_group_initial_rebalance_delay_ms(self._cluster, REBALANCE_DELAY_MS)
        for name, partitions in topics.items():
            self._create(name, partitions)

    @property
    def bootstrap_servers(self) -> str:
        """Where clients connect: host:port on loopback."""
        address: bytes = self._library.rd_kafka_mock_cluster_bootstraps(self._cluster)
        return address.decode()

    def close(self) -> None:
        """Ends the cluster and drops all that was in it."""
        self._library.rd_kafka_mock_cluster_destroy(self._cluster)
        self._library.rd_kafka_destroy(self._client)

    def _quiet(self) -> int:
        """A configuration without librdkafka's log: it would warn that this client has no broker to connect to."""
        conf: int = self._library.rd_kafka_conf_new()
        self._library.rd_kafka_conf_set_log_cb(conf, None)
        return conf

    def _create(self, name: str, partitions: int) -> None:
        refused = self._library.rd_kafka_mock_topic_create(self._cluster, name.encode(), partitions, 1)
        if refused:
            reason: bytes = self._library.rd_kafka_err2str(refused)
            raise UsageError(f"the embedded broker refuses topic {name!r}: {reason.decode()}")


def parse_topics(text: str) -> dict[str, int]:
    """Reads ``name:partitions`` pairs separated by commas.

    Raises:
        UsageError: A pair has no number of partitions above 0, or a name comes twice.
    """
    topics: dict[str, int] = {}
    for pair in text.split(","):
        name, _, partitions = pair.strip().rpartition(":")
        if not name or not partitions.isdecimal() or int(partitions) < 1 or name in topics:
            raise UsageError(f"topics are name:partitions, separated by commas, each name once; not {pair.strip()!r}")
        topics[name] = int(partitions)
    return topics


def main(arguments: list[str] | None = None) -> int:
    """Serves until standard input closes; the exit status is 2 after a mistake in use."""
    parser = argparse.ArgumentParser(prog="python -m worker.demo.broker", description="The demo's broker.")
    parser.add_argument("--topics", required=True, help="name:partitions, separated by commas")
    try:
        cluster = MockCluster(parse_topics(parser.parse_args(arguments).topics))
    except UsageError as mistake:
        sys.stderr.write(f"{mistake}\n")
        return 2
    sys.stdout.write(f"{cluster.bootstrap_servers}\n")
    sys.stdout.flush()
    try:
        sys.stdin.buffer.read()
    except KeyboardInterrupt:
        # Ctrl-C reaches the whole terminal; the end of standard input follows when the show has ended.
        sys.stdin.buffer.read()
    cluster.close()
    return 0


def _load() -> ctypes.CDLL:
    """The library of the wheel, with the signatures of the functions used here."""
    library = ctypes.CDLL(str(_library_path()))
    pointer, text, number = ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int
    for name, result, arguments in (
        ("rd_kafka_new", pointer, (number, pointer, text, ctypes.c_size_t)),
        ("rd_kafka_destroy", None, (pointer,)),
        ("rd_kafka_conf_new", pointer, ()),
        ("rd_kafka_conf_set_log_cb", None, (pointer, pointer)),
        ("rd_kafka_err2str", text, (number,)),
        ("rd_kafka_mock_cluster_new", pointer, (pointer, number)),
        ("rd_kafka_mock_cluster_bootstraps", text, (pointer,)),
        ("rd_kafka_mock_cluster_destroy", None, (pointer,)),
        ("rd_kafka_mock_group_initial_rebalance_delay_ms", None, (pointer, ctypes.c_int32)),
        ("rd_kafka_mock_topic_create", number, (pointer, text, number, number)),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


def _library_path() -> Path:
    """Where the wheel keeps librdkafka: beside the package on Linux, inside it on macOS."""
    try:
        import confluent_kafka  # noqa: PLC0415 - an optional extra; everything else here works without it
    except ImportError as error:
        raise UsageError("the embedded broker needs the extra 'demo': pip install 'framewatch[demo]'") from error
    package = Path(confluent_kafka.__file__).parent
    for folder in (package.with_name("confluent_kafka.libs"), package / ".dylibs"):
        for path in sorted(folder.glob("librdkafka*")):
            return path
    raise UsageError("the embedded broker finds no librdkafka in the confluent-kafka wheel")


if __name__ == "__main__":
    sys.exit(main())
