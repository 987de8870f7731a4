"""The make-believe platform: its streams go on air one after the other and publish their segments in real time."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from msgspec.structs import replace

from worker.demo import encode
from worker.demo.ledger import Published
from worker.demo.streams import SEGMENT_S, piece
from worker.records import EventId, Initialisation, Position, Reference, Segment, StreamEnd
from worker.wire import write

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from worker.demo.ledger import Ledger
    from worker.demo.library import Library
    from worker.demo.streams import Piece, Story, Stream
    from worker.records import Message

CLOCK_FROM_S = 10.0
"""Where the streams' own clocks start: a packager's rarely starts at 0."""
SOURCE = "/demo/platform"
KEPT = 60
"""So many of a stream's last segments lie in the folder."""
NOISE_BYTES = 50_000
CUT_BYTES = 40 * 188
"""So little of an MPEG-TS segment holds its tables and a part of its keyframe."""
OUTSIDE = "file:///etc/hostname"
_NOWHERE = Position(topic="", partition=0, offset=0, timestamp_ms=0)


class To(Protocol):
    """Where messages go (``worker.kafka.publisher.Publisher``)."""

    async def send(self, message: Message) -> None:
        """Return when the broker has the message."""


class Platform:
    """All streams of one show."""

    def __init__(
        self, streams: Sequence[Stream], story: Story, library: Library, ledger: Ledger, *, topic: str, folder: Path
    ) -> None:
        """``folder`` is where segments lie that are published by claim check: a root that the worker allows."""
        self._streams = streams
        self._story = story
        self._library = library
        self._ledger = ledger
        self._topic = topic
        self._folder = folder

    async def broadcast(self, to: To, stop: asyncio.Event) -> None:
        """Publish until ``stop`` is set, each segment when it would have been captured."""
        began_s = asyncio.get_running_loop().time()
        async with asyncio.TaskGroup() as group:
            for stream in self._streams:
                group.create_task(self._stream(stream, to, stop, began_s + stream.phase_s), name=stream.stream_id)

    async def _stream(self, stream: Stream, to: To, stop: asyncio.Event, on_air_s: float) -> None:
        if stream.kind == "cmaf":
            await to.send(self._init(stream))
        for number in itertools.count():
            if await _stopped_by(stop, on_air_s + number * SEGMENT_S):
                return
            what = piece(stream, number, self._story)
            if what is None:
                self._ledger.course(stream.stream_id).ended = True
                await to.send(self._end(stream))
                return
            message = await asyncio.to_thread(self._message, stream, number, what)
            # Before it is sent: its outcome can be there before the acknowledgement.
            self._ledger.publish(Published(event_id=_event(stream, number).id, stream_id=stream.stream_id, piece=what))
            await to.send(message)

    # --- messages ---

    def _init(self, stream: Stream) -> Message:
        event = EventId(source=SOURCE, id=f"{stream.stream_id}/init")
        init = self._library.cmaf[stream.stream_id].init
        return write.init_message(
            Initialisation(position=_NOWHERE, event=event, stream_id=stream.stream_id, payload=init), topic=self._topic
        )

    def _end(self, stream: Stream) -> Message:
        event = EventId(source=SOURCE, id=f"{stream.stream_id}/end")
        return write.end_message(
            StreamEnd(position=_NOWHERE, event=event, stream_id=stream.stream_id), topic=self._topic
        )

    def _message(self, stream: Stream, number: int, what: Piece) -> Message:
        segment = Segment(
            position=_NOWHERE,
            event=_event(stream, number),
            stream_id=stream.stream_id,
            content_type="video/iso.segment" if stream.kind == "cmaf" else "video/mp2t",
            payload=self._footage(stream, what, number * SEGMENT_S),
            sequence=number,
            captured_at=datetime.now(UTC),
            duration_s=SEGMENT_S,
            account=f"account-{stream.number + 1}",
            viewers=40 + 17 * stream.number + number % 7,
        )
        if stream.kind == "reference":
            segment = replace(segment, payload=self._kept(segment))
        return self._faulty(segment, what) if what.fault else write.segment_message(segment, topic=self._topic)

    def _footage(self, stream: Stream, what: Piece, at_s: float) -> bytes:
        """The piece's bytes, on the stream's own clock."""
        library, again = self._library, what.index % encode.LOOP
        if stream.kind == "cmaf":
            return encode.later_cmaf(library.cmaf[stream.stream_id].segments[again], at_s - again * SEGMENT_S)
        match what.footage:
            case "card":
                data = library.card[again]
            case "clip":
                data = library.clip[what.index]
            case "sound":
                data = library.sound
            case "harmless":
                data = library.harmless[stream.stream_id][again]
        return encode.later_ts(data, CLOCK_FROM_S + at_s)

    def _kept(self, segment: Segment) -> Reference:
        """Put a segment's bytes into the folder, and say where they are."""
        data = _bytes_of(segment)
        path = self._folder / f"{segment.stream_id}-{segment.sequence}.ts"
        path.write_bytes(data)
        # With --keep they would fill the disk.
        (self._folder / f"{segment.stream_id}-{(segment.sequence or 0) - KEPT}.ts").unlink(missing_ok=True)
        return Reference(uri=path.as_uri(), sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))

    def _faulty(self, segment: Segment, what: Piece) -> Message:
        data = _bytes_of(segment)
        match what.fault:
            case "noise":
                noise = hashlib.shake_128(segment.event.id.encode()).digest(NOISE_BYTES)
                segment = replace(segment, payload=noise)
            case "cut":
                segment = replace(segment, payload=data[:CUT_BYTES])
            case "wrong_type":
                segment = replace(segment, content_type="video/webm")
            case "outside":
                segment = replace(segment, payload=Reference(uri=OUTSIDE))
            case "absent":
                segment = replace(segment, payload=Reference(uri=(self._folder / "nothing-here.ts").as_uri()))
            case "digest":
                segment = replace(segment, payload=replace(self._kept(segment), sha256="0" * 64))
            case "empty":
                segment = replace(segment, payload=b"")
        message = write.segment_message(segment, topic=self._topic)
        if what.fault == "no_type":
            return replace(message, headers=tuple(one for one in message.headers if one[0] != "content-type"))
        return message


def _event(stream: Stream, number: int) -> EventId:
    return EventId(source=SOURCE, id=f"{stream.stream_id}/{number}")


def _bytes_of(segment: Segment) -> bytes:
    if not isinstance(segment.payload, bytes):
        raise TypeError("a segment of the show has its bytes with it")
    return segment.payload


async def _stopped_by(stop: asyncio.Event, at_s: float) -> bool:
    """Wait until a time on the loop's clock; tell whether somebody stopped before."""
    try:
        async with asyncio.timeout_at(at_s):
            await stop.wait()
    except TimeoutError:
        return False
    return True
