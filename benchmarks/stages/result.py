"""What was found of a segment's way, and the bounds that it is held to."""

from __future__ import annotations

from msgspec import Struct

from benchmarks.figures import Figure
from benchmarks.part import Bound, Check

IDR_RATIO = "examine / idr"
JAIL_RATIO = "jail_wall / examine_wall"
WAY_RATIO = "whole / floors"
SCORE_RATIO = "score / bare"


class ClipResult(Struct, frozen=True, kw_only=True):
    """One segment from bytes to hash and model input."""

    name: str
    sha256: str
    segment_bytes: int
    idr_bytes: int
    ms: dict[str, Figure]
    ratios: dict[str, Figure]
    """Of pairs measured in the same round."""


class WayResult(Struct, frozen=True, kw_only=True):
    """One segment from the record to its messages, with one classifier."""

    clip: str
    model: str
    ms: dict[str, Figure]
    ratios: dict[str, Figure]


class Quality(Struct, frozen=True, kw_only=True):
    """What the speed did not cost. All are 0 at best."""

    pdq_pictures: int
    pdq_mean_bits: float | None
    """None where pdqhash is not installed."""
    pdq_max_bits: int | None
    keyframes_off: int
    jail_differs: int
    score_off: float
    matches_wrong: int


class Stages(Struct, frozen=True, kw_only=True):
    """One run."""

    rounds: int
    segments: str
    """Whether they are the pinned ones."""
    list_size: int
    clips: tuple[ClipResult, ...]
    ways: tuple[WayResult, ...]
    quality: Quality
    skipped: dict[str, str]
    """What was not measured, and why."""


HEAVY_IDR_BYTES = 99_000
BOUNDS = (
    Bound(
        value="bytes to hash and model input, over its IDR",
        limit=1.25,
        kind="speed",
        unit="x",
        why=f"IDRs of {HEAVY_IDR_BYTES // 1000} kB or more: the decoder is to be what costs, not what is around it",
    ),
    Bound(
        value="the same over a small IDR, 720p",
        limit=7,
        kind="speed",
        unit="ms",
        why="there is little to decode; what is around it is fixed. This one is absolute: a machine's own",
    ),
    Bound(
        value="the same over a small IDR, 1080p",
        limit=10,
        kind="speed",
        unit="ms",
        why="the same",
    ),
    Bound(
        value="through the jail, over in this process",
        limit=1.6,
        kind="speed",
        unit="x",
        why="the same segments, by the clock: a process of its own is to be affordable, so that nobody turns it off",
    ),
    Bound(
        value="the whole way, over IDR and bare onnxruntime",
        limit=2.0,
        kind="speed",
        unit="x",
        why="the same segments, with the demo model and a list: at least half of all CPU goes where it must",
    ),
    Bound(
        value="score, over bare onnxruntime (OpenNSFW)",
        limit=1.2,
        kind="speed",
        unit="x",
        why="a real classifier's own time is to be all that scoring takes",
    ),
    Bound(
        value="PDQ from pdqhash, mean",
        limit=2,
        kind="quality",
        unit="bits",
        why="comes off the 31 bits that are there for edits",
    ),
    Bound(
        value="PDQ from pdqhash, largest", limit=8, kind="quality", unit="bits", why="the same, at the worst picture"
    ),
    Bound(value="keyframes missed or made up", limit=0, kind="quality", unit="", why="against PyAV's full decode"),
    Bound(
        value="segments that the jail sees otherwise", limit=0, kind="quality", unit="", why="hash, time and picture"
    ),
    Bound(
        value="scores, off bare onnxruntime's",
        limit=1e-6,
        kind="quality",
        unit="",
        why="the same graph on the same input",
    ),
    Bound(
        value="queries answered wrongly",
        limit=0,
        kind="quality",
        unit="",
        why="31 bits away is found, 32 is not: exact",
    ),
)


def values(result: Stages) -> dict[str, float | None]:
    """Return what is held to the bounds, by its name there; the worst of the segments in question."""
    heavy = [clip for clip in result.clips if clip.idr_bytes >= HEAVY_IDR_BYTES]
    demo = [way for way in result.ways if way.model == "demo"]
    real = [way for way in result.ways if way.model != "demo"]
    quality = result.quality
    measured = (
        max((clip.ratios[IDR_RATIO].median for clip in heavy), default=None),
        _over_small(result, "720p"),
        _over_small(result, "1080p"),
        max((clip.ratios[JAIL_RATIO].median for clip in heavy), default=None),
        max((way.ratios[WAY_RATIO].median for way in demo), default=None),
        max((way.ratios[SCORE_RATIO].median for way in real), default=None),
        quality.pdq_mean_bits,
        quality.pdq_max_bits,
        quality.keyframes_off,
        quality.jail_differs,
        quality.score_off,
        quality.matches_wrong,
    )
    return {bound.value: value for bound, value in zip(BOUNDS, measured, strict=True)}


def _over_small(result: Stages, height: str) -> float | None:
    """Milliseconds over a small IDR, the worst segment of a height."""
    small = [clip for clip in result.clips if clip.idr_bytes < HEAVY_IDR_BYTES and clip.name.startswith(height)]
    return max((clip.ms["examine"].median - clip.ms["idr"].median for clip in small), default=None)


def checks(result: Stages) -> tuple[Check, ...]:
    """Return every bound with what was measured."""
    measured = values(result)
    return tuple(Check(bound=bound, measured=measured[bound.value]) for bound in BOUNDS)
