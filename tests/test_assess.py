"""One segment through the stations: what is asked, in which order, and what each failure becomes."""

from __future__ import annotations

import asyncio
import hashlib
from contextlib import asynccontextmanager

import numpy as np
import pytest
from support.assessments import PDQ, START, a_match, a_segment

from worker.assess import WHOLE, Assessor, Plan
from worker.errors import Held, SegmentError
from worker.loaded import plan
from worker.records import EventId, Frame, FrameHash, Initialisation, Reference, Sample, Score, View
from worker.settings.tree import Sampling, Settings
from worker.streams import memory
from worker.streams.state import StreamState

STATE = StreamState(stream_id="stream-1")
PLAN = Plan(interval_s=2.0, max_keyframes=8, max_pixels=1000, max_streams=4, max_bytes=100)
PICTURE = np.zeros((2, 2, 3), np.uint8)


def a_frame(offset_s: float = 0.0, pdq: bytes | None = PDQ) -> Frame:
    """A keyframe with its picture."""
    digest = FrameHash(pdq=pdq, quality=90 if pdq else 10)
    return Frame(offset_s=offset_s, width=2, height=2, hash=digest, picture=PICTURE)


def a_sample(*frames: Frame, codec: str | None = "h264", damaged: bool = False, seen: int | None = None) -> Sample:
    """What the decoder found."""
    return Sample(
        container="mpegts",
        codec=codec,
        start_s=1.0,
        wrap_s=None,
        duration_s=2.0,
        keyframes_seen=len(frames) if seen is None else seen,
        frames=frames,
        damaged=damaged,
    )


class Stations:
    """Fetch, decoder, lists and classifier in one, each answering as told and noting what it was asked."""

    view = View(height=2, width=2, fit="stretch")

    def __init__(self, sample: Sample | Exception, matches=(), *, objects=None, score_error=None) -> None:
        self.sample_or_error = sample
        self.matches = matches
        self.objects = objects or {}
        self.score_error = score_error
        self.asked = []
        self.scored = 0

    @asynccontextmanager
    async def fetched(self, reference: Reference, *, max_bytes: int):
        self.asked.append(("fetch", reference.uri, max_bytes))
        found = self.objects[reference.uri]
        if isinstance(found, Exception):
            raise found
        yield found
        self.asked.append(("room given back", reference.uri))

    async def fetch_init(self, reference: Reference) -> bytes:
        self.asked.append(("init", reference.uri))
        return self.objects[reference.uri]

    async def sample(self, media, ask) -> Sample:
        self.asked.append(("decode", media, ask))
        if isinstance(self.sample_or_error, Exception):
            raise self.sample_or_error
        return self.sample_or_error

    def match(self, pdq: bytes):
        self.asked.append(("match", pdq))
        return self.matches

    async def score(self, pictures):
        self.scored += len(pictures)
        if self.score_error:
            raise self.score_error
        return tuple({"card": Score(score=0.5, probability=0.5)} for _ in pictures)


def assessor(stations: Stations, *, classifier: bool = True, asking: Plan = PLAN) -> Assessor:
    """An assessor over these stations."""
    return Assessor(
        source=stations,
        decoder=stations,
        known=stations,
        classifier=stations if classifier else None,
        plan=asking,
        on_stage=lambda _segment, _name, _seconds: None,
    )


async def assess(stations: Stations, segment=None, *, state=STATE, init=None, classifier=True, turn=WHOLE):
    """The assessment of a segment."""
    return await assessor(stations, classifier=classifier).assess(segment or a_segment(0), state, init, START, turn)


async def test_a_keyframe_is_hashed_matched_and_scored():
    """A look holds what all stations said of its frame."""
    assessment = await assess(Stations(a_sample(a_frame(), a_frame(1.0))))
    assert (assessment.outcome, assessment.why, assessment.keyframes_seen) == ("assessed", None, 2)
    assert [look.scores["card"].probability for look in assessment.looks] == [0.5, 0.5]
    assert assessment.sha256 == hashlib.sha256(b"media").hexdigest()


@pytest.mark.parametrize(("kind", "scored"), [("block", 0), ("review", 1), ("allow", 1)])
async def test_a_frame_that_a_block_list_matched_never_reaches_the_classifier(kind, scored):
    """Known material is not scored; matches of review and allow lists are scored all the same."""
    stations = Stations(a_sample(a_frame()), (a_match(list_kind=kind),))
    assessment = await assess(stations)
    assert stations.scored == scored
    assert (assessment.looks[0].scores is None) == (scored == 0)
    assert len(assessment.looks[0].matches) == 1


async def test_a_frame_too_plain_to_hash_is_scored_and_matched_with_nothing():
    """No hash is no match, never an empty one."""
    stations = Stations(a_sample(a_frame(pdq=None)))
    assessment = await assess(stations)
    assert stations.scored == 1
    assert all(asked[0] != "match" for asked in stations.asked)
    assert assessment.looks[0].hash.pdq is None


@pytest.mark.parametrize(
    ("sample", "why"), [(a_sample(codec=None), "no_video"), (a_sample(codec="h264", seen=0), "no_keyframe")]
)
async def test_a_segment_without_video_or_keyframe_is_skipped_with_its_reason(sample, why):
    """Audio-only and keyframe-free segments are normal in some streams."""
    assessment = await assess(Stations(sample))
    assert (assessment.outcome, assessment.why, assessment.looks) == ("skipped", why, ())


async def test_a_repeat_is_not_decoded():
    """The same bytes under the same event id are known by their digest."""
    first = await assess(Stations(a_sample(a_frame())))
    state, _ = memory.advance(STATE, first, preserve_before_s=0)
    stations = Stations(a_sample(a_frame()))
    assessment = await assess(stations, state=state)
    assert (assessment.outcome, assessment.why) == ("skipped", "repeat")
    assert stations.asked == []


async def test_a_known_sequence_with_other_bytes_is_looked_at_as_a_restart():
    """Nobody hides a picture behind a number that was there before."""
    first = await assess(Stations(a_sample(a_frame())))
    state, _ = memory.advance(STATE, first, preserve_before_s=0)
    other = a_segment(0, payload=b"other", event=EventId(source="s", id="other"))
    assessment = await assess(Stations(a_sample(a_frame())), other, state=state)
    assert (assessment.outcome, assessment.why) == ("assessed", "restarted")
    assert len(assessment.looks) == 1


async def test_damage_after_a_whole_keyframe_is_told():
    """What could be seen counts, and the reason says that not all could."""
    assessment = await assess(Stations(a_sample(a_frame(), damaged=True)))
    assert (assessment.outcome, assessment.why) == ("assessed", "partial")


@pytest.mark.parametrize(
    "error",
    [SegmentError("decode", "corrupt", "it is corrupt"), SegmentError("decode", "timeout", "too slow", attempts=2)],
)
async def test_a_failure_of_the_decoder_is_a_dead_letter(error):
    """Its stage, error, reason and attempts are kept; so is the digest, to know the bytes again."""
    assessment = await assess(Stations(error))
    assert (assessment.outcome, assessment.why) == ("dead_lettered", error.error)
    assert (assessment.failure.stage, assessment.failure.attempts) == ("decode", error.attempts)
    assert assessment.sha256 is not None


async def test_a_failure_of_the_classifier_is_a_dead_letter():
    """A model that gives no answer is an error, never clean."""
    stations = Stations(a_sample(a_frame()), score_error=SegmentError("score", "model_failed", "not finite"))
    assessment = await assess(stations)
    assert (assessment.outcome, assessment.failure.error) == ("dead_lettered", "model_failed")


async def test_a_match_counts_though_the_classifier_failed():
    """What a list knows is never suppressed once its frame was decoded."""
    error = SegmentError("score", "model_failed", "not finite")
    assessment = await assess(Stations(a_sample(a_frame()), (a_match(list_kind="review"),), score_error=error))
    assert assessment.outcome == "dead_lettered"
    assert [(len(look.matches), look.scores) for look in assessment.looks] == [(1, None)]


async def test_a_claim_check_is_fetched_within_the_limit():
    """The object's bytes are what is decoded."""
    stations = Stations(a_sample(a_frame()), objects={"s3://b/k": b"from the store"})
    await assess(stations, a_segment(0, payload=Reference(uri="s3://b/k")))
    assert stations.asked[0] == ("fetch", "s3://b/k", PLAN.max_bytes)
    assert stations.asked[1][1].data == b"from the store"
    assert stations.asked[-1] == ("room given back", "s3://b/k")  # once it is assessed, not once it is here


async def test_a_store_that_is_away_holds_the_segment():
    """Held is no outcome: it goes up to whoever waits and tries again."""
    stations = Stations(a_sample(), objects={"s3://b/k": Held("away")})
    with pytest.raises(Held):
        await assess(stations, a_segment(0, payload=Reference(uri="s3://b/k")))


@pytest.mark.parametrize(
    ("content_type", "initref", "expected"),
    [
        ("video/iso.segment", None, b"from the event"),
        ("video/iso.segment", "s3://b/init", b"from the reference"),
        ("video/mp2t", None, None),
        ("video/mp4", None, None),
    ],
)
async def test_the_initialisation_of_a_media_segment_is_its_own_reference_else_the_stream_s(
    content_type, initref, expected
):
    """Only CMAF media segments get one; their own reference goes before the stream's init event."""
    stations = Stations(a_sample(a_frame()), objects={"s3://b/init": b"from the reference"})
    reference = Reference(uri=initref) if initref else None
    await assess(stations, a_segment(0, content_type=content_type, init=reference), init=b"from the event")
    media = next(asked[1] for asked in stations.asked if asked[0] == "decode")
    assert media.init == expected


@pytest.mark.parametrize("on", [True, False])
async def test_the_loop_filter_is_the_operators_choice(on):
    """The setting comes out at the decoder."""
    stations = Stations(a_sample(a_frame()))
    chosen = assessor(stations, asking=plan(Settings(sampling=Sampling(loop_filter=on))))
    await chosen.assess(a_segment(0), STATE, None, START)
    assert next(asked[2] for asked in stations.asked if asked[0] == "decode").loop_filter is on


async def test_without_a_classifier_no_pictures_are_asked_for():
    """Hash lists alone need none."""
    stations = Stations(a_sample(a_frame()))
    assessment = await assess(stations, classifier=False)
    ask = next(asked[2] for asked in stations.asked if asked[0] == "decode")
    assert ask.view is None
    assert assessment.looks[0].scores is None


async def test_an_init_event_s_claim_check_is_held_to_the_size_of_an_initialisation():
    """Its own limit, not the segments'."""
    stations = Stations(a_sample(), objects={"s3://b/init": b"init"})
    event = Initialisation(
        position=a_segment(0).position,
        event=EventId(source="s", id="i"),
        stream_id="stream-1",
        payload=Reference(uri="s3://b/init"),
    )
    assert await assessor(stations).initialisation(event) == b"init"
    assert stations.asked[0] == ("fetch", "s3://b/init", 256 * 1024)


class SlowStations(Stations):
    """The decoder is quick, the classifier is slow."""

    def __init__(self) -> None:
        super().__init__(a_sample(a_frame()))
        self.goes_on = asyncio.Event()

    async def score(self, pictures):
        await self.goes_on.wait()
        return await super().score(pictures)


async def test_no_more_segments_pictures_are_in_memory_than_the_plan_says():
    """A classifier that is slower than the decoders lets no pictures pile up: decoding waits for it."""
    stations = SlowStations()
    made = assessor(stations)
    working = [asyncio.create_task(made.assess(a_segment(n), STATE, None, START)) for n in range(3 * PLAN.at_once)]
    for _ in range(50):
        await asyncio.sleep(0)
    assert sum(asked[0] == "decode" for asked in stations.asked) == PLAN.at_once
    stations.goes_on.set()
    assert [(await done).outcome for done in working] == ["assessed"] * len(working)


class Turn:
    """Says how much to look at, before the fetch and before the decoder."""

    def __init__(self, *says):
        self.says = says

    def before_fetch(self):
        return self.says[0]

    def before_decode(self, *, waited):
        self.had_to_wait = waited
        return self.says[-1]


async def test_a_turn_is_told_whether_others_were_in_the_way():
    """Whoever finds the decoders free did not wait, whatever the clocks say."""
    stations = SlowStations()
    made, turns = assessor(stations), [Turn("whole") for _ in range(PLAN.at_once + 2)]
    working = [asyncio.create_task(made.assess(a_segment(n), STATE, None, START, turn)) for n, turn in enumerate(turns)]
    for _ in range(50):
        await asyncio.sleep(0)
    stations.goes_on.set()
    await asyncio.gather(*working)
    assert [turn.had_to_wait for turn in turns] == [False] * PLAN.at_once + [True, True]


async def test_what_is_shed_costs_neither_a_fetch_nor_a_decoder():
    """Shed at once it is asked of nobody; shed later it was fetched, and its digest is known."""
    reference = Reference(uri="s3://b/k")
    stations = Stations(a_sample(a_frame()), objects={reference.uri: b"bytes"})
    at_once = await assess(stations, a_segment(0, payload=reference), turn=Turn("lateness"))
    assert (at_once.outcome, at_once.why, at_once.sha256, stations.asked) == ("shed", "lateness", None, [])
    later = await assess(stations, a_segment(0, payload=reference), turn=Turn("whole", "overload"))
    assert (later.outcome, later.why, later.looks) == ("shed", "overload", ())
    assert later.sha256 == hashlib.sha256(b"bytes").hexdigest()
    assert [name for name, *_ in stations.asked] == ["fetch", "room given back"]


@pytest.mark.parametrize(("seen", "why"), [(1, None), (3, "hurried")])
async def test_a_first_keyframe_is_all_that_is_asked_for_of_a_late_segment(seen, why):
    """That others were left out is told where there were others."""
    stations = Stations(a_sample(a_frame(), seen=seen))
    assessment = await assess(stations, turn=Turn("first"))
    assert [ask.max_keyframes for name, *_, ask in stations.asked if name == "decode"] == [1]
    assert (assessment.outcome, assessment.why, assessment.keyframes_seen) == ("assessed", why, seen)


async def test_a_segment_that_was_there_before_is_a_repeat_however_late_it_is():
    """Where its bytes are at hand nothing is shed that need not be looked at."""
    first = await assess(Stations(a_sample(a_frame())))
    state, _ = memory.advance(STATE, first, preserve_before_s=0.0)
    again = await assess(Stations(a_sample(a_frame())), state=state, turn=Turn("whole", "lateness"))
    assert (again.outcome, again.why) == ("skipped", "repeat")
