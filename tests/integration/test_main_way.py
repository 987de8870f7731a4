"""The main way on a real broker: segments in; outcomes, incidents and dead letters out."""

from __future__ import annotations

from collections import Counter

from support import media
from support.cards import card, harmless
from support.deployment import deployed

from worker.records import Reference
from worker.settings.tree import Scoring


def clip(picture, *, start_s: float = 0.0, **more) -> bytes:
    """A segment of two seconds of one picture."""
    return media.make_segment(width=320, height=180, picture=lambda _: picture, start_s=start_s, **more)


CARD = card(180, 320)
QUIET = harmless(180, 320, 1)
DETAILED = media.textured(320, 180)(0.0)
"""Enough so for a hash, other than ``QUIET``."""


async def test_a_stream_that_turns_risky_opens_one_incident(broker):
    """Harmless segments open nothing; a run of the demo model's card opens one incident within 12 s of media."""
    async with deployed(broker) as deployment, deployment.worker():
        for sequence in range(12):
            picture = QUIET if sequence < 4 else CARD
            payload = clip(picture, start_s=2.0 * sequence)
            await deployment.send(
                deployment.segment("risky", payload, sequence=sequence),
                deployment.segment("calm", clip(QUIET, start_s=2.0 * sequence), sequence=sequence),
            )
        reports = await deployment.assessments(24)
        incidents = await deployment.incidents(1)
    assert Counter(report.outcome for report in reports) == {"assessed": 24}
    assert [(i.stream_id, i.state, i.revision) for i in incidents] == [("risky", "open", 1)]
    incident = incidents[0]
    assert 8.0 <= incident.media_time_s <= 20.0
    assert incident.reasons[0].kind == "label"
    assert incident.reasons[0].label == "card"
    assert {s.sequence for s in [r.frame for r in incident.reasons if r.frame]} <= set(range(4, 10))
    assert incident.explanation


async def test_bad_events_are_one_dead_letter_each_and_disturb_nothing(broker):
    """Every kind of bad input has its own outcome, counted and committed; the good stream beside it is assessed."""
    async with deployed(broker) as deployment, deployment.worker():
        good = clip(QUIET)
        broken = deployment.segment("bad", good, sequence=1)
        without_type = [h for h in broken.headers if h[0] != "ce_type"]
        await deployment.send(
            deployment.segment("good", good, sequence=1),
            broken.__class__(topic=broken.topic, key=b"bad", value=good, headers=tuple(without_type)),
            broken.__class__(topic=broken.topic, key=b"\xff\xfe", value=good, headers=broken.headers),
            deployment.segment("bad", b"", sequence=2),
            deployment.segment("bad", b"\x00random bytes" * 100, sequence=3),
            deployment.segment("bad", good, sequence=4, content_type="video/webm"),
            deployment.segment("bad", Reference(uri="file:///etc/passwd"), sequence=5),
            deployment.segment("bad", clip(QUIET, container="mp4")[:700], sequence=6, content_type="video/mp4"),
            deployment.segment("good", clip(QUIET, start_s=2.0), sequence=2),
        )
        reports = await deployment.assessments(9)
        letters = await deployment.dead_letters(7)
        committed = await deployment.committed()
    assert Counter(report.outcome for report in reports) == {"assessed": 2, "dead_lettered": 7}
    assert {report.stream_id for report in reports if report.outcome == "assessed"} == {"good"}
    errors = Counter((letter.stage, letter.error) for letter in letters)
    assert errors[("wire", "missing_header")] == 1
    assert errors[("wire", "bad_key")] == 1
    assert errors[("wire", "no_body")] == 1
    assert errors[("fetch", "outside_roots")] == 1
    assert sum(count for (stage, _), count in errors.items() if stage == "decode") == 3
    assert sum(offset or 0 for offset in committed.values()) == 9


async def test_a_restart_goes_on_where_the_commit_was(broker):
    """A second worker neither repeats nor misses a segment, and the stream's risk goes on from the first one's."""
    async with deployed(broker, partitions=1) as deployment:
        async with deployment.worker():
            for sequence in range(2):
                await deployment.send(deployment.segment("s", clip(CARD, start_s=2.0 * sequence), sequence=sequence))
            first = await deployment.assessments(2)
        async with deployment.worker():
            await deployment.send(deployment.segment("s", clip(CARD, start_s=4.0), sequence=2))
            reports = await deployment.assessments(3)
    assert [report.sequence for report in reports] == [0, 1, 2]
    assert reports[2].risk > first[1].risk
    assert reports[2].media_time_s == 4.0


async def test_cmaf_takes_its_initialisation_from_an_init_event(broker):
    """Media segments without one are decoded with the init event's; before it they are dead letters."""
    init, segments = media.make_cmaf(seconds=4.0, picture=lambda _: QUIET, width=320, height=180)
    async with deployed(broker) as deployment, deployment.worker():
        await deployment.send(
            deployment.segment("c", segments[0], sequence=0, content_type="video/iso.segment"),
            deployment.init("c", init),
            deployment.segment("c", segments[1], sequence=1, content_type="video/iso.segment"),
            deployment.end("c"),
        )
        reports = await deployment.assessments(2)
    assert [(r.outcome, r.why) for r in reports] == [("dead_lettered", "no_init"), ("assessed", None)]


async def test_a_still_stream_is_scored_now_and_then_and_what_changes_at_once(broker):
    """Near-duplicates are spared the classifier, over a restart too; every card is scored and opens as ever."""
    scoring = Scoring(model="models/demo", near_duplicate_bits=6, rescore_s=60.0)
    async with deployed(broker, partitions=1, scoring=scoring) as deployment:
        for first, pictures in ((0, [DETAILED] * 40), (40, [DETAILED] * 40 + [CARD] * 8)):
            async with deployment.worker():
                for sequence, picture in enumerate(pictures, first):
                    payload = clip(picture, start_s=2.0 * sequence)
                    await deployment.send(deployment.segment("still", payload, sequence=sequence))
                reports = await deployment.assessments(first + len(pictures))
        incidents = await deployment.incidents(1)
    frames = [report.frames[0] for report in reports]
    assert not frames[0].near_duplicate
    assert 48 < sum(frame.near_duplicate for frame in frames[:80]) < 80
    assert not any(frame.near_duplicate for frame in frames[80:])
    assert all(frame.scores for frame in frames)
    assert [incident.state for incident in incidents] == ["open"]
    assert incidents[0].coverage.keyframes_scored < incidents[0].coverage.keyframes_hashed
