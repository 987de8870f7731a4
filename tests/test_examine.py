"""Real media nobody here made, and generated ones, from bytes to a sample."""

from __future__ import annotations

import io
from statistics import mean

import av
import numpy as np
import pytest
from support.media import make_cmaf, make_segment, textured

from worker.errors import SegmentError
from worker.examine import examine
from worker.hashing import hamming
from worker.records import Ask, View

STREAMS_AND_CLIPS = ("cmaf-*/*.m4s", "ts-h264/*.ts", "odd/*", "known-video/*.mp4")
CAN_T_BE_READ = {
    "invalid_userdata.mp4": ("decode", "corrupt"),  # its media data is missing
    "malformed-sei.m4s": ("fetch", "no_init"),
    "test_case_1185230.mp4": ("decode", "corrupt"),  # cut off before its first whole keyframe
}


def ask(**changed):
    """Every keyframe, container told by content."""
    wanted = {
        "content_type": None,
        "interval_s": 0.0,
        "max_keyframes": 64,
        "view": None,
        "max_pixels": 8192 * 4352,
        "max_streams": 32,
    }
    return Ask(**(wanted | changed))


def reference(picture):
    """What pdqhash says: 32 bytes and the quality; where it isn't installed, the test is skipped."""
    vector, quality = pytest.importorskip("pdqhash").compute(picture)
    return np.packbits(vector).tobytes(), quality


def decoded(data, init=None):
    """The full decode: every frame's time from the first one, and of keyframes the RGB picture as shown."""
    with av.open(io.BytesIO((init or b"") + data), metadata_errors="replace") as container:
        frames, first = [], None
        for frame in container.decode(container.streams.video[0]):
            first = frame.pts if first is None else first
            shown = None
            if frame.key_frame:
                shown = np.ascontiguousarray(np.rot90(frame.to_ndarray(format="rgb24"), frame.rotation // 90 % 4))
            frames.append((float((frame.pts - first) * frame.time_base), shown))
        return frames


def media(folder):
    """Every file of the shared folder that is a stream or a clip, with the initialisation beside it."""
    for pattern in STREAMS_AND_CLIPS:
        for file in sorted(folder.glob(pattern)):
            init = next(file.parent.glob("*init.mp4"), None)
            yield file, file.read_bytes(), None if init is None else init.read_bytes()


def test_real_media_have_the_keyframes_times_and_hashes_of_a_full_decode(shared_media):
    """To the millisecond, and within 2 bits on average and 8 at most; what can't be read has its bounded error."""
    hashed, unread = [], {}
    for file, data, init in media(shared_media):
        try:
            sample = examine(data, init, ask())
        except SegmentError as error:
            unread[file.name] = (error.stage, error.error)
            continue
        keyframes = [(at_s, shown) for at_s, shown in decoded(data, init) if shown is not None]
        assert not sample.damaged, file.name
        assert [frame.offset_s for frame in sample.frames] == pytest.approx([at for at, _ in keyframes], abs=0.001)
        for frame, (_, shown) in zip(sample.frames, keyframes, strict=True):
            assert (frame.height, frame.width) == shown.shape[:2], file.name
            hashed.append((frame.hash, shown))
    assert unread == CAN_T_BE_READ
    compared = [(ours, *reference(shown)) for ours, shown in hashed]
    assert all(abs(ours.quality - quality) <= 1 for ours, _, quality in compared)
    distances = [hamming(ours.pdq, theirs) for ours, theirs, _ in compared if ours.pdq is not None]
    assert len(distances) > 50
    assert mean(distances) <= 2
    assert max(distances) <= 8


def test_known_videos_have_the_hashes_that_threatexchange_published(shared_media):
    """Keyframes of vPDQ's own samples are within 8 bits of the reference hash of that time."""
    for clip in sorted((shared_media / "known-video").glob("*.mp4")):
        rows = [line.split(",") for line in clip.with_suffix(".txt").read_text().splitlines()]
        published = {round(float(row[3]), 2): bytes.fromhex(row[2]) for row in rows}
        for frame in examine(clip.read_bytes(), None, ask()).frames:
            assert hamming(frame.hash.pdq, published[round(frame.offset_s, 2)]) <= 8, clip.name


@pytest.mark.parametrize(
    "settings",
    [
        {"container": "mpegts", "codec": "h264"},
        {"container": "mp4", "codec": "h264", "pix_fmt": "yuv444p", "width": 321, "height": 241},
        {"container": "mp4", "codec": "h264", "full_range": True},
        {"container": "mp4", "codec": "h264", "rotation": 90},
        {"container": "fmp4", "codec": "hevc", "pix_fmt": "yuv420p10le"},
        {"container": "fmp4", "codec": "hevc", "pix_fmt": "yuv422p10le"},
        {"container": "webm", "codec": "vp9"},
        {"container": "webm", "codec": "vp8"},
        {"container": "mp4", "codec": "av1", "pix_fmt": "yuv420p10le"},
        {"container": "mp4", "codec": "h264", "width": 130, "height": 66},
    ],
    ids=lambda settings: "-".join(str(value) for value in settings.values()),
)
def test_every_codec_and_depth_hashes_like_the_reference_on_the_decoded_picture(settings):
    """Within 8 bits of pdqhash on the full RGB picture as displayed, and the same quality but for rounding."""
    data = make_segment(seconds=0.4, **settings)
    (frame,) = examine(data, None, ask()).frames
    expected, quality = reference(decoded(data)[0][1])
    assert hamming(frame.hash.pdq, expected) <= 8
    assert abs(frame.hash.quality - quality) <= 1


def test_a_sample_carries_the_classifiers_view_only_where_one_is_asked_for():
    """With a view, each frame has a picture of that size; without one, none."""
    data = make_segment(seconds=0.4)
    (without,) = examine(data, None, ask()).frames
    (viewed,) = examine(data, None, ask(view=View(height=48, width=64, fit="stretch"))).frames
    assert without.picture is None
    assert viewed.picture.shape == (48, 64, 3)
    assert viewed.hash == without.hash


def test_costs_are_counted_by_step():
    """Opening, decoding, hashing and resizing took some CPU, and together no more than a moment."""
    costs = examine(make_segment(seconds=0.4), None, ask(view=View(height=48, width=64, fit="crop"))).costs
    steps = [costs.open_s, costs.decode_s, costs.hash_s, costs.resize_s]
    assert all(step > 0 for step in steps)
    assert sum(steps) < 5


def test_a_cmaf_segment_is_read_from_shared_memory_without_its_bytes_being_joined():
    """A memoryview and its initialisation give the sample that the bytes give."""
    init, segments = make_cmaf(seconds=4, picture=textured(320, 180, seed=3))
    from_view = examine(memoryview(segments[1]), init, ask(content_type="video/iso.segment"))
    from_bytes = examine(segments[1], init, ask(content_type="video/iso.segment"))
    assert [frame.hash for frame in from_view.frames] == [frame.hash for frame in from_bytes.frames]
    assert from_view.start_s == from_bytes.start_s == pytest.approx(2.0)
