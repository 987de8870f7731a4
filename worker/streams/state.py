"""What is remembered of one stream, and its snapshot.

Nothing is kept that a new owner of the partition could not restore from the snapshot alone.
"""

from __future__ import annotations

import msgspec
from msgspec import Struct

from worker.errors import Stopped
from worker.records import Coverage, MediaTimeFrom, Reason, Sighting, StreamRisk
from worker.references import Kept
from worker.streams.clock import Clock
from worker.streams.identity import Seen

VERSION = 1
"""Of the snapshot. New fields go to the end with a default; a change of meaning needs a new version."""


class StreamState(Struct, frozen=True, array_like=True, kw_only=True):
    """One stream as it is after the record at ``through_offset``."""

    version: int = VERSION
    stream_id: str
    through_offset: int | None = None
    """Offset of the last record applied; None before the first."""
    last_appended_ms: int | None = None
    """Timestamp of that record, milliseconds since 1970, as the broker has it."""
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
    recent: tuple[Kept, ...] = ()
    """The last segments, in the order in which they came."""

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


class _Head(Struct, array_like=True):
    version: int


_encoder = msgspec.msgpack.Encoder()
_head_decoder = msgspec.msgpack.Decoder(_Head)
_decoder = msgspec.msgpack.Decoder(StreamState)


def snapshot(state: StreamState) -> bytes:
    """Return the state as MessagePack: an array, the version first."""
    return _encoder.encode(state)


def restore(data: bytes) -> StreamState:
    """Return the state that a snapshot holds.

    Raises:
        Stopped: The snapshot is damaged, or a newer Framewatch wrote it.
    """
    try:
        version = _head_decoder.decode(data).version
        if version <= VERSION:
            return _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise Stopped(f"a stream's snapshot is damaged: {error}") from error
    raise Stopped(
        f"a stream's snapshot has version {version}, this worker reads up to {VERSION}: "
        "a newer Framewatch wrote it, run that one or newer"
    )
