"""What is remembered of a stream."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace
from support.assessments import START, a_look, a_match, a_segment, an_assessment, at_ms

from worker.errors import Stopped
from worker.records import Assessment, EventId, Failure, OpenIncident, Reference, Sighting, StreamRisk
from worker.references import packed
from worker.streams.memory import LOOSE, advance
from worker.streams.state import MOST_KEPT, VERSION, StreamState, restore, snapshot

NEW = StreamState(stream_id="stream-1")


def play(*assessments: Assessment, state: StreamState = NEW, preserve_before_s: float = 120.0) -> StreamState:
    """Let a stream pass; return its memory."""
    for assessment in assessments:
        state, _ = advance(state, assessment, preserve_before_s=preserve_before_s)
    return state


def many(count: int, **changes: object) -> list[Assessment]:
    """Return so many honest segments."""
    return [replace(an_assessment(a_segment(n)), **changes) for n in range(count)]


def an_incident(**changes: object) -> OpenIncident:
    """Return an incident that has been opened."""
    incident = OpenIncident(
        incident_id="i",
        revision=1,
        opened_by=EventId(source="s", id="e"),
        opened_at=START,
        severity="high",
        kinds=("label",),
        live=True,
        test=False,
    )
    return replace(incident, **changes)


def test_a_snapshot_holds_all() -> None:
    """What was written is what is read, an open incident and sightings too."""
    state = replace(
        play(*many(80)),
        risk=StreamRisk(value=1.25, peak=3.5, quiet_s=2.0, incident=an_incident()),
        sightings=(Sighting(list="l", entry="e", media_time_s=1.5, at_s=0.25),),
        shed_since_look=3,
    )
    assert restore("stream-1", snapshot(state), state.older) == state


def test_a_snapshot_of_before_shedding_is_of_a_stream_that_is_owed_a_look() -> None:
    """An older Framewatch counted nothing: the next segment is looked at, however late."""
    fields = msgspec.msgpack.decode(snapshot(play(*many(2))))
    assert restore("stream-1", msgspec.msgpack.encode(fields[:-1])).shed_since_look is None


def test_a_snapshot_is_small() -> None:
    """A stream costs under 1.3 kB, under 0.2 kB for each loose segment to preserve, and 60 bytes for a packed one."""
    state = play(*many(203))
    assert len(snapshot(replace(state, tail=()))) < 1300
    assert len(state.tail) == LOOSE - 1
    assert len(snapshot(state)) < 1300 + 200 * len(state.tail)
    assert len(state.older) < 60 * len(state.recent)


def test_a_newer_snapshot_is_refused_with_its_version() -> None:
    """A worker that is too old says so rather than guess."""
    newer = msgspec.msgpack.encode([VERSION + 1, {"unknown": "shape"}])
    with pytest.raises(Stopped, match=f"version {VERSION + 1}.*newer Framewatch"):
        restore("s", newer)


DAMAGED = [b"", b"\xc1", b"\x93\x01\x02\x03", b"\x93\x02\x02\x03", snapshot(NEW)[:-3], b"null"]


@pytest.mark.parametrize("data", DAMAGED)
def test_a_damaged_snapshot_is_refused(data: bytes) -> None:
    """Nothing is made up where a snapshot can't be read."""
    with pytest.raises(Stopped, match="damaged"):
        restore("s", data)


def test_a_state_says_through_which_record_it_is() -> None:
    """The offset and the broker's time of the last record are in it."""
    state = play(an_assessment(a_segment(5)))
    assert state.through_offset == 1005
    assert state.last_appended_ms == at_ms(10)


def test_what_the_publisher_tells_once_is_kept() -> None:
    """Tenant, account and viewers are those of the newest segment that told them."""
    told = an_assessment(a_segment(0, tenant="kids-1", account="a-7", viewers=12))
    state = play(told, an_assessment(a_segment(1, viewers=0)))
    assert (state.tenant, state.account, state.viewers) == ("kids-1", "a-7", 0)


def test_coverage_counts_keyframes() -> None:
    """Seen, hashed and scored are three numbers."""
    unhashed = msgspec.structs.replace(a_look(), hash=msgspec.structs.replace(a_look().hash, pdq=None, quality=3))
    looks = (a_look(), unhashed, a_look(probability=None))
    coverage = play(*many(2, looks=looks, keyframes_seen=5)).coverage
    assert (coverage.keyframes_seen, coverage.keyframes_hashed, coverage.keyframes_scored) == (10, 4, 4)


def test_the_longest_gap_is_in_one_piece() -> None:
    """Missing and failed segments in a row are one gap, a watched one ends it."""
    unseen = {"outcome": "skipped", "why": "plan", "looks": ()}
    segments = many(12)
    state = play(segments[0], segments[3], replace(segments[4], **unseen), *segments[6:9], *segments[10:])
    assert state.coverage.unwatched_s == 10.0
    assert state.coverage.longest_gap_s == 4.0
    unseen_between = play(segments[0], replace(segments[2], **unseen), segments[4])
    assert unseen_between.coverage.longest_gap_s == 6.0


def test_a_late_segment_fills_its_gap() -> None:
    """What was missing and came late was watched after all."""
    segments = many(4)
    state = play(segments[0], segments[2], segments[1])
    assert (state.coverage.watched_s, state.coverage.unwatched_s) == (6.0, 0.0)


def test_recent_segments_reach_back_as_far_as_asked() -> None:
    """Enough to preserve what was before an incident, and no more."""
    state = play(*many(40), preserve_before_s=20.0)
    assert [entry.offset for entry in state.recent] == list(range(1029, 1040))


def test_nobody_pushes_segments_out_by_lying_about_time() -> None:
    """A media time of years leaves the segments before it to be preserved."""
    lie = an_assessment(a_segment(5, media_time_s=3e8, captured_at=START.replace(year=9000)), start_s=1e12)
    assert len(play(*many(5), lie).recent) == 6


def test_no_more_than_a_bounded_number_is_kept() -> None:
    """Segments of a frame each don't fill the memory."""
    assert len(play(*many(300, duration_s=0.04, start_s=None)).recent) == MOST_KEPT


def test_a_failed_segment_is_kept_and_a_repeat_is_not() -> None:
    """What nobody could look at may be the evidence."""
    failed = replace(
        an_assessment(a_segment(1), looks=()),
        outcome="dead_lettered",
        failure=Failure(stage="decode", error="corrupt", reason="-"),
    )
    state = play(*many(1), failed, *many(1))
    assert [entry.offset for entry in state.recent] == [1000, 1001]


def test_references_are_kept_without_credentials() -> None:
    """Neither the media's nor the initialisation's URI has more than its path."""
    uri = "https://user:secret@host/live/1.m4s?signature=secret#secret"
    segment = a_segment(0, payload=Reference(uri=uri, byterange=(5, 9)), init=Reference(uri=uri))
    state = play(an_assessment(segment))
    kept = state.recent[0].segment()
    assert (kept.ref, kept.initref, kept.byterange) == ("https://host/live/1.m4s",) * 2 + ("5-9",)
    assert b"secret" not in snapshot(state)
    assert b"secret" not in packed(state.recent)


@pytest.mark.parametrize(
    ("failure", "standing"),
    [
        (Failure(stage="decode", error="corrupt", reason="-"), "repeat"),
        (Failure(stage="decode", error="crashed", reason="-"), "late"),
        (Failure(stage="score", error="model_failed", reason="-"), "late"),
        (Failure(stage="fetch", error="no_init", reason="-"), "late"),
    ],
)
def test_a_retry_is_looked_at_where_the_failure_was_ours(failure: Failure, standing: str) -> None:
    """The same corrupt bytes again are a repeat; what the decoder died of gets its second look."""
    failed = an_assessment(a_segment(0), outcome="dead_lettered", failure=failure, looks=())
    _, placed = advance(play(failed), an_assessment(a_segment(0)), preserve_before_s=120.0)
    assert placed.assessment.standing == standing


def test_known_material_stays_the_same_while_an_incident_is_open() -> None:
    """Its revisions must not fall into two jobs; after it, the key goes."""
    first = an_assessment(a_segment(0), looks=(a_look(0.0, a_match(distance=9), a_match(entry="near", distance=2)),))
    second = an_assessment(a_segment(1), looks=(a_look(0.0, a_match(entry="other")),))
    before = play(first)
    opened = replace(before, risk=StreamRisk(incident=an_incident()))
    assert before.material is not None
    assert play(second, state=opened).material == before.material
    assert play(second, state=before).material != before.material
    assert play(*many(2)[1:], state=before).material is None


def test_an_allowed_match_is_no_known_material() -> None:
    """An allow list says what is harmless."""
    allowed = an_assessment(a_segment(0), looks=(a_look(0.0, a_match(list_kind="allow")),))
    assert play(allowed).material is None
