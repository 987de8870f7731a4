"""How large a picture parameter sets announce: what the decoder finds later, and no error for any bytes."""

from __future__ import annotations

import io

import av
import pytest
from hostile import crafted
from hypothesis import given
from hypothesis import strategies as st
from support.media import make_segment

from worker.sampling.limits import MOST_UNITS
from worker.sampling.parameters import coded_sizes

sides = st.integers(1, 70_000)


@pytest.mark.parametrize("size", [(64, 48), (322, 182), (640, 360)])
@pytest.mark.parametrize(
    "made",
    [
        {"container": "mpegts", "codec": "h264"},
        {"container": "mp4", "codec": "h264", "bframes": 2},
        {"container": "mp4", "codec": "h264", "pix_fmt": "yuv444p"},
        {"container": "mpegts", "codec": "h264", "encoder": {"x264-params": "cqm=jvt:keyint=10", "preset": "slow"}},
        {"container": "mpegts", "codec": "hevc"},
        {"container": "mp4", "codec": "hevc"},
    ],
    ids=str,
)
def test_the_size_is_the_one_that_the_decoder_makes_room_for(made, size):
    """Of every parameter set of a real segment, in its configuration or in its keyframe."""
    data = make_segment(seconds=0.1, width=size[0], height=size[1], **made)
    with av.open(io.BytesIO(data)) as container:
        video = container.streams.video[0]
        packet = next(container.demux(video))
        context = video.codec_context
        found = set(coded_sizes(made["codec"], bytes(packet), context.extradata or b""))
        assert context.decode(packet) or context.decode(None)
        assert found == {(context.coded_width, context.coded_height)}


@given(width=sides, height=sides, ids=st.integers(0, 31))
def test_any_size_is_read_whatever_is_cut_off_again(width, height, ids):
    """Up to whole macroblocks, from start codes and from a configuration, behind other units."""
    sps = crafted.sps(width, height, crop=(width - 1, height - 1))
    expected = [(-(-width // 16) * 16, -(-height // 16) * 16)]
    others = [crafted.nal(6, "1" * 40)] * ids
    assert list(coded_sizes("h264", crafted.annex_b(*others, sps, crafted.PPS), b"")) == expected
    configured = b"\1" + sps[1:4] + b"\xff\xe1" + len(sps).to_bytes(2, "big") + sps
    assert list(coded_sizes("h264", b"", configured)) == expected


def test_the_largest_of_several_sets_is_among_them():
    """A small set before a large one does not hide it."""
    small, large = crafted.sps(64, 48), crafted.sps(16_000, 16_000)
    assert list(coded_sizes("h264", crafted.annex_b(small, large), b"")) == [(64, 48), (16_000, 16_000)]


def test_a_frame_is_not_searched_to_its_end():
    """Parameter sets stand before the first slice, and among the first units: no frame of start codes is walked."""
    large = crafted.sps(16_000, 16_000)
    assert not list(coded_sizes("h264", crafted.annex_b(crafted.grey_idr(), large), b""))
    assert not list(coded_sizes("h264", crafted.annex_b(*[crafted.nal(6, "1")] * MOST_UNITS, large), b""))


@given(codec=st.sampled_from(["h264", "hevc", "vp9"]), packet=st.binary(max_size=200), extradata=st.binary(max_size=80))
def test_no_bytes_are_an_error(codec, packet, extradata):
    """What makes no sense is left to the decoder."""
    sets = b"\0\0\1\x67" + packet if codec == "h264" else b"\0\0\1\x42\x01" + packet
    configured = b"\1" + extradata
    for width, height in (*coded_sizes(codec, sets, configured), *coded_sizes(codec, sets, b"")):
        assert width >= 0
        assert height >= 0
