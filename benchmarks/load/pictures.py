"""The segments that are played: 720p, heavy, inline MPEG-TS, each on the clock of its place in its stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from benchmarks import clips
from benchmarks.load.play import KNOWN, LIFE, PICTURES
from benchmarks.rig import known

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.clips import Clip

RECIPE = clips.Recipe(height=720, codec="h264", weight="heavy", containers=("ts",))


class Bodies(Struct, frozen=True, kw_only=True):
    """What the streams send, by the place that ``Due.body`` names, and the list that knows one of them."""

    files: tuple[str, ...]
    segments: tuple[bytes, ...]
    known: str
    """The list's folder."""
    quiet: tuple[str, ...]
    """One file of each quiet picture: what the floors decode."""
    name: str
    segment_bytes: int
    idr_bytes: int
    """Of the first quiet picture."""


def make(folder: Path, seed: int) -> Bodies:
    """Encode the pictures, and put each on the clock of every place where it is played."""
    frames = clips.SECONDS * clips.FPS
    quiet, listed = [clips.encode(RECIPE, seed + n, frames=frames) for n in range(PICTURES)], seed + PICTURES
    segments = [clips.transport(whole, start_s=sequence * clips.SECONDS) for whole in quiet for sequence in range(LIFE)]
    whole = clips.encode(RECIPE, listed, frames=frames)
    segments.insert(KNOWN, clips.transport(whole, start_s=(LIFE - 1) * clips.SECONDS))
    files = tuple(str(folder / f"body-{number}.ts") for number in range(len(segments)))
    for file, segment in zip(files, segments, strict=True):
        (folder / file).write_bytes(segment)
    clip = first(seed)
    return Bodies(
        files=files,
        segments=tuple(segments),
        known=known.listed(folder / "known", segments[KNOWN]),
        quiet=files[: PICTURES * LIFE : LIFE],
        name=clip.name,
        segment_bytes=len(clip.data),
        idr_bytes=clip.idr_bytes,
    )


def first(seed: int) -> Clip:
    """The first quiet picture as the other parts know it."""
    return clips.make((RECIPE,), seed)[0]
