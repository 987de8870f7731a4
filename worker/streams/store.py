"""What is remembered of all streams of one partition, and the records that keep it.

A stream at rest is its snapshot's bytes: small, quick to restore, and decoded only when its next record comes. Keys on
the risk topic: a stream's id is its snapshot; the others are no UTF-8, so that no stream id is one of them.

- ``PRESERVE`` and the stream's id: its segments to preserve, packed; written when there are ``LOOSE`` new ones.
- ``SHARED`` and a digest: an initialisation segment, once for all the streams that name it in their snapshots.
- ``INITIALISATION`` and the stream's id: an initialisation as an older Framewatch kept it; read, and moved.
"""

from __future__ import annotations

import hashlib
import heapq
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Literal

from msgspec import Struct
from msgspec.structs import replace

from worker.errors import Stopped
from worker.streams.state import StreamState, head, restore, snapshot

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from worker.settings.tree import Streams
    from worker.streams.state import Head

PRESERVE = b"\xffpreserve\xff"
SHARED = b"\xffshared\xff"
INITIALISATION = b"\xffinit\xff"
DIGEST_BYTES = 16
BATCH = 1000
"""So many idle streams are let go with one release: the next one takes more."""

SCANNED = 8
"""At least so many of the lowest a scan finds."""

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


class Store:
    """The streams of one partition. What changes is taken with ``take``: the records that keep it."""

    def __init__(self, limits: Streams) -> None:
        """``limits`` says how many streams are remembered and how long."""
        self._limits = limits
        self._packed: OrderedDict[bytes, bytes] = OrderedDict()
        """Snapshots by key; the stream that was heard longest ago first."""
        self._changed: dict[str, StreamState] = {}
        self._older: dict[bytes, bytes] = {}
        self._inits: dict[bytes, bytes] = {}
        self._users: Counter[bytes] = Counter()
        self._legacy: dict[bytes, bytes] = {}
        self._records: dict[bytes, bytes | None] = {}
        self._gone: Counter[Why] = Counter()
        self._lowest = _Lowest()
        self._size_bytes = 0

    # --- restoring ---

    def learn(self, key: bytes, value: bytes | None) -> None:
        """Take one record in; the newest of a key counts. Raises Stopped where the key is nobody's."""
        if not key.startswith(b"\xff"):
            _stream_id(key)
            self._packed.pop(key, None)
            if value:
                self._packed[key] = value
        elif key.startswith(PRESERVE):
            _set(self._older, key.removeprefix(PRESERVE), value)
        elif key.startswith(SHARED):
            _set(self._inits, key.removeprefix(SHARED), value)
        elif key.startswith(INITIALISATION):
            _set(self._legacy, key.removeprefix(INITIALISATION), value)

    def settle(self) -> float:
        """Check what was learnt, and return where the partition's clock stood. To be called after the last ``learn``.

        Raises:
            Stopped: A record is damaged or missing, or a newer Framewatch wrote it.
        """
        heard_ms = 0.0
        for data in self._packed.values():
            found = head(data)
            heard_ms = max(heard_ms, found.heard_ms)
            if found.init is not None:
                self._users[found.init] += 1
        if self._users.keys() - self._inits.keys():
            raise Stopped("an initialisation that a stream's snapshot names is not on the risk topic")
        self._size_bytes = sum(map(len, self._packed.values())) + sum(map(len, self._older.values()))
        for digest in self._inits.keys() - self._users.keys():
            self._drop_init(digest)
        for key, data in self._legacy.items():
            self._records[INITIALISATION + key] = None
            self.put_initialisation(_stream_id(key), data)
        self._legacy.clear()
        return heard_ms

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
        digest = self.get(stream_id).init
        return None if digest is None else self._inits.get(digest)

    def put(self, state: StreamState) -> None:
        """Remember a stream as it is now."""
        self._changed[state.stream_id] = state

    def put_initialisation(self, stream_id: str, data: bytes) -> None:
        """Remember a stream's initialisation segment in place of the one before."""
        digest = hashlib.sha256(data).digest()[:DIGEST_BYTES]
        before = self.get(stream_id)
        if before.init == digest:
            return
        if digest not in self._inits:
            self._inits[digest] = data
            self._records[SHARED + digest] = data
        self._users[digest] += 1
        self._release_init(before.init)
        self.put(replace(before, init=digest))

    # --- moving (worker.moving) ---

    def ids(self) -> tuple[str, ...]:
        """Return the streams that are remembered, as of the last ``pack``."""
        return tuple(map(_stream_id, self._packed))

    def forget(self, stream_id: str) -> None:
        """Forget a stream that is remembered elsewhere from now on."""
        self._forget(stream_id.encode(), self.get(stream_id).init, "ended")

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
        for _ in range(min(BATCH, len(self._packed))):
            key = next(iter(self._packed))
            if (found := head(self._packed[key])).heard_ms > since_ms:
                return
            stream_id = key.decode()
            if stream_id in busy:
                self._packed.move_to_end(key)
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
            self._packed.move_to_end(key)
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
        keys = [*self._packed, *(PRESERVE + key for key in self._older), *(SHARED + digest for digest in self._inits)]
        self._records.update(dict.fromkeys(keys))
        for kept in (self._packed, self._changed, self._older, self._inits, self._users):
            kept.clear()
        self._size_bytes = 0

    def take(self) -> list[tuple[bytes, bytes | None]]:
        """Return the records that keep everything packed and forgotten since the last call."""
        records, self._records = list(self._records.items()), {}
        return records

    def census(self) -> Census:
        """Return what is remembered now, and count anew who goes."""
        gone, self._gone = tuple(self._gone.items()), Counter()
        return Census(len(self._packed), self._size_bytes + sum(map(len, self._inits.values())), gone)

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
        self._lowest.note(state.risk.value, key)

    def _forget(self, key: bytes, init: bytes | None, why: Why) -> None:
        self._gone[why] += 1
        self._size_bytes -= len(self._packed.pop(key, b""))
        self._records[key] = None
        if (older := self._older.pop(key, None)) is not None:
            self._size_bytes -= len(older)
            self._records[PRESERVE + key] = None
        self._release_init(init)

    def _release_init(self, digest: bytes | None) -> None:
        if digest is None:
            return
        self._users[digest] -= 1
        if self._users[digest] <= 0:
            del self._users[digest]
            self._drop_init(digest)

    def _drop_init(self, digest: bytes) -> None:
        self._inits.pop(digest, None)
        self._records[SHARED + digest] = None


class _Lowest:
    """Finds the stream of the lowest risk: a scan now and then, and a heap of its lowest and of what changed since.

    What a scan left out and what has not changed since is riskier than ``_bound``, or as risky and heard later: the
    lowest of the heap is the lowest of all as long as it is not above that.
    """

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, bytes]] = []
        self._latest: dict[bytes, int] = {}
        """Order of the newest entry of what has changed since the scan: those before it no longer hold."""
        self._bound = (0.0, 0)
        self._most = 0
        self._order = 0

    def note(self, risk: float, key: bytes) -> None:
        """Note a stream's risk where it has changed."""
        if not self._heap:
            return
        if len(self._heap) >= self._most:
            self._heap.clear()
            self._latest.clear()
            return
        self._order += 1
        self._latest[key] = self._order
        heapq.heappush(self._heap, (risk, self._order, key))

    def pop(self, packed: OrderedDict[bytes, bytes], busy: Collection[str]) -> bytes | None:
        """Return the stream to evict; None where none may be."""
        scanned = False
        while True:
            while self._heap:
                risk, order, key = heapq.heappop(self._heap)
                if (risk, order) > self._bound and not scanned:
                    break
                if (
                    self._latest.get(key, order) == order
                    and key in packed
                    and _may_go(head(packed[key]), risk)
                    and key.decode() not in busy
                ):
                    return key
            if scanned:
                return None
            self._scan(packed, busy)
            scanned = True

    def _scan(self, packed: OrderedDict[bytes, bytes], busy: Collection[str]) -> None:
        found = ((head(data), key) for key, data in packed.items() if key.decode() not in busy)
        candidates = ((one.risk, order, key) for order, (one, key) in enumerate(found) if not one.open)
        self._heap = heapq.nsmallest(max(SCANNED, len(packed) // 10), candidates)
        self._bound = self._heap[-1][:2] if self._heap else (0.0, 0)
        self._latest.clear()
        self._most = 4 * len(self._heap) + 64
        self._order = len(packed)


def _may_go(found: Head, risk: float) -> bool:
    """Return whether a stream has no incident, and its risk is still what it was noted with."""
    return not found.open and found.risk == risk


def _stream_id(key: bytes) -> str:
    try:
        return key.decode()
    except UnicodeDecodeError as error:
        raise Stopped("a key on the risk topic is no stream id: something else has written there") from error


def _set(into: dict[bytes, bytes], key: bytes, value: bytes | None) -> None:
    if value is None:
        into.pop(key, None)
    else:
        into[key] = value
