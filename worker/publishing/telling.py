"""Pieces to events: what a publisher says of its stream. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from worker.errors import SegmentError, UsageError
from worker.records import EventId, Initialisation, Position, Segment, StreamEnd
from worker.wire import headers, write

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import datetime

    from worker.publishing.pieces import Piece
    from worker.records import Message, Reference

SOURCE = "/framewatch/publish"
_NOWHERE = Position(topic="", partition=0, offset=0, timestamp_ms=0)


class Telling(Struct, frozen=True, kw_only=True):
    """What is said of a stream beside its media."""

    topic: str
    stream_id: str
    run: str
    """Names this run. With stream and sequence it makes the events' ids, so the same run again repeats them."""
    tenant: str | None = None
    account: str | None = None
    viewers: int | None = None
    test: bool = False

    def check(self) -> None:
        """Hold all of it against the contract. Raises UsageError, a line a mistake."""
        if mistakes := list(self._mistakes()):
            raise UsageError("\n".join(mistakes))

    def _mistakes(self) -> Iterator[str]:
        said: list[tuple[str, str | None, Callable[[str, bytes], object]]] = [
            ("--stream", self.stream_id, lambda _, raw: headers.key(raw)),
            ("--run", self.run, headers.label),
            ("--tenant", self.tenant, headers.label),
            ("--account", self.account, headers.label),
            ("--viewers", None if self.viewers is None else str(self.viewers), headers.integer),
        ]
        for name, text, check in said:
            try:
                if text is not None:
                    check(name, text.encode())
            except SegmentError as error:
                bad_key = f"{name} must be 1 to {headers.MAX_KEY_BYTES} bytes of UTF-8"
                yield bad_key if error.error == "bad_key" else error.reason
            except UnicodeEncodeError:
                yield f"{name} is not UTF-8"

    def init(self, payload: bytes | Reference) -> Message:
        """Return the initialisation event."""
        event = Initialisation(position=_NOWHERE, event=self._id("init"), stream_id=self.stream_id, payload=payload)
        return write.init_message(event, topic=self.topic)

    def segment(
        self, piece: Piece, *, sequence: int, captured_at: datetime, media_time_s: float, discontinuity: bool
    ) -> Message:
        """Return a segment event; ``media_time_s`` is from the start of the stream, over all rounds."""
        event = Segment(
            position=_NOWHERE,
            event=self._id(str(sequence)),
            stream_id=self.stream_id,
            content_type=piece.content_type,
            payload=piece.payload,
            sequence=sequence,
            captured_at=captured_at,
            media_time_s=round(media_time_s, 6),
            duration_s=round(piece.duration_s, 6),
            discontinuity=discontinuity,
            test=self.test,
            tenant=self.tenant,
            account=self.account,
            viewers=self.viewers,
        )
        return write.segment_message(event, topic=self.topic)

    def end(self) -> Message:
        """Return the event that says that the stream is over."""
        event = StreamEnd(position=_NOWHERE, event=self._id("end"), stream_id=self.stream_id)
        return write.end_message(event, topic=self.topic)

    def _id(self, what: str) -> EventId:
        return EventId(source=SOURCE, id=f"{self.stream_id}/{self.run}/{what}")
