"""Segments to keyframes: containers, times, plans, damage, and what is refused."""

from __future__ import annotations

import io
import struct
from typing import get_args

import av
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.media import boxes, card, make_audio, make_cmaf, make_segment, textured, without_keyframes

from worker.errors import SegmentError
from worker.records import Ask, ContentType, View
from worker.sampling.video import open_video

TS_PACKET = 188
WRAP_S = 2**33 / 90_000


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


def sampled(data, init=None, **changed):
    """The video after all its keyframes were taken, and their offsets."""
    with open_video(data, init, ask(**changed)) as video:
        return video, [keyframe.offset_s for keyframe in video.keyframes()]


def looked_at(data, **changed):
    """The video after all its keyframes were taken, and their pictures."""
    with open_video(data, None, ask(**changed)) as video:
        return video, [keyframe.rgb() for keyframe in video.keyframes()]


def first_keyframe(data, show):
    """What ``show`` makes of the first keyframe."""
    with open_video(data, None, ask()) as video:
        return show(next(video.keyframes()))


def full_decode(data):
    """Every frame that PyAV gives: seconds, and whether it is a keyframe."""
    with av.open(io.BytesIO(data)) as container:
        return [(float(frame.pts * frame.time_base), frame.key_frame) for frame in container.decode(video=0)]


def refused(data, init=None, **changed):
    """Stage and error that a segment ends with."""
    with pytest.raises(SegmentError) as caught:
        sampled(data, init, **changed)
    assert len(caught.value.reason) < 200
    assert "\n" not in caught.value.reason
    return caught.value.stage, caught.value.error


def noise(size):
    """So many random bytes, always the same."""
    return np.random.default_rng(1).bytes(size)


# --- times ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "made",
    [
        {"container": "mpegts", "codec": "h264", "bframes": 3, "start_s": 40_000.25},
        {"container": "mpegts", "codec": "h264", "bframes": 2, "fps": 30, "gop": 7},
        {"container": "mpegts", "codec": "hevc", "bframes": 3, "open_gop": True, "gop": 11},
        {"container": "mpegts", "codec": "h264", "bframes": 3, "open_gop": True, "gop": 11},
        {"container": "mp4", "codec": "h264", "bframes": 2, "audio": True, "start_s": 3.0},
        {"container": "fmp4", "codec": "h264", "bframes": 2, "start_s": 20.0},
        {"container": "fmp4", "codec": "hevc", "bframes": 2},
        {"container": "mp4", "codec": "av1"},
        {"container": "mp4", "codec": "vp9", "fps": 30, "gop": 10},
        {"container": "webm", "codec": "vp9", "audio": True, "start_s": 5.0},
        {"container": "webm", "codec": "vp8", "fps": 24, "gop": 8},
        {"container": "webm", "codec": "av1"},
    ],
    ids=lambda made: "-".join(str(value) for value in made.values()),
)
def test_times_are_those_of_a_full_decode(made):
    """Start, duration and every keyframe agree to the millisecond with decoding everything."""
    fps = made.get("fps", 25)
    data = make_segment(**({"seconds": 1.2, "gop": 10} | made))
    frames = full_decode(data)
    video, offsets = sampled(data)
    start = min(at for at, _ in frames)
    assert video.start_s == pytest.approx(start, abs=0.001)
    assert offsets == pytest.approx([at - start for at, key in frames if key], abs=0.001)
    assert video.duration_s == pytest.approx(max(at for at, _ in frames) - start + 1 / fps, abs=0.0015)
    assert video.keyframes_seen == len(offsets) >= 3
    assert video.codec == made["codec"]
    assert not video.damaged


def test_the_clock_of_mpeg_ts_wraps_within_a_segment():
    """Frames after the wrap come after those before it; start is on the clock as it was written."""
    video, offsets = sampled(make_segment(start_s=WRAP_S - 1.0, seconds=2.4, gop=20, bframes=2))
    assert video.start_s == pytest.approx(WRAP_S - 1.0, abs=0.001)
    assert video.wrap_s == pytest.approx(WRAP_S)
    assert offsets == pytest.approx([0.0, 0.8, 1.6], abs=0.001)
    assert video.duration_s == pytest.approx(2.4, abs=0.001)


def test_only_the_clock_of_mpeg_ts_wraps():
    """MP4 and WebM count on."""
    assert sampled(make_segment(container="mp4", seconds=0.4))[0].wrap_s is None
    assert sampled(make_segment(container="webm", codec="vp9", seconds=0.4))[0].wrap_s is None


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_keyframe_with_leading_frames_of_the_group_before_is_the_first_frame(codec):
    """A segment cut at an open group starts with its keyframe; its duration has the leading frames too."""
    fmp4 = make_segment(container="fmp4", codec=codec, bframes=3, open_gop=True, seconds=2.16, gop=27)
    (_, ftyp), (_, moov), *fragments = boxes(fmp4)
    assert [kind for kind, _ in fragments[2:4]] == [b"moof", b"mdat"]
    second = ftyp + moov + b"".join(box for _, box in fragments[2:4])
    with av.open(io.BytesIO(second)) as container:
        times = [packet.pts * packet.time_base for packet in container.demux(video=0) if packet.size]
    assert min(times) < times[0]
    video, offsets = sampled(second)
    assert offsets == [0.0]
    assert video.start_s == pytest.approx(full_decode(second)[0][0], abs=0.001)
    assert video.duration_s == pytest.approx(max(times) - min(times) + 0.04, abs=0.001)


def edited(mp4, media_time):
    """The MP4 with an edit list that starts at another media time."""
    at = mp4.index(b"elst") + 4 + 8
    return mp4[: at + 4] + struct.pack(">i", media_time) + mp4[at + 8 :]


def test_frames_before_an_edit_lists_start_are_not_counted():
    """Keyframes are timed from the first frame that is shown; a hidden keyframe is not among them."""
    data = edited(make_segment(container="mp4", seconds=1.2, gop=10, bframes=0), 90_000 // 5)
    frames = full_decode(data)
    _, offsets = sampled(data)
    assert offsets == pytest.approx([at - frames[0][0] for at, key in frames if key], abs=0.001)
    assert 0.0 not in offsets


def test_an_edit_list_can_t_hide_a_segments_only_keyframe():
    """Where every keyframe lies before the edit list's start, it is looked at all the same."""
    data = edited(make_segment(container="mp4", seconds=1.2, bframes=0), 90_000 // 5)
    assert not any(key for _, key in full_decode(data))
    video, offsets = sampled(data)
    assert offsets == [0.0]
    assert video.keyframes_seen == 1


# --- which keyframes --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("interval_s", "taken"),
    [(0.0, [0.0, 0.4, 0.8, 1.2, 1.6]), (0.4, [0.0, 0.4, 0.8, 1.2, 1.6]), (0.5, [0.0, 0.8, 1.6]), (2.0, [0.0])],
)
def test_the_plan_takes_the_first_keyframe_and_those_an_interval_apart(interval_s, taken):
    """The first, then each that is at least the interval after the last one taken; all are counted as seen."""
    video, offsets = sampled(make_segment(seconds=2, gop=10), interval_s=interval_s)
    assert offsets == pytest.approx(taken, abs=0.001)
    assert video.keyframes_seen == 5


def test_no_more_keyframes_are_taken_than_asked_for():
    """The number of keyframes is bounded whatever the segment holds."""
    _, offsets = sampled(make_segment(seconds=2, gop=2), max_keyframes=3)
    assert len(offsets) == 3


# --- pictures ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rotation", "turns"), [(0, 0), (90, 1), (180, 2), (270, 3)])
def test_pictures_are_as_displayed(rotation, turns):
    """The container's rotation is applied to size, whole picture and view."""
    upright = first_keyframe(make_segment(container="mp4", seconds=0.2), lambda key: key.rgb())
    data = make_segment(container="mp4", seconds=0.2, rotation=rotation)
    size, shown = first_keyframe(data, lambda key: ((key.height, key.width), key.rgb()))
    assert (shown == np.rot90(upright, turns)).all()
    assert shown.shape[:2] == size
    view = first_keyframe(data, lambda key: key.picture(View(height=40, width=60, fit="stretch")))
    assert view.shape == (40, 60, 3)


def test_a_stretched_view_shows_everything_and_a_cropped_one_the_middle():
    """The card's dark surroundings are in the stretched view and not in the cropped one."""
    data = make_segment(width=640, height=160, seconds=0.2, picture=card(640, 160), crf=10)
    stretched = first_keyframe(data, lambda key: key.picture(View(height=50, width=50, fit="stretch")))
    cropped = first_keyframe(data, lambda key: key.picture(View(height=50, width=50, fit="crop")))
    assert stretched.shape == cropped.shape == (50, 50, 3)
    assert stretched[25, 2].max() < 110
    assert cropped[25, 2].astype(int)[0] > 180
    assert cropped[25, 2].astype(int)[1] < 90


def test_neighbours_in_a_view_do_not_share_their_colour():
    """Stripes of two colours, each as wide as a pixel of the view, come out as two colours."""
    red, blue = (200, 30, 60), (40, 60, 190)
    stripes = np.array([red, blue] * 16, np.uint8).repeat(8, axis=0)[None].repeat(64, axis=0)
    data = make_segment(width=256, height=64, seconds=0.1, picture=lambda _: stripes, crf=4)
    view = first_keyframe(data, lambda key: key.picture(View(height=8, width=32, fit="stretch")))
    assert np.abs(view[:, ::2].astype(int) - red).max() <= 12
    assert np.abs(view[:, 1::2].astype(int) - blue).max() <= 12


@pytest.mark.parametrize("side", range(34, 50, 2))
def test_a_view_of_the_pictures_own_size_is_the_picture(side):
    """Every column of it, also where FFmpeg would leave the last ones as the memory was."""
    data = make_segment(width=side, height=side, seconds=0.1, crf=4)
    view, whole = first_keyframe(
        data, lambda key: (key.picture(View(height=side, width=side, fit="stretch")), key.rgb())
    )
    assert np.array_equal(view, whole)


@pytest.mark.parametrize("matrix", ["ycgco", "bt2020c", "ictcp", "chroma-derived-nc", "smpte2085"])
def test_colours_that_nobody_converts_are_looked_at_all_the_same(matrix):
    """A byte in a header is not enough to go unseen: whole picture and view are there, as if nothing was said."""
    plain = {"width": 128, "height": 96, "seconds": 0.1, "crf": 4}
    marked = make_segment(**plain, encoder={"x264-params": f"colormatrix={matrix}"})
    view = View(height=48, width=64, fit="stretch")
    seen, unmarked = (
        first_keyframe(data, lambda key: (key.rgb(), key.picture(view))) for data in (marked, make_segment(**plain))
    )
    assert all(map(np.array_equal, seen, unmarked))


def test_a_sliver_is_cropped_without_being_blown_up():
    """A very long picture has its middle cut out first: the view is right, and no giant picture is made."""
    data = make_segment(width=2048, height=16, seconds=0.2, container="mp4")
    cropped = first_keyframe(data, lambda key: key.picture(View(height=64, width=64, fit="crop")))
    whole = first_keyframe(data, lambda key: key.rgb())
    assert cropped.shape == (64, 64, 3)
    assert np.abs(cropped.mean((0, 1)) - whole[:, 1016:1032].mean((0, 1))).max() < 12


@pytest.mark.parametrize(
    ("made", "least", "most"),
    [
        ({"codec": "h264", "encoder": {"preset": "veryfast"}}, 0.1, 3),
        ({"codec": "hevc"}, 0.1, 3),
        ({"container": "webm", "codec": "vp8"}, 0, 0),
    ],
    ids=["h264", "hevc", "vp8"],
)
def test_without_the_loop_filter_a_keyframe_is_nearly_the_same(made, least, most):
    """Its picture is coarser by a level or two, in VP8 not at all; times, counts and damage are what they were."""
    data = make_segment(width=640, height=360, seconds=0.8, gop=10, crf=30, **made)
    (whole, filtered), (coarse, raw) = looked_at(data, loop_filter=True), looked_at(data, loop_filter=False)
    assert (coarse.keyframes_seen, coarse.damaged, coarse.duration_s) == (2, False, whole.duration_s)
    for smooth, blocky in zip(filtered, raw, strict=True):
        assert least <= np.abs(smooth.astype(int) - blocky).mean() <= most


def test_pictures_are_what_was_put_in():
    """The decoded picture is the encoded one, but for the losses of coding."""
    picture = textured(320, 180)(0)
    shown = first_keyframe(make_segment(seconds=0.2, crf=4, pix_fmt="yuv444p", container="mp4"), lambda key: key.rgb())
    assert np.abs(shown.astype(int) - picture).mean() < 4


# --- containers -------------------------------------------------------------------------------------------------------

MADE = {
    "video/mp2t": {"container": "mpegts", "codec": "h264"},
    "video/mp4": {"container": "fmp4", "codec": "h264"},
    "video/webm": {"container": "webm", "codec": "vp9"},
}


@pytest.mark.parametrize("said", [None, *MADE])
@pytest.mark.parametrize("real", MADE)
def test_a_container_that_disagrees_with_its_content_type_is_refused(said, real):
    """Told by content; anything but what was said is a mismatch, and nothing said is fine."""
    data = make_segment(seconds=0.2, **MADE[real])
    if said in {None, real}:
        assert len(sampled(data, content_type=said)[1]) == 1
    else:
        assert refused(data, content_type=said) == ("decode", "container_mismatch")


def test_a_cmaf_segment_needs_its_initialisation_unless_it_carries_one():
    """Without one there is no_init; with one, or with its own, it is read."""
    init, (first, second, _) = make_cmaf(bframes=2)
    assert refused(second, content_type="video/iso.segment") == ("fetch", "no_init")
    assert refused(second, second, content_type="video/iso.segment") == ("fetch", "no_init")
    assert sampled(second, init, content_type="video/iso.segment")[1] == [0.0]
    assert sampled(init + first, content_type="video/iso.segment")[1] == [0.0]


def test_mpeg_ts_that_starts_inside_a_packet_is_read():
    """A segment cut at any byte is found again at the next packet."""
    before, data = make_segment(seconds=0.2), make_segment(seconds=0.4)
    assert sampled(before[-100:] + data)[1] == [0.0]


def test_m2ts_is_whole_without_a_time_code_behind_its_last_packet():
    """Packets of 192 bytes: time code and packet, so the file ends with a packet; cut shorter, it is damaged."""
    data = make_segment(seconds=0.4, mux={"mpegts_m2ts_mode": "1"})
    video, offsets = sampled(data)
    assert (offsets, video.damaged) == ([0.0], False)
    assert sampled(data[:-5])[0].damaged


def test_a_late_programme_table_still_shows_the_video():
    """Video that is announced only after a lot of padding is found."""
    padding = (b"\x47\x1f\xff\x10" + b"\xff" * 184) * 2000
    assert sampled(padding + make_segment(seconds=0.4))[1] == [0.0]


def test_video_that_turns_up_behind_sound_is_not_overlooked():
    """A segment that begins as sound alone and goes on with video is refused, not skipped as one without video."""
    video = make_segment(seconds=0.4, start_s=31, mux={"mpegts_start_pid": "0x200", "mpegts_pmt_start_pid": "0x1010"})
    assert refused(make_audio(seconds=10) + video) == ("decode", "corrupt")


def test_a_segment_without_video_says_so():
    """Sound alone is no error: there is no codec and no keyframe."""
    for container in ("mpegts", "mp4", "fmp4", "webm"):
        video, offsets = sampled(make_audio(container=container))
        assert (video.codec, video.keyframes_seen, offsets, video.damaged) == (None, 0, [], False)


def test_a_segment_without_a_keyframe_says_so():
    """Frames without a keyframe are no error: they have a codec, a duration and nothing to look at."""
    video, offsets = sampled(without_keyframes(make_segment(seconds=1)))
    assert (video.codec, video.keyframes_seen, offsets) == ("h264", 0, [])
    assert video.duration_s == pytest.approx(0.96, abs=0.001)


def test_where_a_gradual_refresh_begins_is_no_keyframe():
    """A stream without keyframes but its first is skipped, not called corrupt, from the second group on."""
    whole = make_segment(seconds=4, gop=50, encoder={"x264-params": "intra-refresh=1:keyint=50:bframes=0"})
    video, offsets = sampled(whole)
    assert (video.keyframes_seen, offsets, video.damaged) == (1, [0.0], False)
    later = whole[: 3 * TS_PACKET] + whole[keyframe_bytes(whole)[1][0] :]
    video, offsets = sampled(later)
    assert (video.codec, video.keyframes_seen, offsets, video.damaged) == ("h264", 0, [], False)


# --- what is refused --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("container", ["mpegts", "mp4"])
def test_another_codec_is_unsupported(container):
    """MPEG-2 video is not decoded, whatever it comes in."""
    assert refused(make_segment(container=container, codec="mpeg2", seconds=0.2)) == ("decode", "unsupported_codec")


@pytest.mark.parametrize("made", MADE.values(), ids=list(MADE))
def test_a_picture_with_too_many_pixels_is_refused(made):
    """Before it is decoded."""
    data = make_segment(width=640, height=360, seconds=0.2, **made)
    assert refused(data, max_pixels=640 * 360 - 1) == ("decode", "too_many_pixels")
    assert len(sampled(data, max_pixels=640 * 360)[1]) == 1


def test_a_container_that_understates_its_pixels_is_refused_too():
    """The codec's own size counts."""
    data = make_segment(container="mp4", width=640, height=360, seconds=0.2)
    lying = data.replace(struct.pack(">HH", 640, 360), struct.pack(">HH", 64, 36))
    assert lying != data
    assert refused(lying, max_pixels=20_000) == ("decode", "too_many_pixels")


@pytest.mark.parametrize("muxer", ["mpegts", "mp4", "matroska"])
def test_too_many_streams_are_refused(muxer):
    """A container of 12 sound tracks where 8 streams are allowed."""
    data = io.BytesIO()
    with av.open(data, "w", format=muxer) as out:
        for track in [out.add_stream("aac", rate=48_000, layout="mono") for _ in range(12)]:
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.int16), format="s16", layout="mono")
            frame.sample_rate, frame.pts = 48_000, 0
            out.mux(track.encode(frame))
            out.mux(track.encode(None))
    assert refused(data.getvalue(), max_streams=8) == ("decode", "too_many_streams")


def test_common_encryption_is_refused_as_such():
    """An MP4 with encrypted samples is not called corrupt."""
    keys = {"encryption_scheme": "cenc-aes-ctr", "encryption_key": "00" * 16, "encryption_kid": "11" * 16}
    assert refused(make_segment(container="mp4", seconds=0.4, mux=keys)) == ("decode", "encrypted")


def test_scrambled_transport_packets_are_refused_as_such():
    """Video packets that are marked as scrambled, and are, are not called corrupt or free of keyframes."""
    data = bytearray(make_segment(seconds=1))
    for at in range(0, len(data), TS_PACKET):
        if (data[at + 1] & 0x1F) << 8 | data[at + 2] == 0x100:
            data[at + 3] |= 0x80
            payload = at + 4 + (1 + data[at + 4] if data[at + 3] & 0x20 else 0)
            data[payload : at + TS_PACKET] = noise(at + TS_PACKET - payload)
    assert refused(bytes(data)) == ("decode", "encrypted")


@pytest.mark.parametrize("said", [None, *get_args(ContentType)])
def test_bytes_that_are_nothing_known_are_corrupt(said):
    """Random bytes, an empty body, a web page."""
    for data in (b"", b"G", noise(5000), b"<!doctype html><title>502</title>", bytes(4000)):
        assert refused(data, content_type=said) == ("decode", "corrupt")


# --- damage -----------------------------------------------------------------------------------------------------------


def keyframe_bytes(data):
    """Where the keyframes start, in bytes, and how large they are."""
    with av.open(io.BytesIO(data)) as container:
        return [(packet.pos, packet.size) for packet in container.demux(video=0) if packet.is_keyframe]


WHOLE = {
    "ts-h264": {"container": "mpegts", "codec": "h264"},
    "ts-hevc": {"container": "mpegts", "codec": "hevc"},
    "fmp4-h264": {"container": "fmp4", "codec": "h264"},
    "fmp4-hevc": {"container": "fmp4", "codec": "hevc"},
    "fmp4-av1": {"container": "fmp4", "codec": "av1"},
    "webm-vp9": {"container": "webm", "codec": "vp9"},
    "webm-vp8": {"container": "webm", "codec": "vp8"},
}


@pytest.mark.parametrize("made", WHOLE.values(), ids=list(WHOLE))
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.95])
def test_a_segment_cut_inside_its_first_keyframe_is_corrupt(made, share):
    """Half a keyframe is never shown as a whole one, although decoders would."""
    data = make_segment(width=640, height=360, seconds=0.8, gop=10, **made)
    position, size = keyframe_bytes(data)[0]
    cut = position + int(size * share)
    assert refused(data[:cut]) == ("decode", "corrupt")
    if made["container"] == "mpegts":
        assert refused(data[: cut // TS_PACKET * TS_PACKET]) == ("decode", "corrupt")


@pytest.mark.parametrize("made", WHOLE.values(), ids=list(WHOLE))
@pytest.mark.parametrize("share", [0.3, 0.9])
def test_a_segment_cut_inside_its_second_keyframe_is_partial(made, share):
    """What came before the damage counts, and the damage is told."""
    data = make_segment(width=640, height=360, seconds=0.8, gop=10, **made)
    whole = first_keyframe(data, lambda key: key.rgb())
    position, size = keyframe_bytes(data)[1]
    cut = data[: position + int(size * share)]
    video, offsets = sampled(cut)
    assert (offsets, video.damaged) == ([0.0], True)
    assert (first_keyframe(cut, lambda key: key.rgb()) == whole).all()


@pytest.mark.parametrize("codec", ["h264", "hevc"])
def test_a_lost_transport_packet_spoils_the_keyframe_that_it_belonged_to(codec):
    """The continuity counter shows it, also where the decoder doesn't: the first is corrupt, the second is left out."""
    data = make_segment(codec=codec, width=640, height=360, seconds=0.8, gop=10)
    for number, outcome in enumerate([None, ([0.0], True)]):
        lost = (keyframe_bytes(data)[number][0] // TS_PACKET + 15) * TS_PACKET
        holed = data[:lost] + data[lost + TS_PACKET :]
        if outcome is None:
            assert refused(holed) == ("decode", "corrupt")
        else:
            video, offsets = sampled(holed)
            assert (offsets, video.damaged) == outcome


def test_damage_after_the_keyframe_does_not_spoil_it():
    """A packet lost in a later frame makes the segment partial; the keyframe is shown."""
    data = make_segment(width=640, height=360, seconds=0.8)
    holed = data[: len(data) // TS_PACKET * TS_PACKET - 20 * TS_PACKET] + data[-19 * TS_PACKET :]
    video, offsets = sampled(holed)
    assert (offsets, video.damaged) == ([0.0], True)


def test_an_overwritten_h264_keyframe_is_corrupt():
    """The decoder conceals what it can't read; that is not a look."""
    data = bytearray(make_segment(container="fmp4", width=640, height=360, seconds=0.4))
    position, size = keyframe_bytes(bytes(data))[0]
    data[position + size // 3 : position + size // 2] = noise(size // 2 - size // 3)
    assert refused(bytes(data)) == ("decode", "corrupt")


DECODE_ERRORS = "container_mismatch unsupported_codec encrypted corrupt too_many_pixels too_many_streams out_of_memory"
BOUNDED = {("fetch", "no_init"), *(("decode", error) for error in DECODE_ERRORS.split())}


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    made=st.sampled_from([*WHOLE.values(), {"container": "mp4", "codec": "h264", "audio": True, "bframes": 2}]),
    edits=st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.binary(min_size=1, max_size=40)), max_size=6),
    kept=st.floats(0.01, 1),
    said=st.sampled_from([None, *get_args(ContentType)]),
)
def test_any_bytes_end_in_a_sample_or_a_bounded_error(made, edits, kept, said):
    """However a segment is overwritten and cut, nothing but a SegmentError leaves, with a name of the contract."""
    data = bytearray(make_segment(width=64, height=48, seconds=0.4, gop=5, **made))
    for share, patch in edits:
        at = int(share * len(data))
        data[at : at + len(patch)] = patch
    try:
        video, offsets = sampled(bytes(data[: int(len(data) * kept)]), content_type=said, max_pixels=64 * 48 * 4)
    except SegmentError as error:
        name = (error.stage, error.error)
    else:
        name = None
        assert len(offsets) <= video.keyframes_seen
        assert all(offset >= 0 for offset in offsets)
    assert name is None or name in BOUNDED
