"""``PYTHONPATH=.:tests python -m benchmarks.loop_filter``: what ``sampling.loop_filter = false`` saves and loses.

Each keyframe of the pinned segments, and of the H.264 and HEVC files below ``--media``, is decoded with the filter and
without it, in turns: CPU of the decoder, bits of its PDQ, and probabilities of the demo model and of OpenNSFW where
that is installed. Harmless pictures only. Fails where the loss is more than docs/performance.md says.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from statistics import mean, median
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from benchmarks import clips
from benchmarks.machine import machine, versions
from worker.errors import SegmentError, UsageError
from worker.examine import examine
from worker.hashing import hamming
from worker.records import Ask, Sample
from worker.sampling.video import FILTERED_LAST
from worker.scoring import session
from worker.scoring.opennsfw import pack_opennsfw
from worker.settings import tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.scoring.session import Classifier

MOST_BITS = 16
"""Half of the radius that lists usually have."""
ALL_BITS = 256
DEMO = Path(__file__).parents[1] / "models" / "demo"
MEDIA = ("cmaf-*/*.m4s", "ts-h264/*.ts", "odd/*", "known-video/*.mp4")
JAIL, SAMPLING = tree.Jail(), tree.Sampling()


class Segment(NamedTuple):
    """One to decode."""

    name: str
    data: bytes
    init: bytes | None


class Loss(NamedTuple):
    """Of one keyframe."""

    bits: int | None
    """Between its two hashes; None where both pictures have too little detail for one."""
    off: tuple[float, ...]
    """By how much each model's probabilities are off."""


def pinned() -> list[Segment]:
    """The pinned segments, one container of each."""
    one = [
        clips.Recipe(height=r.height, codec=r.codec, weight=r.weight, containers=r.containers[:1]) for r in clips.FULL
    ]
    return [Segment(clip.name, clip.data, clip.init) for clip in clips.make(tuple(dict.fromkeys(one)), clips.SEED)]


def real(folder: Path) -> Iterator[Segment]:
    """Every file that is a stream or a clip, with the initialisation beside it."""
    for file in sorted(found for pattern in MEDIA for found in folder.glob(pattern)):
        init = next(file.parent.glob("*init.mp4"), None)
        yield Segment(file.name, file.read_bytes(), None if init is None else init.read_bytes())


def asking(classifier: Classifier) -> Ask:
    """Every keyframe, as the worker would have it."""
    return Ask(
        content_type=None,
        interval_s=0.0,
        max_keyframes=SAMPLING.max_keyframes,
        view=classifier.view,
        max_pixels=JAIL.max_pixels,
        max_streams=JAIL.max_streams,
    )


def losses(filtered: Sample, raw: Sample, models: list[Classifier]) -> Iterator[Loss]:
    """What each keyframe lost."""
    for one, other in zip(filtered.frames, raw.frames, strict=True):
        hashes = one.hash.pdq, other.hash.pdq
        yield Loss(
            None if hashes == (None, None) else _apart(*hashes),
            tuple(_off(model, one.picture, other.picture) for model in models),
        )


def _apart(one: bytes | None, other: bytes | None) -> int:
    """Bits between two hashes; all of them where only one picture has a hash."""
    return ALL_BITS if one is None or other is None else hamming(one, other)


def _off(model: Classifier, *pictures: object) -> float:
    one, other = (model.score_one(picture) for picture in pictures)
    return max(abs(one[label].probability - other[label].probability) for label in one)


def measure(segment: Segment, models: list[Classifier], rounds: int) -> tuple[float, list[Loss]] | None:
    """The decoder's CPU without the filter over that with it, and what it costs; None where it makes no difference."""
    ask = asking(models[0])
    bare = replace(ask, loop_filter=False)
    try:
        filtered = examine(segment.data, segment.init, ask)
    except SegmentError:
        return None
    if filtered.codec not in FILTERED_LAST or not filtered.frames:
        return None
    pairs = [
        tuple(examine(segment.data, segment.init, one).costs.decode_s for one in (bare, ask)) for _ in range(rounds)
    ]
    found = list(losses(filtered, examine(segment.data, segment.init, bare), models))
    return median(without / with_it for without, with_it in pairs), found


def told(name: str, ratio: float | None, found: list[Loss]) -> str:
    """One row of the table."""
    bits = [loss.bits for loss in found if loss.bits is not None]
    of_bits = f"{mean(bits):.1f}, {max(bits)}" if bits else "no hash"
    off = (f"{mean(values):.4f}, {max(values):.4f}" for values in zip(*(loss.off for loss in found), strict=True))
    saved = "" if ratio is None else f"{ratio:.2f}"
    return " | ".join([name, str(len(found)), saved, of_bits, *off])


def main() -> int:
    """Print the table; 1 where a hash is further off than is said."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--media", type=Path, help="a folder of real media")
    parser.add_argument("--rounds", type=int, default=15)
    asked = parser.parse_args()
    print(machine(), versions(), f"seed {clips.SEED}", sep="\n")
    with ExitStack() as closing:
        folder = Path(closing.enter_context(tempfile.TemporaryDirectory())) / "opennsfw"
        models = [session.load(DEMO, threads=1)]
        try:
            pack_opennsfw(folder)
            models.append(session.load(folder, threads=1))
        except UsageError as error:
            print(f"without OpenNSFW: {error}")
        for model in models:
            closing.callback(model.close)
        print(
            "segment | keyframes | decode, CPU | PDQ bits off: mean, most | " + " | ".join(m.ref.name for m in models)
        )
        everything = list[Loss]()
        for segment in (*pinned(), *(() if asked.media is None else real(asked.media))):
            if (measured := measure(segment, models, asked.rounds)) is not None:
                print(told(segment.name, *measured), flush=True)
                everything += measured[1]
        print(told("all", None, everything))
    return int(max(loss.bits or 0 for loss in everything) > MOST_BITS)


if __name__ == "__main__":
    sys.exit(main())
