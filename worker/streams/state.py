"""What is remembered of one stream, and its snapshot.

Nothing is kept that a new owner of the partition could not restore from its records alone. A snapshot is small: what is
large and changes slowly (segments to preserve, the initialisation) has records of its own (``worker.streams.store``).
"""

from __future__ import annotations

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from worker.errors import Stopped
from worker.records import Coverage, MediaTimeFrom, Reason, Sighting, StreamRisk
from worker.references import Kept, packed, unpacked
from worker.streams.clock import Clock
from worker.streams.identity import Seen, with_short_ids, with_short_numbers

VERSION = 3
"""Of the snapshot. New fields go to the end with a default; a change of meaning needs a new version."""
WIDE_NUMBERS = 2
"""The version that kept four bytes of the segments' numbers, else the same."""
MOST_KEPT = 128
"""No more recent segments are kept, however short they are."""


class StreamState(Struct, frozen=True, kw_only=True):
    """One stream as it is after the record at ``through_offset``."""

    stream_id: str
    through_offset: int | None = None
    """Offset of the last record applied; None before the first."""
    last_appended_ms: int | None = None
    """Timestamp of that record, milliseconds since 1970, as the broker has it."""
    heard_ms: float = 0.0
    """When it was heard last, on its partition's own clock (``worker.partition.clock``)."""
    clock: Clock = Clock()
    seen: Seen = Seen()
    risk: StreamRisk = StreamRisk()
    coverage: Coverage = Coverage()
    gap_s: float = 0.0
    """For how long up to now nothing has been watched."""
    last_look_ms: int | None = None
    """When the newest frame that was looked at was captured, milliseconds since 1970."""
    tenant: str | None = None
    account: str | None = None
    viewers: int | None = None
    """As the newest segment that told them has them."""
    ended: bool = False
    """The publisher said that it is over, and nothing came after."""
    material: str | None = None
    """Key of the known material that was seen last, while there is an incident the one that was seen first."""
    gathered: tuple[Reason, ...] = ()
    """The weightiest evidence since the risk was 0 last: what an opening tells beside the look that crossed."""
    sightings: tuple[Sighting, ...] = ()
    """Frames of known videos seen lately."""
    init: bytes | None = None
    """Digest of its initialisation segment; None where it has none."""
    tail: tuple[Kept, ...] = ()
    """The newest segments; those before are in ``older``."""
    recent_since_s: float = 0.0
    """On its own clock: what began before need not be preserved."""
    shed_since_look: int | None = None
    """How many of its segments were shed since one was looked at; None before the first look."""
    older: bytes = b""
    """The segments before ``tail``, packed; not in the snapshot."""

    @property
    def recent(self) -> tuple[Kept, ...]:
        """The last segments, in the order in which they came."""
        entries = (*unpacked(self.older), *self.tail)
        since_s = self.recent_since_s
        old = next((index for index, entry in enumerate(entries) if entry.began_s >= since_s), len(entries))
        return entries[old:][-MOST_KEPT:]

    @property
    def sequence(self) -> int | None:
        """Sequence of the newest segment; None where its publisher counts none."""
        return self.seen.newest if self.seen.by_sequence else None

    @property
    def media_time_s(self) -> float | None:
        """Media time of the newest segment's first frame, as told to people; None before the first."""
        return self.clock.media_time_s

    @property
    def media_time_from(self) -> MediaTimeFrom:
        """Who says so."""
        return self.clock.media_time_from


class Head(Struct, frozen=True):
    """What of a snapshot decides who is forgotten, read without the rest."""

    heard_ms: float
    init: bytes | None
    risk: float
    open: bool
    """Whether it has an open incident."""


def snapshot(state: StreamState) -> bytes:
    """Return the state without its id and ``older``, as MessagePack: an array, the version first."""
    return _encoder.encode(
        _Snapshot(
            version=VERSION,
            risk=_Risk(**_fields(state.risk)),
            coverage=_Coverage(**_fields(state.coverage)),
            **{name: getattr(state, name) for name in _SAME},
        )
    )


def restore(stream_id: str, data: bytes, older: bytes = b"") -> StreamState:
    """Return the state that a snapshot holds.

    Raises:
        Stopped: The snapshot is damaged, or a newer Framewatch wrote it.
    """
    try:
        version = _version(data)
        if version == 1:
            return _from_v1(stream_id, _v1_decoder.decode(data))
        found = _decoder.decode(data)
        if version == WIDE_NUMBERS:
            found = msgspec.structs.replace(found, seen=with_short_numbers(found.seen))
    except msgspec.MsgspecError as error:
        raise _damaged(error) from error
    return StreamState(
        stream_id=stream_id,
        older=older,
        risk=StreamRisk(**_fields(found.risk)),
        coverage=Coverage(**_fields(found.coverage)),
        **{name: getattr(found, name) for name in _SAME},
    )


def head(data: bytes) -> Head:
    """Return a snapshot's head; its bytes are walked to the end. Raises Stopped as ``restore`` does."""
    try:
        found = _head_decoder.decode(data)
    except msgspec.MsgspecError:
        return _old_head(data)
    if found.version not in (WIDE_NUMBERS, VERSION):
        return _old_head(data)
    return Head(found.heard_ms, found.init, found.risk.value, found.risk.incident != _NIL)


# --- the snapshot's form ---


class _Risk(StreamRisk, frozen=True, kw_only=True, array_like=True):
    """Without the names of the fields: they would take more than the values."""


class _Coverage(Coverage, frozen=True, kw_only=True, array_like=True):
    pass


class _Snapshot(Struct, frozen=True, array_like=True, kw_only=True):
    version: int
    heard_ms: float
    init: bytes | None
    risk: _Risk
    coverage: _Coverage
    through_offset: int | None
    last_appended_ms: int | None
    clock: Clock
    seen: Seen
    gap_s: float
    last_look_ms: int | None
    tenant: str | None
    account: str | None
    viewers: int | None
    ended: bool
    material: str | None
    gathered: tuple[Reason, ...]
    sightings: tuple[Sighting, ...]
    tail: tuple[Kept, ...]
    recent_since_s: float
    shed_since_look: int | None = None


class _HeadRisk(Struct, array_like=True):
    value: float
    peak: float
    quiet_s: float
    incident: msgspec.Raw


class _Head(Struct, array_like=True):
    version: int
    heard_ms: float
    init: bytes | None
    risk: _HeadRisk


class _Version(Struct, array_like=True):
    version: int


class _V1(Struct, frozen=True, array_like=True, kw_only=True):
    """The first form: everything in one record."""

    version: int
    stream_id: str
    through_offset: int | None = None
    last_appended_ms: int | None = None
    clock: Clock = Clock()
    seen: Seen = Seen()
    risk: StreamRisk = StreamRisk()
    coverage: Coverage = Coverage()
    gap_s: float = 0.0
    last_look_ms: int | None = None
    tenant: str | None = None
    account: str | None = None
    viewers: int | None = None
    ended: bool = False
    material: str | None = None
    gathered: tuple[Reason, ...] = ()
    sightings: tuple[Sighting, ...] = ()
    recent: tuple[Kept, ...] = ()


_SAME = tuple(name for name in _Snapshot.__struct_fields__ if name not in ("version", "risk", "coverage"))
_NIL = msgspec.Raw(b"\xc0")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(_Snapshot)
_head_decoder = msgspec.msgpack.Decoder(_Head)
_version_decoder = msgspec.msgpack.Decoder(_Version)
_v1_decoder = msgspec.msgpack.Decoder(_V1)
_fields = asdict


def _version(data: bytes) -> int:
    """Return a version that this worker reads."""
    version = _version_decoder.decode(data).version
    if not 1 <= version <= VERSION:
        raise Stopped(
            f"a stream's snapshot has version {version}, this worker reads up to {VERSION}: "
            "a newer Framewatch wrote it, run that one or newer"
        )
    return version


def _old_head(data: bytes) -> Head:
    try:
        if _version(data) == 1:
            risk = _v1_decoder.decode(data).risk
            return Head(0.0, None, risk.value, risk.incident is not None)
        _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise _damaged(error) from error
    raise Stopped("a stream's snapshot is damaged")


def _from_v1(stream_id: str, old: _V1) -> StreamState:
    same = {name: getattr(old, name) for name in _SAME if name in _V1.__struct_fields__ and name != "seen"}
    return StreamState(
        stream_id=stream_id,
        risk=old.risk,
        coverage=old.coverage,
        seen=with_short_numbers(with_short_ids(old.seen)),
        older=packed(old.recent),
        **same,
    )


def _damaged(error: Exception) -> Stopped:
    return Stopped(f"a stream's snapshot is damaged: {error}")
