"""Real media that nobody here made, published whole to a real broker: one outcome a segment, the times right."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING

import av
import pytest
from av.error import FFmpegError
from support.deployment import deployed

from worker.settings.tree import Sampling

if TYPE_CHECKING:
    from pathlib import Path

    from worker.records import AssessmentReport

KINDS = {".ts": "video/mp2t", ".mp4": "video/mp4", ".webm": "video/webm", ".m4s": "video/iso.segment"}
STREAMS = {
    "cmaf-h264-testpic": ("init.mp4", ["1.m4s", "2.m4s", "3.m4s", "4.m4s"]),
    "cmaf-h264-wave-1080p": ("init.mp4", ["0.m4s", "25600.m4s", "51200.m4s", "76800.m4s"]),
    "cmaf-hevc-bbb": ("video_init.mp4", [f"video_{number}.m4s" for number in (1, 2, 3, 4)]),
}
SINGLE = ("ts-h264", "odd", "known-video")
TOLERANCE_S = 0.001


def singles(folder: Path) -> list[Path]:
    """Every file that is a stream of its own."""
    return sorted(path for name in SINGLE for path in (folder / name).iterdir() if path.suffix in KINDS)


def keyframe_times(data: bytes) -> list[float] | None:
    """The oracle: when the keyframes are shown after the first frame, by decoding everything; None if it can't."""
    try:
        with av.open(BytesIO(data)) as container:
            frames = [f for f in container.decode(video=0) if f.pts is not None]
    except (FFmpegError, IndexError, UnicodeDecodeError):
        return None
    first = min((f.time for f in frames), default=0.0)
    return sorted(f.time - first for f in frames if f.key_frame)


async def test_every_file_is_accounted_for_and_its_keyframes_are_where_they_are(broker, shared_media):
    """Each single file has one outcome; where a full decode finds keyframes, the worker's are at the same times."""
    files = singles(shared_media)
    async with deployed(broker, sampling=Sampling(interval_s=0.0)) as deployment, deployment.worker():
        for path in files:
            payload = path.read_bytes()
            await deployment.send(
                deployment.segment(str(path.name), payload, sequence=0, content_type=KINDS[path.suffix])
            )
        reports = {report.stream_id: report for report in await deployment.assessments(len(files))}
    assert set(reports) == {path.name for path in files}
    compared = [path.name for path in files if compare(reports[path.name], path)]
    assert len(compared) >= 10


def compare(report: AssessmentReport, path: Path) -> bool:
    """Compare the times of a file that both could read; files that neither can read have a reason."""
    expected = keyframe_times(path.read_bytes())
    if report.outcome != "assessed":
        assert report.why
        return False
    assert expected is not None, path.name
    found = [frame.media_time_s for frame in report.frames]
    assert found == pytest.approx(expected[: len(found)], abs=TOLERANCE_S), path.name
    return True


@pytest.mark.parametrize("name", sorted(STREAMS))
async def test_every_cmaf_stream_runs_on_through_its_segments(broker, shared_media, name):
    """With an init event before them all segments are assessed, and the media times go on from one to the next."""
    init, segments = STREAMS[name]
    data = [(shared_media / name / segment).read_bytes() for segment in segments]
    initialisation = (shared_media / name / init).read_bytes()
    async with deployed(broker, sampling=Sampling(interval_s=0.0)) as deployment, deployment.worker():
        await deployment.send(deployment.init(name, initialisation))
        for sequence, payload in enumerate(data):
            await deployment.send(
                deployment.segment(name, payload, sequence=sequence, content_type="video/iso.segment")
            )
        reports = await deployment.assessments(len(data))
    assert [report.outcome for report in reports] == ["assessed"] * len(data)
    found = [frame.media_time_s for report in reports for frame in report.frames]
    expected = keyframe_times(initialisation + b"".join(data))
    assert found == pytest.approx(expected, abs=TOLERANCE_S)
