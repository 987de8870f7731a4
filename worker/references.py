"""How a reviewer's tool finds a segment again, and when it was. Pure."""

from __future__ import annotations

import hashlib
import zlib
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from worker.errors import Stopped
from worker.records import Reference, SegmentRef
from worker.uris import public_text, public_uri

if TYPE_CHECKING:
    from worker.records import Placed, Segment

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

SHA256_BYTES = 32
WallTimeFrom = Literal["ce_time", "record"]


class Kept(Struct, frozen=True, array_like=True):
    """A recent segment of a stream, kept so that an incident can ask for it to be preserved.

    Where it lies, without the names of the fields: a snapshot holds many of them.
    """

    topic: str
    partition: int
    offset: int
    event_id: str
    ref: str | None
    byterange: str | None
    initref: str | None
    sha256: bytes | None
    content_type: str
    starts_at_s: float
    began_s: float
    """Where its first frame is on the stream's own clock."""

    def segment(self) -> SegmentRef:
        """Return where it lies as people are told."""
        return SegmentRef(
            topic=self.topic,
            partition=self.partition,
            offset=self.offset,
            event_id=self.event_id,
            ref=self.ref,
            byterange=self.byterange,
            initref=self.initref,
            sha256=None if self.sha256 is None else self.sha256.hex(),
            content_type=self.content_type,
            starts_at_s=self.starts_at_s,
        )


class Wall(Struct, frozen=True):
    """When something was by the clock on the wall, and who says so."""

    at: datetime | None
    source: WallTimeFrom


def keep(placed: Placed, *, began_s: float) -> Kept:
    """Return where a segment lies; URIs are without user, password, query and fragment."""
    assessment = placed.assessment
    segment = assessment.segment
    payload = segment.payload if isinstance(segment.payload, Reference) else None
    span = payload.byterange if payload is not None else None
    return Kept(
        topic=segment.position.topic,
        partition=segment.position.partition,
        offset=segment.position.offset,
        event_id=public_text(segment.event.id),
        ref=None if payload is None else public_uri(payload.uri),
        byterange=None if span is None else f"{span[0]}-{span[1]}",
        initref=None if segment.init is None else public_uri(segment.init.uri),
        sha256=None if assessment.sha256 is None else bytes.fromhex(assessment.sha256),
        content_type=segment.content_type,
        starts_at_s=placed.media_time_s,
        began_s=began_s,
    )


class _Packed(Struct, frozen=True, array_like=True):
    entries: bytes
    """The entries without their digests, as MessagePack, deflated: most of it is the same in all of them."""
    digests: bytes
    """The digests one after the other, for those entries that have one."""
    digested: tuple[bool, ...]


_encoder = msgspec.msgpack.Encoder()
_packed_decoder = msgspec.msgpack.Decoder(_Packed)
_entries_decoder = msgspec.msgpack.Decoder(tuple[Kept, ...])


def packed(entries: tuple[Kept, ...]) -> bytes:
    """Return segments in a third of the room, some 50 bytes each; nothing for none."""
    if not entries:
        return b""
    bare = _encoder.encode([replace(entry, sha256=None) for entry in entries])
    digests = [entry.sha256 for entry in entries]
    return _encoder.encode(
        _Packed(zlib.compress(bare, 1), b"".join(filter(None, digests)), tuple(one is not None for one in digests))
    )


def unpacked(data: bytes) -> tuple[Kept, ...]:
    """Return the segments that ``packed`` was given. Raises Stopped where the bytes are damaged."""
    if not data:
        return ()
    try:
        found = _packed_decoder.decode(data)
        bare = _entries_decoder.decode(zlib.decompress(found.entries))
    except (msgspec.MsgspecError, zlib.error) as error:
        raise Stopped(f"a stream's record of segments to preserve is damaged: {error}") from error
    digests = (found.digests[at : at + SHA256_BYTES] for at in range(0, len(found.digests), SHA256_BYTES))
    return tuple(
        replace(entry, sha256=next(digests, None)) if known else entry
        for entry, known in zip(bare, found.digested, strict=False)
    )


def segment_ref(placed: Placed) -> SegmentRef:
    """Return where a segment lies as people are told."""
    return keep(placed, began_s=0.0).segment()


def material(list_name: str, entry: str) -> str:
    """Return the key of an entry of a hash list, the same wherever it appears; tells nothing of its hash."""
    return hashlib.sha256(f"{len(list_name)}:{list_name}{entry}".encode()).hexdigest()[:32]


def wall(segment: Segment, offset_s: float = 0.0) -> Wall:
    """Return when a segment's frame was captured: what the publisher says, else the record's timestamp."""
    if segment.captured_at is not None:
        return Wall(later(segment.captured_at, offset_s), "ce_time")
    return Wall(later(appended_at(segment), offset_s), "record")


def appended_at(segment: Segment) -> datetime | None:
    """Return when the broker has the record; None where its timestamp is none or no date."""
    return moment(segment.position.timestamp_ms)


def moment(timestamp_ms: int) -> datetime | None:
    """Return milliseconds since 1970 as a datetime; None where they are negative (Kafka's "none") or no date."""
    try:
        return EPOCH + timedelta(milliseconds=timestamp_ms) if timestamp_ms >= 0 else None
    except OverflowError:
        return None


def later(at: datetime | None, seconds: float) -> datetime | None:
    """Return a time so many seconds on; None where that is no date."""
    try:
        return None if at is None else at + timedelta(seconds=seconds)
    except (OverflowError, ValueError):  # ValueError: not a number
        return None
