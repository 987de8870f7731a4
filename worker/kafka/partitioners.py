"""Which partition a key belongs to, by the rules that publishers' clients come with."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Literal

from aiokafka.partitioner import murmur2

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

Partitioner = Literal["murmur2", "crc32"]


def _murmur2(key: bytes) -> int:
    return int(murmur2(key)) & 0x7FFF_FFFF


HASHES: Mapping[Partitioner, Callable[[bytes], int]] = {"murmur2": _murmur2, "crc32": zlib.crc32}
"""murmur2: Kafka's own client, and aiokafka. crc32: librdkafka's default (``consistent_random``), and so the default of
the clients for Python, Go, .NET and Node that are built on it."""


def place(stream_id: str, partitions: int, partitioner: Partitioner) -> int:
    """Return the partition that a stream's segments are sent to."""
    return HASHES[partitioner](stream_id.encode()) % partitions
