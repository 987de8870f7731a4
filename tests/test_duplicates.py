"""Frames that are spared the classifier: which, for how long, and that no replay decides otherwise."""

from __future__ import annotations

import asyncio
import itertools
from contextlib import asynccontextmanager

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from support.assessments import START, a_match, a_segment

from worker import conclude
from worker.assess import Assessor, Plan
from worker.conclude import Rules
from worker.duplicates import LEAST_LOOK_S, NearDuplicates
from worker.errors import SegmentError
from worker.escalation.context import Context
from worker.hashing import hamming
from worker.loaded import near_duplicates
from worker.policy.read import default
from worker.records import Frame, FrameHash, ModelRef, Received, Sample, Score, StreamEnd, StreamRisk, View
from worker.settings.tree import LinkTemplates, Scoring, Settings, Topics
from worker.streams import memory
from worker.streams.state import StreamState, restore, snapshot

MODEL = ModelRef(name="demo", version="1", sha256="0" * 64)
BITS = 10
RESCORE_S = 10.0
ALWAYS_S = 86_400.0
"""So long that what is drawn is hardly ever the reason to score."""
POLICY = default(harmless=frozenset({"harmless"}))
RULES = Rules(
    policy=POLICY,
    context=Context(
        model=MODEL, policy=POLICY.ref, lists=(), links=LinkTemplates(), preserve_before_s=0.0, source="test"
    ),
    topics=Topics(),
    max_message_bytes=1024**2,
    with_payload=False,
)
HASH = bytes(range(32))


class Shown(Struct, frozen=True):
    """A keyframe of a test stream."""

    pdq: bytes | None = HASH
    level: int = 2
    """The test's classifier answers so many 255ths."""
    offset_s: float = 0.0


class Sent(Struct, frozen=True):
    """A segment of a test stream."""

    number: int
    frames: tuple[Shown, ...] = (Shown(),)
    duration_s: float | None = 2.0
    discontinuity: bool = False


class Stations:
    """Decoder, lists and classifier over what a test sends; counts what it was asked."""

    view = View(height=2, width=2, fit="stretch")

    def __init__(self, *, matches=(), fails=False) -> None:
        self.sent: list[Sent] = []
        self.matches = matches
        self.fails = fails
        self.matched = 0
        self.rounds: list[int] = []

    @property
    def scored(self) -> int:
        return sum(self.rounds)

    @asynccontextmanager
    async def fetched(self, reference, *, max_bytes: int):
        yield b""

    async def sample(self, media, ask) -> Sample:
        sent = self.sent[int(media.data)]
        return Sample(
            container="mpegts",
            codec="h264",
            start_s=None,
            wrap_s=None,
            duration_s=sent.duration_s,
            keyframes_seen=len(sent.frames),
            frames=tuple(map(a_frame, sent.frames)),
            damaged=False,
        )

    def match(self, pdq: bytes):
        self.matched += 1
        return self.matches

    async def score(self, pictures):
        self.rounds.append(len(pictures))
        if self.fails:
            raise SegmentError("score", "model_failed", "not finite")
        return tuple(scores(int(picture[0, 0, 0])) for picture in pictures)


def a_frame(shown: Shown) -> Frame:
    """A keyframe as the decoder gives it."""
    digest = FrameHash(pdq=shown.pdq, quality=90 if shown.pdq else 10)
    picture = np.full((2, 2, 3), shown.level, np.uint8)
    return Frame(offset_s=shown.offset_s, width=2, height=2, hash=digest, picture=picture)


def scores(level: int) -> dict[str, Score]:
    """What the test's classifier says."""
    share = level / 255
    return {"harmless": Score(score=1 - share, probability=1 - share), "card": Score(score=share, probability=share)}


def sparing(*, bits: int = BITS, rescore_s: float = RESCORE_S, model: ModelRef = MODEL) -> NearDuplicates:
    """A rule for the tests' model."""
    labels = ("harmless", "card")
    return NearDuplicates(bits=bits, rescore_s=rescore_s, model=model, labels=labels, harmless={"harmless"})


class Stream:
    """One stream on its way through assessing and concluding."""

    def __init__(self, rule: NearDuplicates | None, stations: Stations | None = None) -> None:
        self.state = StreamState(stream_id="stream-1")
        self.stations = stations or Stations()
        self.offset = 0
        self.use(rule)

    def use(self, rule: NearDuplicates | None) -> None:
        """Go on with another rule, as a worker does that was started anew."""
        self.assessor = Assessor(
            source=self.stations,
            decoder=self.stations,
            known=self.stations,
            classifier=self.stations,
            plan=Plan(interval_s=0.0, max_keyframes=64, max_pixels=1000, max_streams=4, max_bytes=1000),
            on_stage=lambda _segment, _name, _seconds: None,
            duplicates=rule,
        )

    def send(self, *sent: Sent):
        """Work segments; return their looks."""
        return [look for one in sent for look in self.work(one).assessment.looks]

    def work(self, sent: Sent):
        """Work one segment; return what it led to."""
        self.stations.sent.append(sent)
        segment = a_segment(
            sent.number, payload=b"%d" % (len(self.stations.sent) - 1), discontinuity=sent.discontinuity
        )
        position = replace(segment.position, offset=self.offset)
        event = replace(segment.event, id=f"{segment.event.id}/{self.offset}")
        self.offset += 1
        segment = replace(segment, position=position, event=event)
        assessment = asyncio.run(self.assessor.assess(segment, self.state, None, START))
        received = Received(position=position, key=b"stream-1", value=b"x", headers=())
        found = conclude.segment(self.state, assessment, received, START, RULES)
        self.state = found.state
        return found

    def spared(self, *sent: Sent) -> list[bool]:
        """Work segments; return which of their frames were spared."""
        return [look.near_duplicate for look in self.send(*sent)]


def off(bits: int) -> bytes:
    """A hash so many bits off ``HASH``."""
    return (int.from_bytes(HASH, "big") ^ ((1 << bits) - 1)).to_bytes(32, "big")


def still(count: int, first: int = 0, **changes) -> list[Sent]:
    """So many segments of a picture that stands still."""
    return [Sent(number, (Shown(**changes),)) for number in range(first, first + count)]


# --- what is spared ---------------------------------------------------------------------------------------------------


def test_a_near_duplicate_of_the_last_scored_frame_takes_over_its_scores():
    """Within the bits it does, one bit beyond it does not; and its look says so."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    looks = stream.send(Sent(0), Sent(1, (Shown(off(BITS), 90),)), Sent(2, (Shown(off(BITS + 1), 90),)))
    assert [look.near_duplicate for look in looks] == [False, True, False]
    assert looks[1].scores["card"].probability == pytest.approx(2 / 255, abs=1e-7)
    assert looks[2].scores == scores(90)
    assert list(looks[1].scores) == list(looks[0].scores)
    assert stream.stations.scored == 2
    assert stream.state.coverage.keyframes_scored == 2


def test_every_frame_is_matched_spared_or_not():
    """Known material is not looked for less often."""
    stream = Stream(sparing(rescore_s=ALWAYS_S), Stations(matches=(a_match(list_kind="allow"),)))
    looks = stream.send(*still(5))
    assert sum(look.near_duplicate for look in looks) == 4
    assert stream.stations.matched == 5
    assert all(look.matches for look in looks)


def test_without_the_rule_every_frame_is_scored_and_nothing_is_remembered_of_it():
    """That is the default: not even a byte of a snapshot says that there could be more."""
    stream = Stream(near_duplicates(Settings(), None))
    assert stream.spared(*still(20)) == [False] * 20
    with_it = Stream(sparing(rescore_s=60.0))
    with_it.send(*still(1))
    fields, without = snapshot(with_it.state), snapshot(replace(with_it.state, last_scored=None))
    assert stream.state.last_scored is None
    assert len(msgspec.msgpack.decode(without)) == len(msgspec.msgpack.decode(fields)) - 1
    assert 32 < len(fields) - len(without) <= 72


def test_a_slow_drift_is_scored():
    """Each frame is one bit off the one before: after so many bits one is scored, however long scores may serve."""
    drift = [Sent(number, (Shown(off(number)),)) for number in range(200)]
    scored = [number for number, spared in enumerate(Stream(sparing(rescore_s=ALWAYS_S)).spared(*drift)) if not spared]
    assert scored == list(range(0, 200, BITS + 1))


def test_a_frame_without_a_hash_is_scored():
    """A plain picture resembles every other plain one; what was scored before it goes on to serve."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    plain = Sent(1, (Shown(None),))
    assert stream.spared(Sent(0), plain, replace(plain, number=2), Sent(3)) == [False, False, False, True]


def test_scores_that_speak_for_something_are_never_taken_over():
    """A picture that stands still and shows it is scored every time, and no score from before serves beside it."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    assert stream.spared(*still(6, level=128)) == [False] * 6
    assert stream.state.last_scored is None
    just_below = Stream(sparing(rescore_s=ALWAYS_S))
    assert just_below.spared(*still(3, level=127)) == [False, True, True]


def test_a_stream_with_a_risk_is_scored_frame_by_frame():
    """Until nothing is left of it: what lowers a risk has been looked at."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    stream.send(Sent(0))
    stream.state = replace(stream.state, risk=StreamRisk(value=2.0))
    assert stream.spared(Sent(1)) == [False]
    stream.state = replace(stream.state, risk=StreamRisk())
    assert stream.spared(Sent(2)) == [True]


def test_frames_of_one_segment_spare_each_other():
    """The rule is the same within a segment as over two."""
    frames = tuple(Shown(offset_s=0.25 * n) for n in range(4))
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    assert stream.spared(Sent(0, frames), Sent(1, frames)) == [False, *[True] * 7]


def test_once_a_frame_of_a_segment_speaks_all_after_it_are_scored():
    """In a second round: until the first was scored, nobody knew."""
    frames = tuple(Shown(level=level, offset_s=0.1 * n) for n, level in enumerate((200, 2, 2, 2)))
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    assert stream.spared(Sent(0, frames)) == [False] * 4
    assert stream.stations.rounds == [1, 3]


def test_a_segment_whose_scoring_failed_has_no_scores_and_changes_nothing():
    """Not even for the frames that would have been spared."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    stream.send(Sent(0))
    before = stream.state.last_scored
    stream.stations.fails = True
    looks = stream.send(Sent(1, (Shown(), Shown(off(90), offset_s=1.0))))
    assert [(look.scores, look.near_duplicate) for look in looks] == [(None, False)] * 2
    assert stream.state.last_scored == before


# --- for how long -----------------------------------------------------------------------------------------------------


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**40), st.floats(0.5, 60.0), st.sampled_from([0.5, 2.0, 6.0]))
def test_no_scores_serve_longer_than_rescore_s(offset, rescore_s, every_s):
    """A picture that stands still is scored anew within that time of the stream's own clock."""
    stream = Stream(sparing(rescore_s=rescore_s))
    stream.offset = offset
    sent = [Sent(number, duration_s=every_s) for number in range(60)]
    scored = [number for number, spared in enumerate(stream.spared(*sent)) if not spared]
    longest_s = max((b - a) * every_s for a, b in zip(scored, [*scored[1:], 60], strict=True))
    assert longest_s < rescore_s + every_s


def test_the_time_passes_within_a_segment_and_over_a_gap():
    """What serves for some seconds serves no frame behind them, be it of the same segment or after missing ones."""
    frames = tuple(Shown(offset_s=2.0 * n) for n in range(20))
    in_one = Stream(sparing()).spared(Sent(0, frames, duration_s=40.0))
    assert in_one.count(False) >= 4
    stream = Stream(sparing())
    stream.send(*still(5))
    assert stream.spared(Sent(12)) == [False]


def test_whoever_streams_can_not_foresee_which_frame_is_scored():
    """Of the frames after a scored one each has its chance, as the record's place in Kafka decides."""
    served = []
    for offset in range(0, 400, 10):
        stream = Stream(sparing())
        stream.offset = offset
        served.append(stream.spared(*still(7)).index(False, 1) - 1)
    assert set(served) == {0, 1, 2, 3, 4}
    assert 1.5 < sum(served) / len(served) < 2.5


def test_a_stream_whose_clock_hardly_moves_is_scored_all_the_same():
    """Durations of next to nothing make no scores serve longer than so many frames."""
    stream = Stream(sparing())
    sent = [Sent(number, duration_s=0.001) for number in range(200)]
    scored = [number for number, spared in enumerate(stream.spared(*sent)) if not spared]
    assert max(b - a for a, b in itertools.pairwise(scored)) <= RESCORE_S / LEAST_LOOK_S + 1


@pytest.mark.parametrize("changes", [{"discontinuity": True}, {"number": 0}, {"number": 5000}])
def test_nothing_serves_over_a_discontinuity(changes):
    """Announced, a count that began again, or a jump: what comes after it is scored by itself."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    stream.send(*still(70))
    sent = replace(Sent(70), **changes)
    assert stream.spared(sent, replace(sent, number=sent.number + 1, discontinuity=False)) == [False, True]


def test_nothing_serves_after_the_end_of_a_stream():
    """What comes after it is another broadcast."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    stream.send(*still(2))
    end = a_segment(2)
    event = StreamEnd(position=end.position, event=end.event, stream_id="stream-1")
    stream.state = memory.ended(stream.state, event)
    assert stream.spared(Sent(2)) == [False]


def test_a_discontinuity_whose_frames_could_not_be_scored_counts_too():
    """A failed segment's discontinuity is between the frames before and after it."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    stream.send(Sent(0))
    stream.stations.fails = True
    stream.send(Sent(1, discontinuity=True))
    stream.stations.fails = False
    assert stream.spared(Sent(2)) == [False]


def test_a_late_frame_is_scored_and_is_not_what_others_are_compared_with():
    """It is from before what was scored last."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    assert stream.spared(Sent(0), Sent(2)) == [False, True]
    assert stream.spared(Sent(1, (Shown(off(90)),))) == [False]
    assert stream.spared(Sent(3)) == [True]


@pytest.mark.parametrize("changes", [{"sha256": "1" * 64}, {"version": "2"}])
def test_no_scores_serve_another_model(changes):
    """A worker with a new model scores everything anew."""
    stream = Stream(sparing(rescore_s=ALWAYS_S))
    stream.send(*still(2))
    stream.use(sparing(rescore_s=ALWAYS_S, model=replace(MODEL, **changes)))
    assert stream.spared(*still(2, first=2)) == [False, True]


def test_a_stream_forgets_what_serves_no_more():
    """A worker with the rule turned off carries nothing of it on."""
    stream = Stream(sparing())
    stream.send(Sent(0))
    stream.use(None)
    stream.send(*still(8, first=1))
    assert stream.state.last_scored is None


# --- replays ----------------------------------------------------------------------------------------------------------

shown = st.builds(
    Shown,
    pdq=st.one_of(st.none(), st.sampled_from([0, 4, 9, 12, 20, 90]).map(off)),
    level=st.sampled_from([0, 3, 100, 127, 128, 250]),
)
steps = st.tuples(
    st.sampled_from([1, 1, 1, 1, 2, -1, 0, 100]),
    st.lists(shown, min_size=1, max_size=3),
    st.sampled_from([2.0, 2.0, 0.01, None]),
    st.sampled_from([False] * 9 + [True]),
)


def streams(drawn) -> list[Sent]:
    """Segments with gaps, late ones, restarts and jumps."""
    number, sent = 0, []
    for step, frames, duration_s, discontinuity in drawn:
        number = max(0, number + step)
        spaced = tuple(replace(one, offset_s=0.5 * n) for n, one in enumerate(frames))
        sent.append(Sent(number, spaced, duration_s, discontinuity))
    return sent


@settings(deadline=None, max_examples=150)
@given(st.lists(steps, min_size=2, max_size=25), st.data(), st.sampled_from([3.0, RESCORE_S, ALWAYS_S]))
def test_a_replay_from_any_snapshot_decides_the_same(drawn, data, rescore_s):
    """A new owner restores the stream where the former one released it, and everything after it is as undisturbed."""
    sent = streams(drawn)
    undisturbed = Stream(sparing(rescore_s=rescore_s))
    wanted = [undisturbed.work(one) for one in sent]
    cut = data.draw(st.integers(0, len(sent)))
    disturbed = Stream(sparing(rescore_s=rescore_s))
    before = [disturbed.work(one) for one in sent[:cut]]
    disturbed.state = restore("stream-1", snapshot(disturbed.state), disturbed.state.older)
    after = [disturbed.work(one) for one in sent[cut:]]
    assert [found.assessment for found in (*before, *after)] == [found.assessment for found in wanted]
    assert snapshot(disturbed.state) == snapshot(undisturbed.state)


@settings(deadline=None, max_examples=150)
@given(st.lists(steps, min_size=2, max_size=25), st.sampled_from([3.0, ALWAYS_S]))
def test_whatever_comes_a_spared_frame_is_near_a_scored_one_and_speaks_for_nothing(drawn, rescore_s):
    """And so no reason of any incident rests on a frame that was not scored."""
    stream = Stream(sparing(rescore_s=rescore_s))
    last = None
    for sent in streams(drawn):
        found = stream.work(sent)
        late = found.assessment.standing == "late"
        for look in found.assessment.looks:
            if look.near_duplicate:
                assert last is not None
                assert hamming(look.hash.pdq, last.hash.pdq) <= BITS
                assert look.scores["card"].probability == pytest.approx(last.scores["card"].probability, abs=1e-7)
                assert look.scores["card"].probability <= 0.5
            elif look.hash.pdq is not None and not late:
                last = look
        spared_s = {look.offset_s for look in found.assessment.looks if look.near_duplicate}
        newest = found.incident.reasons if found.incident else ()
        told = [reason.frame for reason in newest if reason.frame.segment.offset == stream.offset - 1]
        starts_s = [frame.media_time_s - frame.segment.starts_at_s for frame in told]
        assert not {s for s in starts_s if any(abs(s - one) < 1e-6 for one in spared_s)}


def test_the_settings_are_the_rule():
    """0 bits spare nothing, and so does a worker without a classifier."""

    class Model:
        ref, labels, harmless = MODEL, ("harmless", "card"), frozenset({"harmless"})

    assert near_duplicates(Settings(), Model()) is None
    settings_ = Settings(scoring=Scoring(near_duplicate_bits=BITS))
    assert near_duplicates(settings_, None) is None
    assert Stream(near_duplicates(settings_, Model())).spared(*still(60)).count(True) > 20
