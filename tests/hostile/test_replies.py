"""A decoder that was taken over says anything at all: nothing that leaves the parent's checks is out of bounds."""

from __future__ import annotations

import math
import os
import struct
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.jails import MIB, a_jail, asking, media

from worker.errors import SegmentError
from worker.jail.reply import (
    CONTAINERS,
    ERRORS,
    MAX_TIME_S,
    REASON_MAX_BYTES,
    Hostile,
    room_for,
    take_frames,
    take_head,
)
from worker.jail.slot import BODY_AT, Slot, slot_bytes
from worker.records import CODECS, Ask, Media, Sample, View

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD = struct.Struct("<BBBB????IQdd4d")
"""The head's layout, written down again: a change of it has to be made in both places."""
ROW = struct.Struct("<dIIB?32s")
"""And a row's of the table of frames."""
WILD: dict[str, st.SearchStrategy[Any]] = {
    "B": st.integers(0, 255),
    "?": st.booleans(),
    "I": st.sampled_from([0, 1, 2, 2**31, 2**32 - 1]) | st.integers(0, 2**32 - 1),
    "Q": st.sampled_from([0, 1, 1010, 1011, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1),
    "d": st.sampled_from([-1.0, math.nan, math.inf, -math.inf, 2.0**54, -(2.0**54)]) | st.floats(),
    "s": st.binary(min_size=32, max_size=32),
}
"""What a field of each kind may be at the worst."""
HEAD_KINDS, ROW_KINDS = "BBBB????IQdddddd", "dIIB?s"


@st.composite
def bent(draw: st.DrawFn, honest: tuple[Any, ...], kinds: str) -> tuple[Any, ...]:
    """Honest fields, none, one or two of them as bad as can be: a reply that is wrong everywhere proves little."""
    wrong = draw(st.sets(st.integers(0, len(kinds) - 1), max_size=2))
    return tuple(draw(WILD[kinds[at]]) if at in wrong else value for at, value in enumerate(honest))


@st.composite
def replies(draw: st.DrawFn, ask: Ask) -> tuple[bytes, bytes]:
    """Head and body of an answer to ``ask``, nearly honest; perhaps of one frame too many."""
    count = draw(st.integers(0, ask.max_keyframes + 1))
    times = (draw(st.floats(-1e6, 1e6)), draw(st.floats(0, 1e6)))
    names = (
        draw(st.sampled_from([1, 1, 1, 2])),
        draw(st.integers(0, 2)),
        draw(st.integers(1, 5)),
        draw(st.integers(0, 9)),
    )
    head = (*names, *draw(st.tuples(*[st.booleans()] * 4)), count, count, *times, 0.1, 0.1, 0.1, 0.1)
    rows = [draw(bent((1.0, 640, 360, 99, True, bytes(32)), ROW_KINDS)) for _ in range(count)]
    body = b"".join(ROW.pack(*row) for row in rows)
    text = draw(st.just(b"x" * 9) | st.binary(max_size=9))
    return HEAD.pack(*draw(bent(head, HEAD_KINDS))) + text, body


asks = st.builds(
    lambda most, side: asking(keyframes=most, side=side), st.integers(0, 4), st.none() | st.integers(1, 16)
)
asked = asks.flatmap(lambda ask: st.tuples(st.just(ask), replies(ask)))
MEDIA = Media(data=bytes(1000), init=bytes(10), sha256="")


@pytest.fixture(scope="module")
def slot() -> Iterator[Slot]:
    """One slot; each example fills it anew."""
    slot = Slot(slot_bytes(MIB))
    yield slot
    slot.close()


@settings(max_examples=1000, deadline=None)
@given(asked=asked)
def test_whatever_a_reply_lies_about_nothing_out_of_bounds_is_believed(
    slot: Slot, asked: tuple[Ask, tuple[bytes, bytes]]
) -> None:
    """A wrong field or two: refused, a bounded error, or a sample whose every count, size and time is in bounds."""
    ask, (head, body) = asked
    believed_within_bounds(slot, ask, head, body)


@settings(max_examples=300, deadline=None)
@given(ask=asks, head=st.binary(max_size=300), body=st.binary(max_size=400))
@example(ask=asking(), head=b"", body=b"")
@example(ask=asking(keyframes=4, side=16), head=b"\xff" * 300, body=b"\xff" * 400)
def test_whatever_lies_in_the_slot_nothing_out_of_bounds_is_believed(
    slot: Slot, ask: Ask, head: bytes, body: bytes
) -> None:
    """The same for any bytes at all."""
    believed_within_bounds(slot, ask, head, body)


def believed_within_bounds(slot: Slot, ask: Ask, head: bytes, body: bytes) -> None:
    """Put a reply into the slot, take it as the parent does, and check what comes of it."""
    slot.wipe()
    os.pwrite(slot.fileno(), head, 0)
    os.pwrite(slot.fileno(), body, BODY_AT)
    try:
        taken = take_head(slot, MEDIA, ask)
        assert taken.bytes_to_come <= room_for(ask)
        within_bounds(take_frames(slot, ask, taken), ask)
    except Hostile:
        pass
    except SegmentError as error:
        said = error
        assert (said.stage, said.error) in ERRORS
        assert said.reason.isprintable()
        assert said.reason.isascii()
        assert len(said.reason) <= REASON_MAX_BYTES


def within_bounds(sample: Sample, ask: Ask) -> None:
    """Check everything of a sample that a station after the jail computes with."""
    assert sample.container in CONTAINERS
    assert sample.codec is None or sample.codec in CODECS
    assert len(sample.frames) <= min(ask.max_keyframes, sample.keyframes_seen)
    assert sample.keyframes_seen <= len(MEDIA.data) + len(MEDIA.init or b"")
    costs = sample.costs
    times = [
        sample.start_s or 0.0,
        sample.duration_s or 0.0,
        costs.open_s,
        costs.decode_s,
        costs.hash_s,
        costs.resize_s,
    ]
    assert all(math.isfinite(time_s) and abs(time_s) <= MAX_TIME_S for time_s in times)
    assert all(time_s >= 0 for time_s in times[1:])
    for frame in sample.frames:
        assert 0 <= frame.offset_s <= MAX_TIME_S
        assert min(frame.width, frame.height) >= 1
        assert frame.width * frame.height <= ask.max_pixels
        assert 0 <= frame.hash.quality <= 100
        assert (frame.hash.pdq is None) == (frame.hash.quality < 50)
        assert frame.hash.pdq is None or len(frame.hash.pdq) == 32
        view = ask.view
        assert (frame.picture is None) == (view is None)
        assert frame.picture is None or isinstance(view, View)
        assert frame.picture is None or frame.picture.shape == (view.height, view.width, 3)


@pytest.mark.parametrize(
    "head",
    [
        b"",
        b"\xff" * 80,
        HEAD.pack(1, 0, 1, 0, False, False, False, False, 2**32 - 1, 2**64 - 1, 0, 0, 0, 0, 0, 0),
        HEAD.pack(1, 0, 1, 0, True, False, True, False, 1, 1, math.nan, math.inf, 0, 0, 0, 0),
        HEAD.pack(2, 0, 0, 255, False, False, False, False, 255, 0, 0, 0, 0, 0, 0, 0),
    ],
    ids=["nothing", "ones", "counts", "times", "error"],
)
async def test_a_child_that_lies_is_killed_and_the_next_segment_is_served(head: bytes) -> None:
    """Through real processes: a lie costs its child, twice, and then its segment; nobody else notices."""
    events = []
    async with a_jail(events.append) as jail:
        with pytest.raises(SegmentError) as lied:
            await jail.sample(media(f"scribble {head.hex() or '00'}"), asking())
        assert (lied.value.error, lied.value.attempts) == ("crashed", 2)
        assert [event.cause for event in events] == ["hostile_reply"] * 2
        assert (await jail.sample(media("echo"), asking())).frames
