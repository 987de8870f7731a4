"""A child's answer in its slot: how the child puts it there, and how the parent takes it without believing it.

Layout, little-endian, of our own: a fixed head, at ``BODY_AT`` a table with one fixed row a frame, then the pictures,
each as large as the parent asked for. Names travel as indices into the lists below, so a child can say nothing that
is not in them. The child sends one number that the parent computes with, the count of frames; it is bounded first.

The parent copies each byte out of the slot once and looks at the copy only: a child that goes on writing, or one whose
memory somebody else writes, changes nothing that was checked.
"""

from __future__ import annotations

import math
from struct import Struct as Layout
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from worker.errors import SegmentError
from worker.jail.slot import BODY_AT
from worker.records import CODECS, Frame, FrameHash, Sample, StepCosts

if TYPE_CHECKING:
    from worker.errors import Stage
    from worker.jail.slot import Desk, Slot
    from worker.records import Ask, Media, Picture

CONTAINERS = ("mpegts", "mov", "matroska")
ERRORS: tuple[tuple[Stage, str], ...] = (
    ("decode", "container_mismatch"),
    ("decode", "unsupported_codec"),
    ("decode", "encrypted"),
    ("decode", "corrupt"),
    ("decode", "too_many_pixels"),
    ("decode", "too_many_streams"),
    ("decode", "crashed"),
    ("decode", "out_of_memory"),
    ("fetch", "no_init"),
)
"""What a child may say went wrong. A timeout is the parent's to say."""

REASON_MAX_BYTES = 200
MPEGTS_WRAP_S = 2**33 / 90_000
MAX_TIME_S = 2.0**53
HASHED_FROM_QUALITY = 50

_SAMPLE, _ERROR = 1, 2
_HEAD = Layout("<BBBB????IQdd4d")
"""Kind, container, codec plus one or 0, length of the reason; is there a start, a wrap, a duration, is it damaged;
frames (or the error's index), keyframes seen; start and duration in seconds; the four costs in seconds of CPU."""
_ROW = Layout("<dIIB?32s")
"""Offset in seconds, width, height, quality, whether there is a hash, the hash."""


class Hostile(Exception):
    """The reply is not one that an honest child gives. The message is ours: nothing of the child's is in it."""


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The head of a reply that tells of a sample, copied and checked; its frames still unread."""

    sample: Sample
    rows: int
    bytes_to_come: int


# --- in the child ---------------------------------------------------------------------------------------------------


def put_sample(desk: Desk, ask: Ask, sample: Sample) -> None:
    """Write a sample into the slot. Raises ValueError or struct.error when it is not what was asked for."""
    head = _HEAD.pack(
        _SAMPLE,
        CONTAINERS.index(sample.container),
        0 if sample.codec is None else CODECS.index(sample.codec) + 1,
        0,
        sample.start_s is not None,
        sample.wrap_s is not None,
        sample.duration_s is not None,
        sample.damaged,
        len(sample.frames),
        sample.keyframes_seen,
        sample.start_s or 0.0,
        sample.duration_s or 0.0,
        *(sample.costs.open_s, sample.costs.decode_s, sample.costs.hash_s, sample.costs.resize_s),
    )
    desk.memory[: len(head)] = head
    pictures_at = BODY_AT + _ROW.size * len(sample.frames)
    for index, frame in enumerate(sample.frames):
        _ROW.pack_into(desk.memory, BODY_AT + index * _ROW.size, *_row(frame))
        if ask.view is not None and frame.picture is not None:
            pictures_at = _put_picture(desk, pictures_at, frame.picture, (ask.view.height, ask.view.width, 3))


def put_error(desk: Desk, stage: Stage, error: str, reason: str) -> None:
    """Write what went wrong into the slot. Raises ValueError when the error is none of the contract's."""
    index = ERRORS.index((stage, error))
    text = reason.encode("ascii", "replace")[:REASON_MAX_BYTES]
    head = _HEAD.pack(_ERROR, 0, 0, len(text), False, False, False, False, index, 0, 0, 0, 0, 0, 0, 0)
    desk.memory[: len(head) + len(text)] = head + text


def _row(frame: Frame) -> tuple[float, int, int, int, bool, bytes]:
    pdq = frame.hash.pdq
    return frame.offset_s, frame.width, frame.height, frame.hash.quality, pdq is not None, pdq or b""


def _put_picture(desk: Desk, at: int, picture: Picture, shape: tuple[int, int, int]) -> int:
    if picture.shape != shape or picture.dtype != np.uint8:
        raise ValueError("the picture is not of the size asked for")
    np.frombuffer(desk.memory, np.uint8, picture.size, at).reshape(shape)[:] = picture
    return at + picture.size


# --- in the parent --------------------------------------------------------------------------------------------------


def room_for(ask: Ask) -> int:
    """Return how many bytes of slot the largest honest reply takes."""
    return BODY_AT + ask.max_keyframes * (_ROW.size + _picture_bytes(ask))


def take_head(slot: Slot, media: Media, ask: Ask) -> Head:
    """Copy the head of the reply, check it, and return it.

    Raises SegmentError where the child says that something went wrong, Hostile where it says nothing valid.
    """
    copy = bytearray(_HEAD.size + REASON_MAX_BYTES)
    _copy(slot, [memoryview(copy)], 0)
    kind, container, codec, reason_length, *rest = _HEAD.unpack_from(copy)
    if kind == _ERROR:
        raise _error(rest[4], bytes(copy[_HEAD.size :]), reason_length)
    _demand(kind == _SAMPLE, "kind of reply")
    has_start, has_wrap, has_duration, damaged, rows, keyframes_seen, start_s, duration_s, *costs = rest
    _demand(container < len(CONTAINERS), "container")
    _demand(codec <= len(CODECS), "codec")
    _demand(rows <= ask.max_keyframes, "number of frames")
    _demand(rows <= keyframes_seen <= len(media.data) + len(media.init or b""), "number of keyframes")
    _demand(codec > 0 or keyframes_seen == 0, "keyframes without video")
    _demand(all(0.0 <= cost <= MAX_TIME_S for cost in costs), "costs")
    sample = Sample(
        container=CONTAINERS[container],
        codec=CODECS[codec - 1] if codec else None,
        start_s=_time(start_s, -MAX_TIME_S) if has_start else None,
        wrap_s=MPEGTS_WRAP_S if has_wrap else None,
        duration_s=_time(duration_s, 0.0) if has_duration else None,
        keyframes_seen=keyframes_seen,
        frames=(),
        damaged=damaged,
        costs=StepCosts(open_s=costs[0], decode_s=costs[1], hash_s=costs[2], resize_s=costs[3]),
    )
    return Head(sample=sample, rows=rows, bytes_to_come=rows * (_ROW.size + _picture_bytes(ask)))


def take_frames(slot: Slot, ask: Ask, head: Head) -> Sample:
    """Copy the frames and their pictures, check them, and return the whole sample. Raises Hostile."""
    table = bytearray(head.rows * _ROW.size)
    pictures: list[Picture] = []
    if ask.view is not None:
        pictures = [np.empty((ask.view.height, ask.view.width, 3), np.uint8) for _ in range(head.rows)]
    _copy(slot, [memoryview(table), *(picture.reshape(-1).data for picture in pictures)], BODY_AT)
    frames = tuple(
        _frame(row, ask, pictures[index] if pictures else None) for index, row in enumerate(_ROW.iter_unpack(table))
    )
    return msgspec.structs.replace(head.sample, frames=frames)


def _error(index: int, text: bytes, length: int) -> SegmentError:
    _demand(index < len(ERRORS), "error")
    _demand(length <= REASON_MAX_BYTES, "length of the reason")
    reason = text[:length].decode("latin-1")
    _demand(reason.isascii() and reason.isprintable(), "text of the reason")
    stage, error = ERRORS[index]
    return SegmentError(stage, error, reason)


def _frame(row: tuple[float, int, int, int, bool, bytes], ask: Ask, picture: Picture | None) -> Frame:
    offset_s, width, height, quality, has_hash, pdq = row
    _demand(width >= 1 and height >= 1 and width * height <= ask.max_pixels, "size of a frame")
    _demand(quality <= 100, "quality")  # noqa: PLR2004  # the scale ends there
    _demand(has_hash == (quality >= HASHED_FROM_QUALITY), "hash without quality, or the reverse")
    return Frame(
        offset_s=_time(offset_s, 0.0),
        width=width,
        height=height,
        hash=FrameHash(pdq=pdq if has_hash else None, quality=quality),
        picture=picture,
    )


def _picture_bytes(ask: Ask) -> int:
    return ask.view.height * ask.view.width * 3 if ask.view is not None else 0


def _time(value_s: float, least_s: float) -> float:
    _demand(math.isfinite(value_s) and least_s <= value_s <= MAX_TIME_S, "a time")
    return value_s


def _copy(slot: Slot, buffers: list[memoryview], at: int) -> None:
    _demand(slot.read_into(buffers, at), "size of the slot")


def _demand(holds: bool, what: str) -> None:  # noqa: FBT001  # the condition is the point
    if not holds:
        raise Hostile(what)
