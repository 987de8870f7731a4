"""What the speed must not cost: each figure is held against an implementation that shares as little as can be."""

from __future__ import annotations

import io
from importlib.util import find_spec
from itertools import product
from typing import TYPE_CHECKING, Literal

import av
import numpy as np

from benchmarks import floor
from benchmarks.clips import Clip, Recipe, make
from benchmarks.stages import decoding, way
from worker.examine import examine
from worker.hashing import hamming
from worker.matching import Matcher

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from benchmarks.stages.decoding import Jailed
    from worker.records import Frame, HashList, View
    from worker.scoring.session import Classifier

HEIGHTS = (360, 720, 1080)
WEIGHTS = ("heavy", "light")
MATRICES: tuple[Literal["bt709", "smpte170m"], ...] = ("bt709", "smpte170m")
"""A hash of the luma plane as it stands would be right for one of them only."""


def why_no_oracle() -> str | None:
    """Why PDQ can't be compared here; None where it can."""
    return None if find_spec("pdqhash") else "pdqhash is not installed (it is built from source: a C++ compiler)"


def pictures(count: int, seed: int) -> list[Clip]:
    """One-frame segments of as many different pictures, of all heights, weights and colour matrices in turn."""
    kinds = [
        Recipe(height=height, codec="h264", weight=weight, containers=("ts",), matrix=matrix)
        for height, weight, matrix in product(HEIGHTS, WEIGHTS, MATRICES)
    ]
    return [make((kinds[n % len(kinds)],), seed + 1 + n, seconds=1 / 25)[0] for n in range(count)]


def pdq_bits(clips: Iterable[Clip], view: View) -> list[int]:
    """By how many of 256 bits our PDQ is off ``pdqhash`` of the full RGB frame; pictures without one are left out."""
    import pdqhash  # noqa: PLC0415 - optional, see why_no_oracle

    found = []
    for clip in clips:
        ours = examine(clip.data, clip.init, decoding.asking(clip, view)).frames[0].hash.pdq
        with av.open(io.BytesIO(clip.data), format=floor.FORMATS[clip.content_type]) as container:
            rgb = next(container.decode(video=0)).to_ndarray(format="rgb24")
        vector, _ = pdqhash.compute(np.ascontiguousarray(rgb))
        if ours is not None:
            found.append(hamming(ours, np.packbits(vector).tobytes()))
    return found


def keyframes_off(clip: Clip, view: View) -> int:
    """By how many the keyframes seen differ from those of PyAV's full decode."""
    return abs(examine(clip.data, clip.init, decoding.asking(clip, view)).keyframes_seen - floor.keyframes(clip))


def jail_differs(clip: Clip, view: View, jail: Jailed) -> bool:
    """Whether the jail finds anything else in a segment than this process does."""
    ask = decoding.asking(clip, view)
    here, there = examine(clip.data, clip.init, ask).frames, jail.sample(decoding.media(clip), ask).frames
    return len(here) != len(there) or not all(map(_same, here, there))


def _same(one: Frame, other: Frame) -> bool:
    same_picture = np.array_equal(one.picture, other.picture) if one.picture is not None else other.picture is None
    return same_picture and (one.hash, one.offset_s) == (other.hash, other.offset_s)


def score_off(clip: Clip, classifier: Classifier, model: Path) -> float:
    """By how much the graph's numbers differ from bare onnxruntime's, largest label; the same activation applied."""
    numbers = floor.Bare(model).run(way.ready(clip, classifier, model))
    bare = way.interpreted(numbers, model)
    ours = classifier.score_one(way.picture_of(clip, classifier))
    return max(abs(ours[label].score - bare[label].score) for label in ours)


def matches_wrong(known: HashList, seed: int, queries: int = 50) -> int:
    """Of queries at the radius and one bit beyond it from a known hash, how many are answered wrongly."""
    rng, matcher = np.random.default_rng(seed), Matcher([known])
    wrong = 0
    for row in rng.choice(len(known.hashes), queries, replace=False):
        for bits, expected in ((known.radius, True), (known.radius + 1, False)):
            query = flipped(known.hashes[row], rng.choice(256, bits, replace=False))
            entries = {match.entry for match in matcher.match(query)}
            wrong += (f"{known.files[0].stem}:{row + 1}" in entries) is not expected
    return wrong


def flipped(packed: np.ndarray, bits: np.ndarray) -> bytes:
    """A hash with some of its bits turned round."""
    unpacked = np.unpackbits(packed)
    unpacked[bits] ^= 1
    return np.packbits(unpacked).tobytes()
