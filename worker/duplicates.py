"""Which frames need no score of their own: near-duplicates of the frame of their stream that was scored last. Pure.

Compared is with the last frame that was *scored*, not with the last one seen: else a slow drift is never scored. What
docs/decisions/0017-near-duplicates.md argues for is kept here:

- Only scores that speak for nothing are taken over, so that no incident rests on a frame that nobody scored; and a
  stream with a risk is scored frame by frame.
- How long scores serve is drawn for each scored frame, up to ``rescore_s``, from its record's place in Kafka: a replay
  draws the same, and whoever streams can't foresee it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil
from struct import Struct as Packing
from typing import TYPE_CHECKING, NamedTuple

from msgspec.structs import replace

from worker.hashing import hamming
from worker.records import FrameScore, LastScored, Score

if TYPE_CHECKING:
    from worker.records import ModelRef, Position
    from worker.streams.clock import Step
    from worker.streams.state import StreamState

LEAST_LOOK_S = 0.5
"""Each frame that takes scores over uses up as much of their time at least, so that a stream whose clock hardly moves
is scored all the same."""
SPEAKS = 0.5
"""A probability above it raises a risk, whatever the policy (``worker.risk.weighing.llr`` is 0 there)."""
MODEL_BYTES = 4


class Moment(NamedTuple):
    """A frame that the classifier may be asked about."""

    pdq: bytes | None
    at_s: float
    """On its stream's own clock."""


@dataclass(frozen=True, slots=True)
class Walk:
    """A segment's frames, by their numbers in it, after each was scored or spared."""

    scores: Mapping[int, FrameScore] = field(default_factory=dict)
    """Their own or taken over: of all of them, once none is missing."""
    spared: Collection[int] = ()
    """Those that took scores over."""
    missing: Sequence[int] = ()
    """Those that are still to be scored."""
    last: LastScored | None = None
    """What the stream's next frames are compared with."""


class NearDuplicates:
    """What a deployment spares by; knows no stream."""

    def __init__(
        self, *, bits: int, rescore_s: float, model: ModelRef, labels: Sequence[str], harmless: Collection[str]
    ) -> None:
        """Take the settings, and the model's labels in their order.

        Args:
            bits: PDQs so many bits apart, of 256, are near-duplicates; 1 to 31.
            rescore_s: No scores serve longer, in seconds of the stream's own clock.
            model: Which model it is: no scores serve another one.
            labels: All its labels.
            harmless: Those that never count.
        """
        self._bits = bits
        self._rescore_s = rescore_s
        named = "\n".join((model.name, model.version, model.sha256, *labels))
        self._model = hashlib.blake2b(named.encode(), digest_size=MODEL_BYTES).digest()
        self._labels = tuple(labels)
        self._counting = tuple(label for label in labels if label not in harmless)
        self._packing = Packing(f">{2 * len(self._labels)}f")

    def course(self, state: StreamState, step: Step, frames: Mapping[int, tuple[bytes | None, float]]) -> Course:
        """Return the way of a segment's frames.

        Args:
            state: The stream's as of before the segment.
            step: Where the segment stands on the stream's clock.
            frames: PDQ and offset in the segment, seconds, of those that may be scored, in their order.
        """
        placed = step.placed
        return Course(
            self,
            moments={number: Moment(pdq, step.clock.began_s + at_s) for number, (pdq, at_s) in frames.items()},
            position=placed.assessment.segment.position,
            last=None if placed.discontinuity else state.last_scored,
            watchful=state.risk.value > 0 or state.risk.incident is not None,
        )

    def serves(self, last: LastScored, moment: Moment) -> bool:
        """Return whether a frame may take over the last scored one's scores."""
        return (
            moment.pdq is not None
            and last.left > 0
            and moment.at_s < last.until_s
            and last.model == self._model
            and hamming(moment.pdq, last.pdq) <= self._bits
        )

    def speaks(self, scores: FrameScore) -> bool:
        """Return whether a frame's scores raise a risk."""
        return any(scores[label].probability > SPEAKS for label in self._counting)

    def last_scored(
        self, pdq: bytes, at_s: float, scores: FrameScore | None, position: Position, number: int
    ) -> LastScored:
        """Return a scored frame as the next ones are compared with it; without scores as though it were harmless."""
        serves_s = 0.0 if scores and self.speaks(scores) else self._rescore_s * _drawn(position, number)
        return LastScored(
            pdq=pdq,
            until_s=at_s + serves_s,
            left=ceil(serves_s / LEAST_LOOK_S),
            model=self._model,
            scores=b"" if scores is None else self._packed(scores),
        )

    def taken_over(self, last: LastScored) -> FrameScore:
        """Return the scores that a near-duplicate takes over, to a float32's precision."""
        numbers = self._packing.unpack(last.scores)
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        return {
            label: Score(score=score, probability=probability)
            for label, (score, probability) in zip(self._labels, pairs, strict=True)
        }

    def _packed(self, scores: FrameScore) -> bytes:
        found = (scores[label] for label in self._labels)
        return self._packing.pack(*(number for one in found for number in (one.score, one.probability)))


class Course:
    """One segment's frames on their way: walked again whenever some of them have been scored."""

    def __init__(
        self,
        rule: NearDuplicates,
        *,
        moments: Mapping[int, Moment],
        position: Position,
        last: LastScored | None,
        watchful: bool,
    ) -> None:
        """``last`` is the stream's last scored frame; a ``watchful`` course spares nothing."""
        self._rule = rule
        self._moments = moments
        self._position = position
        self._last = last
        self._watchful = watchful

    def walked(self, own: Mapping[int, FrameScore]) -> Walk:
        """Return how the frames fare, given the scores of those that have been scored.

        A frame that is still to be scored is taken for harmless meanwhile: where it then is not, the frames after it
        turn out to be missing too. So it takes two rounds of scoring at most.
        """
        rule, last, watchful = self._rule, self._last, self._watchful
        scores, spared, missing = dict(own), [], []
        for number, moment in self._moments.items():
            found = own.get(number)
            if found is None and not watchful and last is not None and rule.serves(last, moment):
                spared.append(number)
                if last.scores:
                    scores[number] = rule.taken_over(last)
                last = replace(last, left=last.left - 1)
                continue
            if found is None:
                missing.append(number)
            elif rule.speaks(found):
                watchful = True
            if moment.pdq is not None:
                last = rule.last_scored(moment.pdq, moment.at_s, found, self._position, number)
        return Walk(scores, frozenset(spared), missing, last)


def _drawn(position: Position, number: int) -> float:
    """Return a share above 0, at most 1, that only the broker's numbering of records decides."""
    place = f"{position.topic}/{position.partition}/{position.offset}/{number}"
    digest = hashlib.blake2b(place.encode(), digest_size=7).digest()
    return 1.0 - int.from_bytes(digest) / 2**56
