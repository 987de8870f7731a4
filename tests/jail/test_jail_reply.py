"""A child's answer: what an honest one says arrives, and what no honest one says is refused."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import asdict, replace
from support.jail_targets import sample_of
from support.jails import MIB, asking, media

from worker.errors import SegmentError
from worker.jail.reply import (
    CONTAINERS,
    ERRORS,
    MAX_TIME_S,
    MPEGTS_WRAP_S,
    REASON_MAX_BYTES,
    Hostile,
    put_error,
    put_sample,
    room_for,
    take_frames,
    take_head,
)
from worker.jail.slot import BODY_AT, Desk, Slot, slot_bytes
from worker.records import CODECS, Ask, Frame, FrameHash, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

MEDIA = media("echo", 1000)
ASK = asking(keyframes=3, side=8)


class Table:
    """A slot with both of its ends in one process."""

    def __init__(self) -> None:
        self.slot = Slot(slot_bytes(MIB))
        self.desk = Desk(os.dup(self.slot.fileno()), self.slot.capacity_bytes)

    def taken(self, ask: Ask = ASK) -> Sample:
        """Take what lies in the slot, as the parent does."""
        return take_frames(self.slot, ask, take_head(self.slot, MEDIA, ask))


@pytest.fixture(scope="module")
def table() -> Iterator[Table]:
    """Return a slot; each test puts its own reply there."""
    table = Table()
    yield table
    table.slot.close()


def frame_of(**fields: Any) -> Frame:
    """Make a frame with some fields of our own."""
    return replace(sample_of(b"x", asking(keyframes=1, side=8)).frames[0], **fields)


times = st.floats(0.0, MAX_TIME_S)
qualities = st.integers(0, 100)
frames = st.builds(
    lambda offset_s, width, quality, pdq, fill: frame_of(
        offset_s=offset_s,
        width=width,
        height=720,
        hash=FrameHash(pdq=pdq if quality >= 50 else None, quality=quality),
        picture=np.full((8, 8, 3), fill, np.uint8),
    ),
    times,
    st.integers(1, 1280),
    qualities,
    st.binary(min_size=32, max_size=32),
    st.integers(0, 255),
)
samples = st.builds(
    lambda frames, **fields: Sample(frames=tuple(frames), keyframes_seen=len(frames), **fields),
    frames=st.lists(frames, max_size=3),
    container=st.sampled_from(CONTAINERS),
    codec=st.sampled_from(CODECS),
    start_s=st.none() | st.floats(-MAX_TIME_S, MAX_TIME_S),
    wrap_s=st.none() | st.just(MPEGTS_WRAP_S),
    duration_s=st.none() | times,
    damaged=st.booleans(),
)


def same(one: Frame, other: Frame) -> bool:
    """Tell whether two frames are equal, pictures included."""
    assert one.picture is not None
    assert other.picture is not None
    plain = [asdict(replace(each, picture=None)) for each in (one, other)]
    return np.array_equal(one.picture, other.picture) and plain[0] == plain[1]


@given(sample=samples)
def test_every_honest_sample_arrives(table: Table, sample: Sample) -> None:
    """What the child puts into the slot is what the parent takes out."""
    put_sample(table.desk, ASK, sample)
    taken = table.taken()
    assert asdict(replace(taken, frames=())) == asdict(replace(sample, frames=()))
    assert all(map(same, taken.frames, sample.frames))
    assert len(taken.frames) == len(sample.frames)


@given(at=st.integers(0, 100) | st.integers(BODY_AT, BODY_AT + 160), scribble=st.binary(min_size=1, max_size=64))
def test_whatever_is_scribbled_over_a_reply_is_refused_or_within_bounds(table: Table, at: int, scribble: bytes) -> None:
    """No bytes in the slot lead to anything but a refusal, a bounded error, or a sample that keeps the rules."""
    put_sample(table.desk, ASK, sample_of(MEDIA.data, ASK))
    table.desk.memory[at : at + len(scribble)] = scribble
    try:
        keeps_the_rules(table.taken())
    except Hostile:
        pass
    except SegmentError as said:
        bounded = said
        assert (bounded.stage, bounded.error) in ERRORS
        assert bounded.reason.isprintable()
        assert len(bounded.reason) <= REASON_MAX_BYTES


def keeps_the_rules(sample: Sample) -> None:
    """Check that a sample is one that the stations after the jail can take as it is."""
    assert len(sample.frames) <= min(ASK.max_keyframes, sample.keyframes_seen)
    assert sample.container in CONTAINERS
    assert sample.codec is None or sample.codec in CODECS
    assert sample.wrap_s in (None, MPEGTS_WRAP_S)
    for value_s in (sample.start_s or 0.0, sample.duration_s or 0.0, *(frame.offset_s for frame in sample.frames)):
        assert math.isfinite(value_s)
    for frame in sample.frames:
        assert 0 < frame.width * frame.height <= ASK.max_pixels
        assert (frame.hash.pdq is not None) == (50 <= frame.hash.quality <= 100)
        assert frame.picture is not None
        assert frame.picture.shape == (8, 8, 3)


@pytest.mark.parametrize(
    "lie",
    [
        {"start_s": math.nan},
        {"start_s": math.inf},
        {"duration_s": -1.0},
        {"duration_s": math.nan},
        {"keyframes_seen": 0},
        {"keyframes_seen": 1001},
        {"codec": None},
        {"frames": (frame_of(),) * 4, "keyframes_seen": 4},
        {"frames": (frame_of(offset_s=math.nan),)},
        {"frames": (frame_of(offset_s=-1.0),)},
        {"frames": (frame_of(width=0),)},
        {"frames": (frame_of(width=0xFFFF_FFFF, height=0xFFFF_FFFF),)},
        {"frames": (frame_of(width=1281),)},
        {"frames": (frame_of(hash=FrameHash(pdq=None, quality=50)),)},
        {"frames": (frame_of(hash=FrameHash(pdq=bytes(32), quality=49)),)},
        {"frames": (frame_of(hash=FrameHash(pdq=bytes(32), quality=101)),)},
    ],
    ids=str,
)
def test_a_lie_is_refused(table: Table, lie: dict[str, Any]) -> None:
    """Each count, size and time that no honest child sends is told apart."""
    put_sample(table.desk, replace(ASK, max_keyframes=4), replace(sample_of(MEDIA.data, ASK), **lie))
    with pytest.raises(Hostile):
        table.taken()


@pytest.mark.parametrize(
    "picture", [np.zeros((8, 9, 3), np.uint8), np.zeros((8, 8, 3), np.float32)], ids=["shape", "dtype"]
)
def test_an_honest_child_refuses_a_picture_of_another_kind(table: Table, picture: Any) -> None:
    """A picture that is not as asked for never gets into the slot."""
    with pytest.raises(ValueError, match="size asked for"):
        put_sample(table.desk, ASK, replace(sample_of(MEDIA.data, ASK), frames=(frame_of(picture=picture),)))


@pytest.mark.parametrize(("stage", "error"), ERRORS)
def test_every_error_of_the_contract_arrives(table: Table, stage: Any, error: str) -> None:
    """With its reason, cut to what fits and without what is not plain text."""
    put_error(table.desk, stage, error, "1920\u00d71080 is too much. " * 20)
    with pytest.raises(SegmentError) as raised:
        table.taken()
    assert (raised.value.stage, raised.value.error) == (stage, error)
    assert raised.value.reason.startswith("1920?1080 is too much.")
    assert len(raised.value.reason) == REASON_MAX_BYTES


@pytest.mark.parametrize("reason", [b"two\nlines", b"\x1b[31m", b"\xff\xd8\xff\xe0", b"nul\0"])
def test_a_reason_that_is_no_plain_line_is_refused(table: Table, reason: bytes) -> None:
    """A child can write no second log line, no terminal's control sequence and no picture into a reason."""
    put_error(table.desk, "decode", "corrupt", "x" * len(reason))
    at = bytes(table.desk.memory[:200]).index(b"x" * len(reason))
    table.desk.memory[at : at + len(reason)] = reason
    with pytest.raises(Hostile):
        table.taken()


def test_a_child_can_say_no_error_that_is_not_its_own() -> None:
    """A timeout is the parent's to say, and other stages' errors are theirs."""
    assert ("decode", "timeout") not in ERRORS
    assert {stage for stage, _ in ERRORS} == {"decode", "fetch"}


@pytest.mark.parametrize("size", [0, 10, BODY_AT, BODY_AT + 200])
def test_a_slot_that_the_child_has_shrunk_is_refused(size: int) -> None:
    """No bus error, no short picture: a reply that is not all there is none."""
    table = Table()
    put_sample(table.desk, ASK, sample_of(MEDIA.data, ASK))
    os.ftruncate(table.slot.fileno(), size)
    with pytest.raises(Hostile):
        table.taken()
    table.slot.close()


def test_what_is_taken_does_not_change_with_the_slot(table: Table) -> None:
    """A child that goes on writing after its reply changes nothing that was taken."""
    put_sample(table.desk, ASK, sample_of(MEDIA.data, ASK))
    taken = table.taken()
    table.desk.memory[: BODY_AT + 1000] = bytes(BODY_AT + 1000)
    assert all(frame.picture is not None and (frame.picture == MEDIA.data[-1]).all() for frame in taken.frames)


def test_room_for_a_reply_is_what_the_largest_one_takes(table: Table) -> None:
    """The bound that the slot is checked against is exact: nothing is written behind it."""
    table.desk.memory[:MIB] = bytes(MIB)
    put_sample(table.desk, ASK, sample_of(MEDIA.data, ASK))
    assert np.flatnonzero(np.frombuffer(table.desk.memory[:MIB], np.uint8))[-1] == room_for(ASK) - 1
