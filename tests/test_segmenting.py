"""Files cut into segments."""

from __future__ import annotations

import io

import av
import pytest
from support import media

from worker.errors import UsageError
from worker.examine import examine
from worker.records import Ask
from worker.segmenting import open_clip

EVERY = Ask(content_type=None, interval_s=0.0, max_keyframes=100, view=None, max_pixels=10**7, max_streams=8)
PLENTY = 8 * 1024 * 1024


def cut(path, *, segment_s=2.0, max_bytes=PLENTY):
    """All segments of a file."""
    with open_clip(path) as clip:
        return list(clip.segments(segment_s=segment_s, max_bytes=max_bytes))


def written(folder, **settings):
    """A file of five seconds with a keyframe each second."""
    path = folder / "clip"
    path.write_bytes(media.make_segment(seconds=5.0, gop=25, width=160, height=96, **settings))
    return path


def remuxed(path, container):
    """The same packets in another container."""
    out = io.BytesIO()
    with av.open(io.BytesIO(path.read_bytes())) as source, av.open(out, "w", format=container) as to:
        stream = to.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.size:
                packet.stream = stream
                to.mux(packet)
    path.write_bytes(out.getvalue())
    return path


@pytest.mark.parametrize(
    ("settings", "content_type"),
    [
        ({"container": "mp4", "codec": "h264", "bframes": 2, "audio": True}, "video/mp2t"),
        ({"container": "mpegts", "codec": "h264", "bframes": 2, "open_gop": True, "start_s": 10.0}, "video/mp2t"),
        ({"container": "mp4", "codec": "hevc"}, "video/mp2t"),
        ({"container": "webm", "codec": "vp9", "audio": True}, "video/mp4"),
        ({"container": "webm", "codec": "vp8"}, "video/webm"),
        ({"container": "webm", "codec": "av1"}, "video/mp4"),
        ({"container": "mp4", "codec": "h264", "rotation": 90}, "video/mp4"),
    ],
)
def test_the_segments_hold_the_keyframes_of_the_file_at_the_same_times(tmp_path, settings, content_type):
    """Nothing is encoded again: each keyframe has the time, the size and the hash that it has in the whole file."""
    path = written(tmp_path, **settings)
    whole = examine(path.read_bytes(), None, EVERY)
    cuts = cut(path)
    found = [(c.media_time_s + frame.offset_s, frame) for c in cuts for frame in examine(c.data, None, EVERY).frames]
    assert [time for time, _ in found] == pytest.approx([frame.offset_s for frame in whole.frames], abs=1e-3)
    assert [frame.hash for _, frame in found] == [frame.hash for frame in whole.frames]
    assert {(f.width, f.height) for _, f in found} == {(f.width, f.height) for f in whole.frames}
    assert {c.content_type for c in cuts} == {content_type}


@pytest.mark.parametrize("container", ["matroska", "mov", "flv"])
def test_other_containers_are_cut_as_well(tmp_path, container):
    """A keyframe a second and segments of two make three, the last one short."""
    path = remuxed(written(tmp_path, container="mp4", codec="h264", bframes=2), container)
    assert [(c.media_time_s, c.duration_s) for c in cut(path)] == [
        (pytest.approx(start, abs=0.002), pytest.approx(length, abs=0.05)) for start, length in ((0, 2), (2, 2), (4, 1))
    ]


def test_each_segment_is_decoded_whole_by_itself(tmp_path):
    """Its first frame is a keyframe, and no frame of the file is missing."""
    counts = []
    for each in cut(written(tmp_path, container="mp4", codec="h264", bframes=2), segment_s=1.0):
        with av.open(io.BytesIO(each.data), format="mpegts") as opened:
            counts.append(sum(1 for _ in opened.decode(video=0)))
    assert counts == [25] * 5


def test_segments_are_no_shorter_than_asked(tmp_path):
    """A cut waits for the first keyframe from there on."""
    assert [c.duration_s for c in cut(written(tmp_path, container="mp4"), segment_s=1.5)] == pytest.approx([2, 2, 1])


def test_the_same_file_gives_the_same_bytes(tmp_path):
    """So a run that is repeated repeats its events."""
    path = written(tmp_path, container="mp4")
    assert cut(path) == cut(path)


def test_a_segment_above_the_limit_is_refused_in_one_line(tmp_path):
    """It says what to do, and nothing is held beyond the limit."""
    with pytest.raises(UsageError, match=r"clip: a segment of .* s is above 20000 bytes .*shorter ones") as told:
        cut(written(tmp_path, container="mp4"), max_bytes=20_000)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "no video that FFmpeg can read"),
        (b"hello\n" * 100, "no video that FFmpeg can read"),
        (b"#EXTM3U\n#EXTINF:2,\n/etc/passwd\n", "no video that FFmpeg can read"),
        (b"v=0\no=- 0 0 IN IP4 127.0.0.1\ns=x\nt=0 0\nm=video 5004 RTP/AVP 96\n", "no video that FFmpeg can read"),
        (media.make_audio(), "there is no video in it"),
        (media.make_segment(codec="mpeg2"), "the video is mpeg2video, which the worker does not decode"),
        (media.without_keyframes(media.make_segment()), "there is no keyframe in it"),
    ],
)
def test_what_is_no_video_is_refused_in_one_line(tmp_path, data, says):
    """Playlists and session descriptions too: they would have FFmpeg open other things."""
    path = tmp_path / "file.mp4"
    path.write_bytes(data)
    with pytest.raises(UsageError, match=f"^file.mp4: .*{says}") as told:
        cut(path)
    assert "\n" not in str(told.value)


def test_a_playlist_opens_nothing(tmp_path):
    """Not even when what it names is there and is a video: a file is published, and no other."""
    segment = tmp_path / "segment.ts"
    segment.write_bytes(media.make_segment(width=64, height=64))
    playlist = tmp_path / "list.m3u8"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\n{segment}\n#EXT-X-ENDLIST\n")
    with pytest.raises(UsageError, match=r"list\.m3u8: is no video that FFmpeg can read"):
        cut(playlist)


def test_a_bare_stream_is_refused_with_a_remedy(tmp_path):
    """It has neither times nor places to go to."""
    with pytest.raises(UsageError, match=r"is no container; rewrite it with: ffmpeg"):
        cut(remuxed(written(tmp_path, container="mpegts", codec="h264"), "h264"))


def test_a_file_that_is_not_there_is_refused(tmp_path):
    """With its path."""
    with pytest.raises(UsageError, match=r"nothing\.mp4: No such file"):
        cut(tmp_path / "nothing.mp4")


def test_real_clips_keep_their_keyframes(shared_media):
    """Clips that others made: every keyframe that the worker sees in the whole file, at its time."""
    for path in sorted((shared_media / "known-video").glob("*.mp4")):
        whole = examine(path.read_bytes(), None, EVERY)
        found = [c.media_time_s + f.offset_s for c in cut(path) for f in examine(c.data, None, EVERY).frames]
        assert found == pytest.approx([frame.offset_s for frame in whole.frames], abs=1e-3)
