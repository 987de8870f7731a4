"""Initialisation segments of all streams of one partition: each once, for all the streams that have the same."""

from __future__ import annotations

import hashlib
from collections import Counter

from worker.errors import Stopped

SHARED = b"\xffshared\xff"
"""With a digest behind it, the key of an initialisation segment on the risk topic."""
DIGEST_BYTES = 16


class Initialisations:
    """Which initialisation segments there are, by digest, and by how many streams' snapshots each is named."""

    def __init__(self, records: dict[bytes, bytes | None]) -> None:
        """``records`` is where the records are put that keep what has changed."""
        self._records = records
        self._data: dict[bytes, bytes] = {}
        self._users: Counter[bytes] = Counter()

    @property
    def size_bytes(self) -> int:
        """Of all of them."""
        return sum(map(len, self._data.values()))

    def get(self, digest: bytes | None) -> bytes | None:
        """Return what has this digest; None where nothing has."""
        return None if digest is None else self._data.get(digest)

    def learn(self, digest: bytes, data: bytes | None) -> None:
        """Take one record in; None forgets it."""
        if data is None:
            self._data.pop(digest, None)
        else:
            self._data[digest] = data

    def settle(self, users: Counter[bytes]) -> None:
        """Compare what was learnt with what the snapshots name: ``users`` has their number by digest.

        Raises:
            Stopped: One that is named is missing.
        """
        self._users = users
        if users.keys() - self._data.keys():
            raise Stopped("an initialisation that a stream's snapshot names is not on the risk topic")
        for digest in self._data.keys() - users.keys():
            self._drop(digest)

    def use(self, data: bytes) -> bytes:
        """Keep an initialisation segment for one more stream, and return its digest."""
        digest = digest_of(data)
        if digest not in self._data:
            self._data[digest] = data
            self._records[SHARED + digest] = data
        self._users[digest] += 1
        return digest

    def release(self, digest: bytes | None) -> None:
        """Forget one stream's use of it; with the last one it goes."""
        if digest is None:
            return
        self._users[digest] -= 1
        if self._users[digest] <= 0:
            del self._users[digest]
            self._drop(digest)

    def clear(self) -> None:
        """Forget all."""
        for digest in tuple(self._data):
            self._drop(digest)
        self._users.clear()

    def _drop(self, digest: bytes) -> None:
        self._data.pop(digest, None)
        self._records[SHARED + digest] = None


def digest_of(data: bytes) -> bytes:
    """Return the digest that an initialisation segment is known by: the first 16 bytes of its SHA-256."""
    return hashlib.sha256(data).digest()[:DIGEST_BYTES]
