"""What was found beside the peers, and the bounds that it is held to."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from benchmarks.figures import Figure
from benchmarks.part import Bound, Check

SEGMENT_MS = 2000.0
OURS = "framewatch"
FLOOR = "floor"
"""Decoding that keyframe and nothing else: nobody who uses FFmpeg goes below."""
HASHED = "+ hash"
"""After a reader's name: with a hash of each picture."""
HEAVY_IDR_BYTES = 99_000

Kind = Literal["keyframes", "1 fps"]
KINDS: dict[str, Kind] = {
    "pyav": "keyframes",
    "pyav-tuned": "keyframes",
    "cv2-first": "keyframes",
    "ffmpeg-keyframes": "keyframes",
    "decord-first": "keyframes",
    "pyav-1fps": "1 fps",
    "cv2-1fps": "1 fps",
    "cv2-grab-1fps": "1 fps",
    "ffmpeg-1fps": "1 fps",
    "scenedetect-opencv-1fps": "1 fps",
    "scenedetect-pyav-1fps": "1 fps",
    "decord-1fps": "1 fps",
    "vpdq-1fps": "1 fps",
}
"""What each of ``theirs/recipes.py`` looks at."""
TITLES = {
    "pyav": "PyAV, tutorial: `skip_frame`",
    "pyav-tuned": "PyAV, no threads, first picture",
    "cv2-first": "`cv2.VideoCapture`, first picture",
    "ffmpeg-keyframes": "ffmpeg `-skip_frame nokey`",
    "decord-first": "decord, first picture",
    "pyav-1fps": "PyAV, every picture decoded",
    "cv2-1fps": "`cv2.VideoCapture`, `read()`",
    "cv2-grab-1fps": "`cv2.VideoCapture`, `grab()`",
    "ffmpeg-1fps": "ffmpeg `-vf fps=1:round=up`",
    "scenedetect-opencv-1fps": "PySceneDetect, OpenCV",
    "scenedetect-pyav-1fps": "PySceneDetect, PyAV",
    "decord-1fps": "decord, `get_batch`",
    "vpdq-1fps": "vPDQ's loop",
}


class Reading(Struct, frozen=True, kw_only=True):
    """One segment read by everybody."""

    clip: str
    heavy: bool
    ms: dict[str, Figure]
    """CPU by reader, and by reader with ``HASHED`` after it; ``OURS`` among them, and ``FLOOR``."""
    ratios: dict[str, Figure]
    """By the same names: over ours of the same round, without the hash over without it, with it over with it."""
    pictures: dict[str, int]
    """How many each gave; ours too."""
    bits: dict[str, int]
    """Of 256, by how many the hash of its first picture is off ours."""
    failed: dict[str, str]
    """Who could not read it, and what it said."""


class Hashing(Struct, frozen=True, kw_only=True):
    """One keyframe hashed by ours and by ``pdqhash``."""

    clip: str
    height: int
    ours_ms: Figure
    """From the decoder's frame on."""
    pdqhash_ms: Figure
    """From an RGB picture that is ready."""
    ratio: Figure


class Pipeline(Struct, frozen=True, kw_only=True):
    """One way from segments to decisions through a broker, on one core."""

    name: str
    recipe: str
    model: str
    cpu_ms: Figure
    """A segment, all processes."""
    broker_ms: Figure
    """CPU of the broker, a segment."""
    latency_ms: Figure | None
    """Append of a known segment to append of its escalation, at a low load; None where nothing was escalated."""
    ratio: Figure
    """CPU over ours of the same round."""
    wrong: int
    """Segments escalated that are not known, known ones that were not, and decisions missing or made twice."""

    @property
    def streams(self) -> float:
        """How many streams one core holds, a segment each two seconds."""
        return SEGMENT_MS / self.cpu_ms.median

    @property
    def cpu_s_per_hour(self) -> float:
        """Seconds of CPU that an hour of one stream takes."""
        return self.cpu_ms.median / 1000 * 3_600_000 / SEGMENT_MS


class Peers(Struct, frozen=True, kw_only=True):
    """One run."""

    rounds: int
    """Of the readers."""
    pipeline_rounds: int
    segments: str
    """Whether they are the pinned ones."""
    burst: int
    """Segments published at once, over which CPU is taken."""
    list_size: int
    packages: dict[str, str]
    """Versions of theirs."""
    readings: tuple[Reading, ...]
    hashings: tuple[Hashing, ...]
    bits: tuple[int, ...]
    """How far our PDQ is from ``pdqhash``'s, a picture each."""
    pipelines: tuple[Pipeline, ...]
    skipped: dict[str, str]
    """What was not measured, and why."""


def _over(what: str, limit: float, why: str) -> Bound:
    return Bound(value=what, limit=limit, side="at least", kind="speed", unit="x", why=why)


HEAVY = (
    f"IDRs of {HEAVY_IDR_BYTES // 1000} kB or more, the segment where it is least; both sides give model input and hash"
)
BOUNDS = (
    _over("PyAV's tutorial recipe, over ours", 2, HEAVY),
    _over("ffmpeg's command line, keyframes, over ours", 2.5, HEAVY),
    _over("the best reader at 1 fps, over ours", 12, HEAVY),
    _over("pdqhash at 720p, over our PDQ", 12, "ours from the decoder's frame, pdqhash from RGB that is ready"),
    _over("pdqhash at 1080p, over our PDQ", 18, "the same"),
    _over(
        "the best pipeline of theirs, over ours, demo model", 3, "CPU a segment on a real broker: streams a core holds"
    ),
    Bound(value="PDQ from pdqhash, mean", limit=2, kind="quality", unit="bits", why="speed must not cost it"),
    Bound(
        value="PDQ from pdqhash, largest", limit=8, kind="quality", unit="bits", why="the same, at the worst picture"
    ),
    Bound(
        value="hash of a reader's first picture, off ours",
        limit=31,
        kind="quality",
        unit="bits",
        why="all read the same keyframe: within what a list calls the same picture",
    ),
    Bound(
        value="decisions that differ, all pipelines",
        limit=0,
        kind="quality",
        unit="",
        why="each escalates the known segments and no other, and decides on every segment once",
    ),
)


def values(result: Peers) -> dict[str, float | None]:
    """Return what is held to the bounds, by its name there; the least favourable of what is in question."""
    demo = [one for one in result.pipelines if one.model == "demo" and one.name != OURS]
    off = [bits for reading in result.readings for bits in reading.bits.values()]
    measured = (
        least(result.readings, ("pyav",)),
        least(result.readings, ("ffmpeg-keyframes",)),
        least(result.readings, [name for name, kind in KINDS.items() if kind == "1 fps"]),
        _hashed(result.hashings, 720),
        _hashed(result.hashings, 1080),
        min((one.ratio.median for one in demo), default=None),
        sum(result.bits) / len(result.bits) if result.bits else None,
        max(result.bits, default=None),
        max(off, default=None),
        sum(one.wrong for one in result.pipelines) if result.pipelines else None,
    )
    return {bound.value: value for bound, value in zip(BOUNDS, measured, strict=True)}


def least(readings: tuple[Reading, ...], names: list[str] | tuple[str, ...]) -> float | None:
    """Return by how much the quickest of these readers is above ours, with the hash, where it is least."""
    found = [
        reading.ratios[f"{name} {HASHED}"].median
        for reading in readings
        for name in names
        if reading.heavy and f"{name} {HASHED}" in reading.ratios
    ]
    return min(found, default=None)


def most(result: Peers) -> dict[str, float]:
    """Return what the ratios of 1 fps and of the pipelines would be if ours took its floor and nothing else."""
    found = {}
    heavy = [reading for reading in result.readings if reading.heavy]
    readers = [
        reading.ms[f"{name} {HASHED}"].median / reading.ms[FLOOR].median
        for reading in heavy
        for name, kind in KINDS.items()
        if kind == "1 fps" and f"{name} {HASHED}" in reading.ms
    ]
    theirs = [one.cpu_ms.median for one in result.pipelines if one.model == "demo" and one.name != OURS]
    if readers:
        found["1 fps"] = min(readers)
    if heavy and theirs:  # the first one is what the pipelines are given
        found["pipelines"] = min(theirs) / heavy[0].ms[FLOOR].median
    return found


def _hashed(hashings: tuple[Hashing, ...], height: int) -> float | None:
    return min((one.ratio.median for one in hashings if one.height == height), default=None)


def fastest(readings: tuple[Reading, ...], otherwise: str) -> str:
    """Return who reads and hashes the heavy segments at least CPU, of those that read all of them."""
    heavy = [reading for reading in readings if reading.heavy]
    able = [name for name in KINDS if all(f"{name} {HASHED}" in reading.ms for reading in heavy)]
    if not heavy or not able:
        return otherwise
    return min(able, key=lambda name: sum(reading.ms[f"{name} {HASHED}"].median for reading in heavy))


def checks(result: Peers) -> tuple[Check, ...]:
    """Return every bound with what was measured."""
    measured = values(result)
    return tuple(Check(bound=bound, measured=measured[bound.value]) for bound in BOUNDS)
