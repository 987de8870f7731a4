"""The shared memory between the parent and one child: a request, or the reply in its place.

    byte 0      head, of the request or of the reply
    byte 4096   request: the segment, then its initialisation      reply: a table of frames, then their pictures

Only the child maps it. The parent reads and writes with ``preadv`` and ``pwrite``: those copy without holding the
interpreter, and a child that shrinks the file gives a short read where a mapping would give the parent a bus error.
"""

from __future__ import annotations

import mmap
import os
import sys
import tempfile
from struct import Struct as Layout
from typing import TYPE_CHECKING

import msgspec

from worker.errors import UsageError
from worker.records import Ask

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.records import Media

BODY_AT = 4096
INIT_MAX_BYTES = 256 * 1024
REPLY_MAX_BYTES = 256 * 1024 * 1024
"""Room for the pictures of one reply. Memory is taken only where it is written, so room costs nothing."""

KEEP_BYTES = 4 * 1024 * 1024
"""What a slot keeps between segments, overwritten with zeros: cheaper than new pages. The rest is given back."""

_ZEROS = memoryview(bytes(KEEP_BYTES))

_REQUEST = Layout("<QQ?I")
"""Length of the segment, length of the initialisation, whether there is one, length of the Ask after this."""

_ask_encoder = msgspec.msgpack.Encoder()
_ask_decoder = msgspec.msgpack.Decoder(Ask)


class Request(msgspec.Struct, frozen=True, kw_only=True):
    """What a child finds in its slot. ``data`` is the slot's memory itself, read-only."""

    data: memoryview
    init: bytes | None
    ask: Ask


def slot_bytes(max_bytes: int) -> int:
    """Return how large a slot must be for segments of ``max_bytes``, a whole number of pages."""
    needed = BODY_AT + max(max_bytes + INIT_MAX_BYTES, REPLY_MAX_BYTES)
    return -(-needed // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY


class Slot:
    """The parent's end. Not safe for use by two at once; ``close`` only when no other thread is in a call."""

    def __init__(self, capacity_bytes: int) -> None:
        """Make an empty slot; no memory is taken yet."""
        self.capacity_bytes = capacity_bytes
        self._fd: int | None = _anonymous_file()
        os.ftruncate(self._fd, capacity_bytes)
        self._used_bytes = 0

    def fileno(self) -> int:
        """Return the descriptor, to be handed to the child. Raises ValueError when closed."""
        if self._fd is None:
            raise ValueError("the slot is closed")
        return self._fd

    def write(self, media: Media, ask: Ask) -> None:
        """Put a request into the slot."""
        init = media.init or b""
        encoded = _ask_encoder.encode(ask)
        head = _REQUEST.pack(len(media.data), len(init), media.init is not None, len(encoded)) + encoded
        if len(head) > BODY_AT:
            raise UsageError("what is asked of the decoder does not fit its slot")
        self._used_bytes = max(self._used_bytes, BODY_AT + len(media.data) + len(init))
        _write_all(self.fileno(), head, 0)
        _write_all(self.fileno(), media.data, BODY_AT)
        _write_all(self.fileno(), init, BODY_AT + len(media.data))

    def read_into(self, buffers: Sequence[memoryview], at: int) -> bool:
        """Copy out of the slot, one buffer after the other; False where the child has made the slot too short."""
        for buffer in buffers:
            if os.preadv(self.fileno(), [buffer], at) != len(buffer):
                return False
            at += len(buffer)
        self._used_bytes = max(self._used_bytes, at)
        return True

    def wipe(self) -> None:
        """Overwrite what was used, and give back the memory of what was large."""
        if self._used_bytes > KEEP_BYTES:
            os.ftruncate(self.fileno(), KEEP_BYTES)
            os.ftruncate(self.fileno(), self.capacity_bytes)
        _write_all(self.fileno(), _ZEROS[: self._used_bytes], 0)
        self._used_bytes = 0

    @property
    def used_bytes(self) -> int:
        """How much of it was used since it was last wiped."""
        return self._used_bytes

    def close(self) -> None:
        """Let go of it; the memory goes when the child is gone as well."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


class Desk:
    """The child's end: the slot mapped."""

    def __init__(self, fd: int, capacity_bytes: int) -> None:
        """Map the slot; its descriptor is used up."""
        self._map = mmap.mmap(fd, capacity_bytes)
        os.close(fd)
        self.memory = memoryview(self._map)

    def request(self) -> Request:
        """Return what is asked."""
        data_length, init_length, has_init, ask_length = _REQUEST.unpack_from(self.memory)
        ask = _ask_decoder.decode(self.memory[_REQUEST.size : _REQUEST.size + ask_length])
        init_at = BODY_AT + data_length
        init = bytes(self.memory[init_at : init_at + init_length]) if has_init else None
        return Request(data=self.memory[BODY_AT:init_at].toreadonly(), init=init, ask=ask)


def _anonymous_file() -> int:
    if sys.platform == "linux":
        return os.memfd_create("framewatch-slot", os.MFD_CLOEXEC)
    else:  # noqa: RET505  # mypy reads the platform's branch by its form
        with tempfile.TemporaryFile() as file:
            return os.dup(file.fileno())


def _write_all(fd: int, data: bytes | memoryview, at: int) -> None:
    rest = memoryview(data)
    while rest:
        written = os.pwrite(fd, rest, at)
        rest, at = rest[written:], at + written
