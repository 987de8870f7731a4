"""``PYTHONPATH=.:tests python -m benchmarks.near_duplicates``: what sparing near-duplicates saves, and what it costs.

Streams with a look every 2 s are followed with the worker's own rule, risk and clock (``scoring.near_duplicate_bits``
from 0 to 31, ``scoring.rescore_s`` as by default), and every spared frame is scored all the same, to see how far off
the scores are that it took over. Made-up streams are encoded and decoded as one keyframe a look; real ones come from
``--media``. Then two attacks on PDQ itself. Harmless pictures only. Fails where the number of bits that the
docs suggest loses more than they say.
"""

from __future__ import annotations

import argparse
import io
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from time import thread_time
from typing import TYPE_CHECKING, NamedTuple

import av
from msgspec.structs import replace
from support.assessments import START, a_segment, an_assessment
from support.media import make_segment

from benchmarks.lookalikes import HEIGHT, LOOKS, WIDTH, Shows, attacks, blobs, made_up
from benchmarks.machine import machine, versions
from worker import conclude
from worker.conclude import Rules
from worker.duplicates import SPEAKS, NearDuplicates, Walk
from worker.escalation.context import Context
from worker.examine import examine
from worker.hashing import pdq
from worker.policy import read as policies
from worker.records import Ask, Assessment, FrameHash, FrameScore, Look, Picture, Received, View
from worker.sampling.keyframe import Keyframe
from worker.scoring import session
from worker.scoring.opennsfw import pack_opennsfw
from worker.settings import tree
from worker.streams import memory
from worker.streams.state import StreamState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from worker.scoring.session import Classifier

SEED = 20261128
BITS = (0, 2, 4, 6, 8, 10, 16, 24, 31)
SUGGESTED = 6
"""The bits that docs/performance.md suggests: they may cost no look that shows it, and ``MOST_OFF`` of a score."""
MOST_OFF = 0.05
"""Twice the worst of four seeds."""
LOOK_S = 2.0
RESCORE_S = tree.Scoring().rescore_s
DRAWS = 10
"""How often each stream is followed, each time from another place in Kafka."""
DEMO = Path(__file__).parents[1] / "models" / "demo"
CLIPS = (
    "known-video/chair-orig-22-sd-bar.mp4",
    "odd/nasa_13013.mp4",
    "ts-h264/sintel-captions.ts",
    "ts-h264/test-segment.ts",
    "cmaf-hevc-bbb/video_init.mp4+video_?.m4s",
    "cmaf-h264-wave-1080p/init.mp4+*.m4s",
    "cmaf-h264-testpic/init.mp4+?.m4s",
)


class Seen(NamedTuple):
    """A look before anybody decided on it."""

    hash: FrameHash
    picture: Picture
    """The classifier's view."""


@dataclass(slots=True)
class Loss:
    """What became of the looks at some streams, and how far off what was taken over is."""

    looks: int = 0
    showing: int = 0
    """Looks that show it: a probability above a half."""
    missed: int = 0
    """Of those, spared."""
    off: list[float] = field(default_factory=list)
    """Of each spared look, the largest difference of a probability."""
    opened_s: list[float] = field(default_factory=list)
    """When each stream's first incident opened."""

    def row(self, undisturbed: Loss) -> str:
        """Share spared, mean and largest difference, spared of those that show it, how much later incidents open."""
        mean, most = (sum(self.off) / len(self.off), max(self.off)) if self.off else (0.0, 0.0)
        missed = f"{self.missed} of {self.showing}" if self.showing else "-"
        return f"{len(self.off) / self.looks:6.1%} | {mean:.4f} | {most:.3f} | {missed} | {self.later(undisturbed)}"

    def later(self, undisturbed: Loss) -> str:
        """How much later than where every look was scored, mean and most."""
        if len(self.opened_s) != len(undisturbed.opened_s):
            return f"{len(undisturbed.opened_s) - len(self.opened_s)} never"
        late = [mine - its for mine, its in zip(self.opened_s, undisturbed.opened_s, strict=True)]
        return f"{sum(late) / len(late):.1f} s, {max(late):.0f} s" if late else "-"


# --- streams ----------------------------------------------------------------------------------------------------------


def encoded(shows: Shows, ask: Ask) -> list[Seen]:
    """The looks at a made-up stream as the worker's decoder gives them: a keyframe of its own each."""
    found = []
    for number in range(LOOKS):
        data = make_segment(
            width=WIDTH, height=HEIGHT, seconds=0.04, crf=28, picture=lambda _, n=number: shows(n), container="mp4"
        )
        frame = examine(data, None, ask).frames[0]
        if frame.picture is not None:
            found.append(Seen(frame.hash, frame.picture))
    return found


def filmed(media: Path, clip: str, view: View) -> Iterator[list[Seen]]:
    """Looks at a real clip every LOOK_S, beginning at four moments; each as a stream of its own."""
    frames = list(_frames(media, clip))
    for begin_s in (0.0, 0.5, 1.0, 1.5):
        found, next_s = [], begin_s
        for at_s, frame in frames:
            if at_s >= next_s:
                keyframe = Keyframe(frame, at_s)
                found.append(Seen(pdq(keyframe.rgb()), keyframe.picture(view)))
                next_s += LOOK_S
        yield found


def _frames(media: Path, clip: str) -> Iterator[tuple[float, av.VideoFrame]]:
    first, _, rest = clip.partition("+")
    fragments = (media / first).parent.glob(rest) if rest else ()
    parts = [media / first, *sorted(fragments, key=lambda part: (len(part.name), part.name))]
    data = b"".join(part.read_bytes() for part in parts)
    with av.open(io.BytesIO(data)) as container:
        began_s = None
        for frame in container.decode(video=0):
            if frame.time is not None:
                began_s = frame.time if began_s is None else began_s
                yield frame.time - began_s, frame


# --- sparing ----------------------------------------------------------------------------------------------------------


def follow(
    looks: Iterable[tuple[Seen, FrameScore]], rule: NearDuplicates | None, rules: Rules, draw: int, loss: Loss
) -> None:
    """Follow one stream as the worker does, and add what became of it."""
    state, opened = StreamState(stream_id="stream-1"), False
    for number, (one, scores) in enumerate(looks):
        segment = a_segment(number)
        segment = replace(segment, position=replace(segment.position, offset=1_000_000 * draw + number))
        measured = an_assessment(segment, looks=())
        walk = walked(rule, state, measured, one, scores)
        look = Look(offset_s=0.0, hash=one.hash, scores=walk.scores[0], near_duplicate=bool(walk.spared))
        assessment = replace(measured, looks=(look,), last_scored=walk.last)
        received = Received(position=segment.position, key=b"stream-1", value=b"x", headers=())
        found = conclude.segment(state, assessment, received, START, rules)
        state = found.state or state
        count(loss, walk, scores, rules)
        if found.incident is not None and not opened:
            loss.opened_s.append(number * LOOK_S)
            opened = True


def walked(
    rule: NearDuplicates | None, state: StreamState, measured: Assessment, one: Seen, scores: FrameScore
) -> Walk:
    """How a look fares."""
    if rule is None:
        return Walk({0: scores})
    course = rule.course(state, memory.foresee(state, measured), {0: (one.hash.pdq, 0.0)})
    walk = course.walked({})
    return course.walked({0: scores}) if walk.missing else walk


def count(loss: Loss, walk: Walk, scores: FrameScore, rules: Rules) -> None:
    """Add a look."""
    labels = [label for label in scores if rules.policy.everybody.label(label) is not None]
    shows = any(scores[label].probability > SPEAKS for label in labels)
    loss.looks, loss.showing = loss.looks + 1, loss.showing + shows
    if walk.spared:
        loss.missed += shows
        loss.off.append(max(abs(walk.scores[0][label].probability - scores[label].probability) for label in labels))


def deciding(classifier: Classifier) -> Rules:
    """The default policy for a model."""
    policy = policies.default(harmless=classifier.harmless)
    context = Context(
        model=classifier.ref,
        policy=policy.ref,
        lists=(),
        links=tree.LinkTemplates(),
        preserve_before_s=0.0,
        source="benchmark",
    )
    return Rules(policy=policy, context=context, topics=tree.Topics(), max_message_bytes=1024**2, with_payload=False)


def lost(
    streams: Sequence[Sequence[Seen]], scores: Sequence[Sequence[FrameScore]], model: Classifier, bits: int | None
) -> Loss:
    """What becomes of some streams at so many bits; None: every look is scored."""
    rule = None if bits is None else sparing(model, bits, RESCORE_S)
    found, rules = Loss(), deciding(model)
    for draw in range(DRAWS):
        for seen, true in zip(streams, scores, strict=True):
            follow(zip(seen, true, strict=True), rule, rules, draw, found)
    return found


def sparing(model: Classifier, bits: int, rescore_s: float) -> NearDuplicates:
    """The rule for a model."""
    return NearDuplicates(bits=bits, rescore_s=rescore_s, model=model.ref, labels=model.labels, harmless=model.harmless)


# --- all of it --------------------------------------------------------------------------------------------------------


def costs(model: Classifier, streams: Sequence[Sequence[Seen]]) -> tuple[float, float]:
    """CPU milliseconds to score a picture, and to decide that it is spared; medians."""
    rule = sparing(model, 10, 1e4)
    state, measured = StreamState(stream_id="stream-1"), an_assessment(a_segment(1))
    last = rule.last_scored(b"\0" * 32, 0.0, dict(model.score_one(streams[0][0].picture)), measured.segment.position, 0)
    state = replace(memory.advance(state, an_assessment(a_segment(0)), preserve_before_s=0.0)[0], last_scored=last)
    frames = {0: (b"\0" * 32, 0.0)}

    def decide() -> object:
        return rule.course(state, memory.foresee(state, measured), frames).walked({})

    scoring = [_ms(lambda seen=seen: model.score_one(seen.picture)) for seen in streams[0][:20]]
    return median(scoring), median(_ms(decide) for _ in range(200))


def _ms(work: Callable[[], object]) -> float:
    started = thread_time()
    work()
    return (thread_time() - started) * 1000


def asking(view: View) -> Ask:
    """What is asked of the decoder."""
    return Ask(content_type=None, interval_s=0.0, max_keyframes=64, view=view, max_pixels=2**24, max_streams=32)


def table(name: str, streams: Sequence[Sequence[Seen]], model: Classifier) -> bool:
    """Print what each number of bits spares and costs; return whether the suggested one costs what it may."""
    scores = [[model.score_one(seen.picture) for seen in stream] for stream in streams]
    undisturbed = lost(streams, scores, model, None)
    print(f"\n### {name}, {model.ref.name}: {undisturbed.looks} looks\n")
    found = {bits: lost(streams, scores, model, bits) for bits in BITS}
    if not any(loss.off for loss in found.values()):
        print("nothing is spared, at any number of bits")
        return True
    print("| bits | spared | mean off | most off | spared of those that show it | opens later: mean, most |")
    print("| --- | --- | --- | --- | --- | --- |")
    for bits, loss in found.items():
        print(f"| {bits:4} | {loss.row(undisturbed)} |")
    suggested = found[SUGGESTED]
    return suggested.missed == 0 and max(suggested.off, default=0.0) <= MOST_OFF


def main() -> int:
    """Print the tables of docs/performance.md, "Near-duplicates"; return 1 where a bound is breached."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--media", type=Path, help="the folder of real clips that FRAMEWATCH_TEST_MEDIA names")
    given = parser.parse_args()
    print(machine() | {"versions": str(versions()), "seed": str(given.seed)})
    with tempfile.TemporaryDirectory() as folder:
        pack_opennsfw(Path(folder) / "opennsfw")
        models = [session.load(path, threads=1) for path in (DEMO, Path(folder) / "opennsfw")]
        good = [lose(model, given.seed, given.media) for model in models]
        for model in models:
            model.close()
    attacks([blobs(given.seed + number, WIDTH) for number in range(LOOKS)])
    if given.media:
        attacks([picture for clip in CLIPS for picture in _pictures(given.media, clip)])
    return int(not all(good))


def lose(model: Classifier, seed: int, media: Path | None) -> bool:
    """Print what a model loses on all streams; return whether it is no more than may be."""
    ask = asking(model.view)
    streams = {name: [encoded(shows, ask)] for name, shows in made_up(seed).items()}
    if media:
        streams["real clips"] = [seen for clip in CLIPS for seen in filmed(media, clip, model.view)]
    scoring_ms, deciding_ms = costs(model, streams["stands still"])
    print(f"\n{model.ref.name}: {scoring_ms:.2f} ms of CPU to score, {deciding_ms:.3f} ms to decide that one is spared")
    good = [table(name, each, model) for name, each in streams.items()]
    return all(good)


def _pictures(media: Path, clip: str) -> list[Picture]:
    """Every fiftieth frame of a clip, all of one size."""
    frames = [frame for _, frame in _frames(media, clip)][::50]
    return [frame.reformat(width=WIDTH, height=HEIGHT, format="rgb24", threads=1).to_ndarray() for frame in frames]


if __name__ == "__main__":
    sys.exit(main())
