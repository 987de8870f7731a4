"""The formula of docs/memory.md, with its numbers: what to reckon with, and the most that may be. Pure."""

from __future__ import annotations

from msgspec import Struct

MIB = 1024 * 1024
WORKER_MIB = 109
"""Interpreter, libraries and the demo model, after the first segments."""
AROUND_MIB = 23
"""What the zygote and the decoder in reserve have for themselves."""
DECODER_MIB = 9
"""What a decoder that works has for itself."""
STREAM_BYTES = 1500
PRESERVED_BYTES, PRESERVED_MOST_BYTES = 2900, 3500
INDEXED_FROM = 65_536
HASH_BYTES, INDEXED_HASH_BYTES, INDEX_MIB = 80, 100, 4
FETCHED, FETCHED_MIB = 3, 8
KEPT_MIB = 64
RESULTS_MIB = 6.5


class Load(Struct, frozen=True, kw_only=True):
    """What a worker has to do with."""

    decoders: int = 1
    streams: int = 0
    """Each with 64 remembered segments and two minutes to preserve."""
    in_work_bytes: int = 0
    """Bodies in work or waiting; at most ``intake.max_bytes``."""
    entries: int = 0
    """Of a hash list."""


def expected_bytes(load: Load) -> int:
    """Return what to reckon with for all processes of a worker, pages that several have counted once."""
    fetched_and_kept = min(load.in_work_bytes, (FETCHED * FETCHED_MIB + KEPT_MIB) * MIB)
    streams = load.streams * (STREAM_BYTES + PRESERVED_BYTES)
    return _processes_bytes(load) + streams + load.in_work_bytes + fetched_and_kept + list_bytes(load.entries)


def most_bytes(load: Load, *, pictures_bytes: int) -> int:
    """Return the most that may be. ``pictures_bytes``: those between decoders and classifier at most."""
    fixed = round((FETCHED * FETCHED_MIB + KEPT_MIB + RESULTS_MIB) * MIB)
    streams = load.streams * (STREAM_BYTES + PRESERVED_MOST_BYTES)
    rest = load.in_work_bytes + list_bytes(load.entries) + pictures_bytes
    return _processes_bytes(load) + streams + fixed + rest


def list_bytes(entries: int) -> int:
    """Return what a hash list takes once it is read."""
    if entries < INDEXED_FROM:
        return entries * HASH_BYTES
    return entries * INDEXED_HASH_BYTES + INDEX_MIB * MIB


def _processes_bytes(load: Load) -> int:
    return (WORKER_MIB + AROUND_MIB + load.decoders * DECODER_MIB) * MIB
