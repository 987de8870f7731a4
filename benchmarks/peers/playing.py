"""What all pipelines are given: streams of a few segments, and a list with one of their pictures on it.

The segments of a stream show different pictures, one after the other on its clock: nobody meets one twice in a row.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks import clips
from benchmarks.rig import known, topics
from benchmarks.rig.publishing import Due

if TYPE_CHECKING:
    import numpy as np

LIFE = 4
"""Segments of a stream."""
PICTURES = 3
"""Quiet ones; and one more that is known."""
KNOWN_EVERY = 5
"""Of so many streams, one ends with the known picture."""
LOW_PER_S = 4.0
LIST_SIZE = 10_000


def bodies(recipe: clips.Recipe, seed: int) -> tuple[bytes, ...]:
    """Encode the pictures, each at each place of a stream's clock."""
    wholes = [clips.encode(recipe, seed + number, frames=clips.SECONDS * clips.FPS) for number in range(PICTURES + 1)]
    return tuple(clips.transport(whole, start_s=n * clips.SECONDS) for n in range(LIFE) for whole in wholes)


def hash_list(folder: Path, shown: bytes, rng: np.random.Generator) -> str:
    """Make a block list with the keyframe of a segment on it, among random ones, and return its path."""
    path = Path(known.listed(folder, shown))
    lines = "".join(rng.bytes(32).hex() + "\n" for _ in range(LIST_SIZE - 1))
    with (path / "known.txt").open("a") as file:
        file.write(lines)
    return str(path)


def streams(stem: str, count: int) -> list[Due]:
    """Return so many segments of streams that are a few segments long; some streams end with what is known."""
    due = []
    for number in range(count):
        stream, sequence = divmod(number, LIFE)
        ends = sequence == LIFE - 1 and stream % KNOWN_EVERY == 0
        due.append(_due(f"{stem}-{stream}", sequence, stream, PICTURES if ends else (stream + sequence) % PICTURES))
    return due


def singles(stem: str, count: int) -> list[Due]:
    """Return so many streams of one segment, every other one known; each at its time."""
    return [
        _due(f"{stem}-{number}", 0, number, PICTURES if number % 2 else number % PICTURES, at_s=number / LOW_PER_S)
        for number in range(count)
    ]


def _due(stream: str, sequence: int, number: int, picture: int, *, at_s: float = 0.0) -> Due:
    body = sequence * (PICTURES + 1) + picture
    return Due(at_s=at_s, stream_id=stream, sequence=sequence, partition=number % topics.PARTITIONS, body=body)


def is_known(due: Due) -> bool:
    """Whether a segment shows the picture on the list."""
    return isinstance(due.body, int) and due.body % (PICTURES + 1) == PICTURES


def event_of(due: Due) -> str:
    """Return a segment's name, which the publisher gives it and the peers give back."""
    return f"{due.stream_id}/{due.sequence}"
