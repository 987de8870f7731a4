"""What a segment is among those that its stream had before: fresh, late, restarted or a repeat. Pure.

A segment is known by its event's source and id, and by its sequence. Its *number* is the sequence, or the record's
offset where there is none. What was seen is kept as short digests: eight bytes of the content are plenty among 64, and
whoever could make two segments collide could as well not have published the second. Four bytes of the event's id will
do: a repeat must have the same content as well. Two bytes of a number will do for the same reason.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Protocol

from msgspec import Struct
from msgspec.structs import replace

from worker.records import Standing

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.records import EventId, Segment

REMEMBERED = 64
"""So many of a stream's last segments are remembered."""
FAR_BACK = 64
"""A number further back than this is not late: the count has begun again."""
RUN = 3
"""So many in a row that count up behind the newest are not late either: the count has begun again."""
DIGEST_BYTES = 8
ID_BYTES = 4
NUMBER_BYTES = 2
"""The low 16 bits of a number tell it apart among the last 64, unless a publisher jumps by just so much: then a segment
with other bytes is *restarted* and not *fresh*, and is looked at all the same."""
WIDER_BYTES = 4
"""As older Framewatches kept them."""


class Seen(Struct, frozen=True, array_like=True):
    """A stream's last segments, oldest first, in columns that a search runs through quickly."""

    ids: bytes = b""
    """Digests of the events' source and id, four bytes each."""
    contents: bytes = b""
    """The first eight bytes of the segments' SHA-256."""
    numbers: bytes = b""
    """Low 16 bits of the numbers, of the last entries only: a count that began again forgets the old ones."""
    newest: int | None = None
    """Highest number of the present count."""
    by_sequence: bool = True
    """Whether ``newest`` is a sequence, else an offset."""
    former: int | None = None
    """Highest number of the count before: one stray number does not end a count for good."""
    behind: int | None = None
    """The last number, when it was behind the newest."""
    behind_run: int = 0
    """How many in a row counted up behind the newest."""


class Judged(Struct, frozen=True):
    """What a segment is, and where its number stands."""

    standing: Standing
    step: int | None
    """By how much its number is ahead of the newest; None where the two can't be compared."""
    afresh: bool = False
    """True when the count begins again with it."""


class Remembering(Protocol):
    """Whatever remembers what a stream had before (a ``StreamState``)."""

    @property
    def seen(self) -> Seen:
        """The stream's last segments."""


def standing(state: Remembering, segment: Segment, sha256: str | None) -> Standing:
    """Return what ``segment`` is among those before it.

    ``sha256`` is the digest of its bytes in hex, None where nobody could read them.
    """
    return judge(state.seen, segment, sha256).standing


def judge(seen: Seen, segment: Segment, sha256: str | None) -> Judged:
    """Return what ``segment`` is and where its number stands. See ``standing``."""
    known = _known_contents(seen, segment) if sha256 is not None else set()
    if sha256 is not None and _content(sha256) in known:
        return Judged("repeat", None)
    if seen.newest is None:
        return Judged("fresh", None)
    if seen.by_sequence != (segment.sequence is not None):
        return Judged("restarted", None, afresh=True)
    return _by_number(seen, segment, other_bytes=bool(known))


def _by_number(seen: Seen, segment: Segment, *, other_bytes: bool) -> Judged:
    number = number_of(segment)
    step = number - (seen.newest or 0)
    if step > 0:
        return Judged("restarted" if other_bytes else "fresh", _resumed(seen, number, step))
    if segment.discontinuity or -step > FAR_BACK or _run(seen, number) >= RUN:
        return Judged("restarted", None, afresh=True)
    return Judged("restarted" if other_bytes else "late", step)


def _resumed(seen: Seen, number: int, step: int) -> int:
    """Return the step from the count before, where a stray number had broken it off."""
    if seen.former is not None and step > FAR_BACK and 0 < number - seen.former <= FAR_BACK:
        return number - seen.former
    return step


def _run(seen: Seen, number: int) -> int:
    return seen.behind_run + 1 if seen.behind is not None and number > seen.behind else 1


def remember(seen: Seen, judged: Judged, segment: Segment, sha256: str | None) -> Seen:
    """Return the memory with ``segment`` in it.

    With ``sha256`` None only its number counts: its bytes are not known, so that a publisher's retry is looked at.
    """
    if judged.standing == "repeat":
        return seen
    number = number_of(segment)
    ahead = judged.afresh or judged.step is None or judged.step > 0
    entry = (b"", b"", b"") if sha256 is None else (_id(segment.event), _content(sha256), _low(number))
    return Seen(
        ids=_appended(seen.ids, entry[0], ID_BYTES),
        contents=_appended(seen.contents, entry[1], DIGEST_BYTES),
        numbers=_appended(b"" if judged.afresh else seen.numbers, entry[2], NUMBER_BYTES),
        newest=number if ahead else seen.newest,
        by_sequence=segment.sequence is not None,
        former=seen.newest if judged.afresh else seen.former,
        behind=None if ahead else number,
        behind_run=0 if ahead else _run(seen, number),
    )


def with_short_ids(seen: Seen) -> Seen:
    """Return what an older Framewatch remembered: it kept eight bytes of the events' ids."""
    starts = range(0, len(seen.ids), DIGEST_BYTES)
    return replace(seen, ids=b"".join(seen.ids[at : at + ID_BYTES] for at in starts))


def with_short_numbers(seen: Seen) -> Seen:
    """Return what an older Framewatch remembered: it kept four bytes of the numbers."""
    ends = range(WIDER_BYTES, len(seen.numbers) + 1, WIDER_BYTES)
    return replace(seen, numbers=b"".join(seen.numbers[at - NUMBER_BYTES : at] for at in ends))


def number_of(segment: Segment) -> int:
    """Return what orders the segment in its stream: its sequence, else its record's offset."""
    return segment.position.offset if segment.sequence is None else segment.sequence


def _known_contents(seen: Seen, segment: Segment) -> set[bytes]:
    """Return the digests of what came before under this event id or this sequence."""
    found = set(_aligned(seen, seen.ids, _id(segment.event), ID_BYTES))
    if segment.sequence is not None and seen.by_sequence:
        found.update(_aligned(seen, seen.numbers, _low(segment.sequence), NUMBER_BYTES))
    return found


def _aligned(seen: Seen, column: bytes, value: bytes, width: int) -> Iterator[bytes]:
    """Yield the contents beside each ``value`` in ``column``, whose last entry stands beside the last content."""
    at = column.find(value)
    while at >= 0:
        if at % width == 0:
            start = len(seen.contents) - (len(column) - at) // width * DIGEST_BYTES
            yield seen.contents[start : start + DIGEST_BYTES]
        at = column.find(value, at + 1)


def _appended(column: bytes, value: bytes, width: int) -> bytes:
    return (column + value)[-REMEMBERED * width :]


def _id(event: EventId) -> bytes:
    named = f"{len(event.source)}:{event.source}{event.id}".encode()
    return hashlib.blake2b(named, digest_size=DIGEST_BYTES).digest()[:ID_BYTES]


def _content(sha256: str) -> bytes:
    return bytes.fromhex(sha256[: 2 * DIGEST_BYTES])


def _low(number: int) -> bytes:
    return (number & 0xFFFF).to_bytes(NUMBER_BYTES, "big")
