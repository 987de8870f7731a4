"""The slot: what goes in comes out at the other end, and nothing stays."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.jails import MIB, asking

from worker.jail.slot import KEEP_BYTES, Desk, Slot, slot_bytes
from worker.records import Media

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def slot() -> Iterator[Slot]:
    """Return a slot."""
    slot = Slot(slot_bytes(MIB))
    yield slot
    slot.close()


@given(data=st.binary(), init=st.none() | st.binary())
def test_a_request_arrives_as_it_was_written(slot: Slot, data: bytes, init: bytes | None) -> None:
    """Segment, initialisation (none is not an empty one) and what is asked."""
    slot.write(Media(data=data, init=init, sha256=""), asking(side=3))
    request = Desk(os.dup(slot.fileno()), slot.capacity_bytes).request()
    assert (bytes(request.data), request.init, request.ask) == (data, init, asking(side=3))
    assert request.data.readonly


@pytest.mark.parametrize("size", [1, MIB, KEEP_BYTES, 3 * KEEP_BYTES])
def test_a_wiped_slot_is_empty_and_keeps_little_memory(size: int) -> None:
    """Nothing of the segment is left, and what was large was given back to the system."""
    slot = Slot(slot_bytes(16 * MIB))
    slot.write(Media(data=b"\xff" * size, init=b"\xff" * 10, sha256=""), asking())
    slot.wipe()
    copy = bytearray(slot.capacity_bytes)
    assert slot.read_into([memoryview(copy)], 0)
    assert not np.frombuffer(copy, np.uint8).any()
    assert os.fstat(slot.fileno()).st_blocks * 512 <= KEEP_BYTES + 64 * 1024
    slot.close()


def test_a_closed_slot_is_not_written_to() -> None:
    """Its descriptor may be another file's by then."""
    slot = Slot(slot_bytes(MIB))
    slot.close()
    with pytest.raises(ValueError, match="closed"):
        slot.write(Media(data=b"x", init=None, sha256=""), asking())
