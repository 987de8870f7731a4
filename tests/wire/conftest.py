"""What the tests of the wire write and read back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from worker import records as r

NOW = datetime(2026, 11, 1, 12, 0, 0, 250_000, tzinfo=UTC)


def segment_ref(offset: int) -> r.SegmentRef:
    """Return a segment of the stream; its media time follows its offset."""
    return r.SegmentRef(
        topic="segments",
        partition=0,
        offset=offset,
        event_id=f"seg-{offset}",
        ref=f"s3://bucket/stream-1/{offset}.ts",
        byterange=None,
        initref=None,
        sha256="ab" * 32,
        content_type="video/mp2t",
        starts_at_s=2.0 * offset,
    )


def reason(kind: r.ReasonKind, weight: float, offset: int) -> r.Reason:
    """Return a reason that points at a segment."""
    frame = r.ReasonFrame(
        media_time_s=2.0 * offset, wall_time=NOW, wall_time_from="ce_time", sequence=offset, segment=segment_ref(offset)
    )
    return r.Reason(kind=kind, weight=weight, category=None, policy_ref=None, label="card", score=0.9, frame=frame)


@pytest.fixture
def now() -> datetime:
    """A time to write messages at."""
    return NOW


@pytest.fixture
def incident() -> r.Incident:
    """An open incident with four reasons of two kinds and sixty segments to preserve."""
    return r.Incident(
        incident_id="inc-1",
        revision=1,
        test=False,
        state="open",
        closed_why=None,
        live=True,
        behind_s=1.5,
        stream_id="ström-1",
        tenant="kids-1",
        account=None,
        group=r.Group(account=None, material="demo/7"),
        severity="high",
        respond_by=NOW + timedelta(minutes=5),
        opened_at=NOW,
        updated_at=NOW,
        closed_at=None,
        action="pause",
        media_time_s=118.0,
        media_time_from="counted",
        sequence=59,
        viewers=12,
        links=r.Links(watch="https://watch.example/ström-1?t=118", clip=None, account=None),
        risk=r.RiskFigures(value=7.5, peak=7.5, open_above=6.0, close_below=2.0),
        reasons=(
            reason("label", 3.0, 3),
            reason("label", 5.0, 4),
            reason("label", 1.0, 5),
            reason("known_image", 9, 6),
        ),
        explanation="The label card stayed above 0.9 for 12 s.",
        preserve=r.Preserve(from_=NOW - timedelta(minutes=2), until=NOW, segments=tuple(map(segment_ref, range(60)))),
        model=r.ModelRef(name="demo", version="1.0.0", sha256="cd" * 32),
        policy=r.PolicyRef(name="default", sha256="ef" * 32),
        lists=(r.ListRef(name="demo", version="1"),),
        coverage=r.Coverage(watched_s=118.0, keyframes_seen=59),
        timings=r.Timings(captured_at=NOW, decided_at=NOW),
        evidence=(r.EvidenceRef(ref="vault://1", sha256="ab" * 32, media_time_s=118.0),),
    )


@pytest.fixture
def report() -> r.AssessmentReport:
    """An assessment of one segment."""
    return r.AssessmentReport(
        topic="segments",
        partition=0,
        offset=59,
        event_id="seg-59",
        stream_id="ström-1",
        outcome="assessed",
        why=None,
        sequence=59,
        media_time_s=118.0,
        duration_s=2.0,
        frames=(
            r.ReportedFrame(
                media_time_s=118.0,
                quality=90,
                scores={"card": r.Score(score=0.9, probability=0.8)},
                matches=(r.ReportedMatch(list="demo", entry="7", distance=4),),
            ),
        ),
        digest="ab" * 32,
        risk=7.5,
        timings=r.Timings(received_at=NOW),
    )


@pytest.fixture
def config() -> r.ConfigReport:
    """What a worker decides with."""
    return r.ConfigReport(
        worker="pod-0",
        version="1.0.0",
        at=NOW,
        model=None,
        policy=r.PolicyRef(name="default", sha256="ef" * 32),
        lists=(r.ListRef(name="demo", version="1"),),
        limits={"fetch.max_bytes": 67108864},
        jail="none",
    )


@pytest.fixture
def letter() -> r.Received:
    """A record that becomes a dead letter: URLs with secrets in every place they can be."""
    headers = {
        "ce_specversion": b"1.0",
        "ce_id": b"seg-17",
        "ce_source": b"//packager:hunter2@host/7?key=hunter2",
        "ce_type": b"framewatch.segment.v1",
        "ce_sequence": b"17",
        "ce_dataref": b"https://user:hunter2@store.example/a/17.ts?X-Amz-Signature=hunter2#hunter2",
        "ce_initref": b"s3://KEY:hunter2@bucket/init.mp4",
        "content-type": b"video/mp2t",
        "traceparent": b"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "x-callback": b"see https://a:hunter2@host/x?token=hunter2 and rtmp://host/app?hunter2 too",
        "x-note": b"plain text, kept as it is",
    }
    position = r.Position(topic="segments", partition=3, offset=41, timestamp_ms=1_793_534_400_250)
    return r.Received(position=position, key="ström-1".encode(), value=b"\xff\x00media", headers=tuple(headers.items()))
