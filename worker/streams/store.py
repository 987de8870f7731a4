"""What is remembered of all streams of one partition, and the records that keep it.

A stream at rest is its snapshot's bytes: small, quick to restore, and decoded only when its next record comes. Keys on
the risk topic: a stream's id is its snapshot; the others are no UTF-8, so that no stream id is one of them.

- ``PRESERVE`` and the stream's id: its segments to preserve, packed; written when there are ``LOOSE`` new ones.
- ``SHARED`` and a digest: an initialisation segment, once for all the streams that name it in their snapshots.
- ``INITIALISATION`` and the stream's id: an initialisation as an older Framewatch kept it; read, and moved.
"""

from __future__ import annotations

from collections import Counter
from itertools import islice
from operator import itemgetter
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from worker.errors import Stopped
from worker.streams.initialisations import SHARED, Initialisations, digest_of
from worker.streams.lowest import Lowest
from worker.streams.state import StreamState, head, restore, snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from worker.settings.tree import Streams

PRESERVE = b"\xffpreserve\xff"
INITIALISATION = b"\xffinit\xff"
BATCH = 1000
"""So many idle streams are let go with one release: the next one takes more."""

Why = Literal["ended", "idle", "crowded"]


class Silent(Struct, frozen=True):
    """A stream with an open incident from which nothing has come for long."""

    state: StreamState
    final: bool
    """Nobody is waited for any longer: the incident closes whatever it is."""


class Census(Struct, frozen=True):
    """How many streams a partition remembers, how large that is, and how many it has let go since the last one."""

    streams: int
    size_bytes: int
    """Of all that is kept, without what Python needs to hold it."""
    gone: tuple[tuple[Why, int], ...]
    open_incidents: int = 0
    """How many of the streams have an open incident."""


class Store:
    """The streams of one partition. What changes is taken with ``take``: the records that keep it."""

    def __init__(self, limits: Streams) -> None:
        """``limits`` says how many streams are remembered and how long."""
        self._limits = limits
        self._packed: dict[bytes, bytes] = {}
        """Snapshots by key; the stream that was heard longest ago first. An OrderedDict takes 90 bytes more of each."""
        self._changed: dict[str, StreamState] = {}
        self._older: dict[bytes, bytes] = {}
        self._legacy: dict[bytes, bytes] = {}
        self._foreign: dict[bytes, bytes] = {}
        """What somebody else has written there."""
        self._records: dict[bytes, bytes | None] = {}
        self._inits = Initialisations(self._records)
        self._gone: Counter[Why] = Counter()
        self._open: set[bytes] = set()
        """Keys of the streams with an open incident, as of their snapshots."""
        self._lowest = Lowest()
        self._size_bytes = 0

    # --- restoring ---

    def learn(self, key: bytes, value: bytes | None) -> None:
        """Take one record in; the newest of a key counts."""
        if key.startswith(b"\xff"):
            self._learn_other(key, value)
        elif not _is_text(key):
            _set(self._foreign, key, value)
        else:
            _set(self._packed, key, value or None)

    def _learn_other(self, key: bytes, value: bytes | None) -> None:
        if key.startswith(PRESERVE):
            _set(self._older, key.removeprefix(PRESERVE), value)
        elif key.startswith(SHARED):
            self._inits.learn(key.removeprefix(SHARED), value)
        elif key.startswith(INITIALISATION):
            _set(self._legacy, key.removeprefix(INITIALISATION), value)

    def settle(self) -> float:
        """Check what was learnt, and return where the partition's clock stood. To be called after the last ``learn``.

        Raises:
            Stopped: A record is damaged or missing, or a newer Framewatch wrote it.
        """
        if self._foreign:
            raise Stopped("a key on the risk topic is no stream id: something else has written there")
        users: Counter[bytes] = Counter()
        heard: list[tuple[float, bytes]] = []
        for key, data in self._packed.items():
            found = head(data)
            heard.append((found.heard_ms, key))
            self._note_incident(key, is_open=found.open)
            if found.init is not None:
                users[found.init] += 1
        self._inits.settle(users)
        # Put in order here rather than with each record: taken out and put in again, a dict grows to twice its size.
        heard.sort(key=itemgetter(0))
        self._packed = {key: self._packed[key] for _, key in heard}
        self._size_bytes = sum(map(len, self._packed.values())) + sum(map(len, self._older.values()))
        for key, data in self._legacy.items():
            self._records[INITIALISATION + key] = None
            self.put_initialisation(key.decode(), data)
        self._legacy.clear()
        return heard[-1][0] if heard else 0.0

    # --- one stream ---

    def get(self, stream_id: str) -> StreamState:
        """Return what is remembered of a stream; a fresh memory where nothing is."""
        if (state := self._changed.get(stream_id)) is not None:
            return state
        key = stream_id.encode()
        if (data := self._packed.get(key)) is None:
            return StreamState(stream_id=stream_id)
        return restore(stream_id, data, self._older.get(key, b""))

    def initialisation(self, stream_id: str) -> bytes | None:
        """Return the stream's initialisation segment; None where it has none."""
        return self._inits.get(self.get(stream_id).init)

    def put(self, state: StreamState) -> None:
        """Remember a stream as it is now."""
        self._changed[state.stream_id] = state

    def put_initialisation(self, stream_id: str, data: bytes) -> None:
        """Remember a stream's initialisation segment in place of the one before."""
        before = self.get(stream_id)
        if before.init == digest_of(data):
            return
        digest = self._inits.use(data)
        self._inits.release(before.init)
        self.put(replace(before, init=digest))

    # --- moving (worker.moving) ---

    def ids(self) -> tuple[str, ...]:
        """Return the streams that are remembered, as of the last ``pack``."""
        return tuple(map(bytes.decode, self._packed))

    def forget(self, stream_id: str) -> None:
        """Forget a stream that is remembered elsewhere from now on."""
        self._forget(stream_id.encode(), self.get(stream_id).init, "ended")

    def with_incidents(self) -> Iterator[StreamState]:
        """Yield the streams with an open incident, as of the last ``pack``."""
        return (self.get(key.decode()) for key in tuple(self._open))

    # --- letting go ---

    def pack(self, busy: Collection[str]) -> None:
        """Make snapshots of what has changed; what has ended and left nothing worth remembering is forgotten.

        ``busy`` are the streams with work waiting. A risk outlives the end of its stream until it is idle: who
        reconnects is not washed clean.
        """
        changed, self._changed = self._changed, {}
        for stream_id, state in changed.items():
            if state.ended and state.risk.value <= 0 and state.risk.incident is None and stream_id not in busy:
                self._forget(stream_id.encode(), state.init, "ended")
            else:
                self._pack(state)

    def silent(self, now_ms: float, busy: Collection[str]) -> Iterator[Silent]:
        """Forget the streams that nothing came from for long; yield those whose open incident has to be told first.

        The taker hands each of those to ``close`` before the next. ``now_ms`` is by the partition's own clock.
        """
        since_ms = now_ms - self._limits.idle_s * 1000
        for key in tuple(islice(self._packed, BATCH)):
            if (found := head(self._packed[key])).heard_ms > since_ms:
                return
            stream_id = key.decode()
            if stream_id in busy:
                self._packed[key] = self._packed.pop(key)
            elif found.open:
                final = found.heard_ms <= now_ms - self._limits.unreviewed_s * 1000
                yield Silent(self.get(stream_id), final)
            else:
                self._forget(key, found.init, "idle")

    def close(self, state: StreamState) -> None:
        """Take back a silent stream: it is forgotten with its incident, or kept as long as that stays open."""
        key = state.stream_id.encode()
        if state.risk.incident is None:
            self._forget(key, state.init, "idle")
        elif snapshot(state) == self._packed.get(key):
            self._packed[key] = self._packed.pop(key)
        else:
            self._pack(state)

    def evict(self, busy: Collection[str]) -> None:
        """Forget the streams of the lowest risk above the most that are remembered; never one with an open incident.

        Of the same risk, the one goes that was heard longest ago.
        """
        while len(self._packed) > self._limits.max:
            key = self._lowest.pop(self._packed, busy)
            if key is None:  # all have work waiting or an incident: more of them than anybody could review
                return
            self._forget(key, head(self._packed[key]).init, "crowded")

    def forget_all(self) -> None:
        """Forget every stream."""
        keys = [*self._foreign, *self._packed, *(PRESERVE + key for key in self._older)]
        self._records.update(dict.fromkeys(keys))
        for kept in (self._foreign, self._packed, self._changed, self._older, self._inits, self._open):
            kept.clear()
        self._size_bytes = 0

    def take(self) -> list[tuple[bytes, bytes | None]]:
        """Return the records that keep everything packed and forgotten since the last call."""
        records = list(self._records.items())
        self._records.clear()
        return records

    def census(self) -> Census:
        """Return what is remembered now, and count anew who goes."""
        gone, self._gone = tuple(self._gone.items()), Counter()
        return Census(len(self._packed), self._size_bytes + self._inits.size_bytes, gone, len(self._open))

    # --- records ---

    def _pack(self, state: StreamState) -> None:
        key = state.stream_id.encode()
        # A copy of the exact size: an encoder's buffer is cut to it, and the cuttings stay in the heap as holes.
        data = bytes(memoryview(snapshot(state)))
        self._size_bytes += len(data) - len(self._packed.pop(key, b""))
        self._packed[key] = self._records[key] = data
        before = self._older.get(key, b"")
        if state.older != before:
            self._size_bytes += len(state.older) - len(before)
            self._older[key] = self._records[PRESERVE + key] = state.older
        self._note_incident(key, is_open=state.risk.incident is not None)
        self._lowest.note(state.risk.value, key)

    def _note_incident(self, key: bytes, *, is_open: bool) -> None:
        (self._open.add if is_open else self._open.discard)(key)

    def _forget(self, key: bytes, init: bytes | None, why: Why) -> None:
        self._gone[why] += 1
        self._open.discard(key)
        self._size_bytes -= len(self._packed.pop(key, b""))
        self._records[key] = None
        if (older := self._older.pop(key, None)) is not None:
            self._size_bytes -= len(older)
            self._records[PRESERVE + key] = None
        self._inits.release(init)


def _is_text(key: bytes) -> bool:
    try:
        key.decode()
    except UnicodeDecodeError:
        return False
    return True


def _set(into: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        into.pop(key, None)
    else:
        into[key] = value
