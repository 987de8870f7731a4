"""Decoded planes, without a conversion: they are what FFmpeg would make RGB of, and hash like that RGB."""

from __future__ import annotations

import io
from itertools import product
from statistics import mean

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace
from support.media import card, flat, make_segment, textured

from worker.examine import examine, hashed
from worker.hashing import hamming, pdq, pdq_of_yuv
from worker.records import Ask
from worker.sampling import planes
from worker.sampling.keyframe import Keyframe

LAYOUTS = {"yuv420p": (2, 2), "yuv422p": (1, 2), "yuv444p": (1, 1)}
"""Rows and columns of the picture to one of colour."""
TEN_BIT = ("yuv420p10le", "yuv422p10le", "yuv444p10le")
MATRICES = {"BT.709": 1, "not said": 2, "FCC": 4, "BT.601": 5, "SMPTE 170M": 6, "SMPTE 240M": 7, "BT.2020": 9}
LIMITED, FULL = 1, 2
BLOCK, BLOCKS = 16, 10
"""Pixels to a side, and how many of them down and across."""


def frame(luma, blue, red, *, layout="yuv420p", matrix=2, colours=LIMITED):
    """A frame of these planes, dtype uint8, that says these colours of itself."""
    made = av.VideoFrame(luma.shape[1], luma.shape[0], layout)
    for plane, samples in zip(made.planes, (luma, blue, red), strict=True):
        padded = np.full((plane.height, plane.line_size), 77, np.uint8)
        padded[:, : plane.width] = samples
        plane.update(padded)
    made.colorspace, made.color_range = matrix, colours
    return made


def of_picture(picture, layout="yuv420p", matrix=2, colours=LIMITED):
    """An RGB picture as a frame."""
    made = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    made = made.reformat(format=layout, dst_colorspace=5 if matrix == 2 else matrix, dst_color_range=colours, threads=1)
    made.colorspace, made.color_range = matrix, colours
    return made


def keyframe(made):
    """The frame as the sampler hands it on."""
    return Keyframe(made, 0.0)


def rgb_of(made):
    """What PyAV makes of it."""
    return np.ascontiguousarray(made.to_ndarray(format="rgb24", threads=1))


def middle_of_blocks(plane):
    """One pixel of each."""
    down, across = (side // BLOCKS for side in plane.shape[:2])
    return plane[down // 2 :: down, across // 2 :: across]


def reference(picture):
    """What pdqhash says: 32 bytes and the quality; where it isn't installed, the test is skipped."""
    vector, quality = pytest.importorskip("pdqhash").compute(picture)
    return np.packbits(vector).tobytes(), quality


def blobs(seed, side, height, width):
    """Random levels on a coarse grid, smoothly enlarged; dtype uint8."""
    coarse = np.random.default_rng(seed).integers(16, 241, (height // side + 2, width // side + 2), dtype=np.uint8)
    grey = av.VideoFrame.from_ndarray(coarse, format="gray")
    return grey.reformat(width, height, interpolation="BICUBIC", threads=1).to_ndarray()


def detailed(seed, height, width):
    """Luma with detail at all scales, so that no frequency is near nothing."""
    layers = [blobs(seed + side, side, height, width).astype(int) * side for side in (64, 32, 16, 8)]
    return (sum(layers) // 120).astype(np.uint8)


# --- what the planes say ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("colours", [LIMITED, FULL], ids=["limited", "full"])
@pytest.mark.parametrize("matrix", MATRICES.values(), ids=MATRICES.keys())
@pytest.mark.parametrize("layout", [*LAYOUTS, *TEN_BIT])
def test_their_matrix_is_the_one_that_ffmpeg_uses(layout, matrix, colours):
    """In blocks of any colour, also those that RGB must clip, it gives FFmpeg's RGB but for rounding (3.2 at most)."""
    rng = np.random.default_rng(matrix)
    block = np.ones((BLOCK, BLOCK), np.uint8)
    squares = [np.kron(rng.integers(16, 236, (BLOCKS, BLOCKS), dtype=np.uint8), block) for _ in "yuv"]
    made = frame(*squares, layout="yuv444p", matrix=matrix, colours=colours)
    if layout != "yuv444p":
        made = made.reformat(format=layout, interpolation="POINT", threads=1)
        made.colorspace, made.color_range = matrix, colours
    yuv = planes.yuv(made, 0)
    middles = [middle_of_blocks(plane) for plane in (yuv.luma, yuv.blue, yuv.red)]
    ours = np.clip(np.tensordot(yuv.to_rgb, np.stack([*middles, np.ones_like(middles[0])]), 1), 0, 255)
    theirs = middle_of_blocks(rgb_of(made))
    assert np.abs(np.moveaxis(ours, 0, 2) - theirs).max() < 4


def test_formats_that_say_full_range_are_read_as_such():
    """``yuvj420p`` is full range, whatever else the frame says."""
    grey = np.full((64, 64), 128, np.uint8)
    said, named = (
        frame(grey, grey[:32, :32], grey[:32, :32], layout=layout, matrix=1, colours=0)
        for layout in ("yuv420p", "yuvj420p")
    )
    assert planes.yuv(said, 0).to_rgb[0, 0] == pytest.approx(255 / 219)
    assert planes.yuv(named, 0).to_rgb[0, 0] == 1


@pytest.mark.parametrize(
    ("layout", "matrix"), [("gbrp", 1), ("gray", 1), ("rgb24", 1), ("nv12", 1), ("yuva420p", 1), ("yuv420p", 0)]
)
def test_what_is_not_three_known_planes_is_left_to_ffmpeg(layout, matrix):
    """Other formats, and colours that no shares are known of, have no planes to read, and a hash all the same."""
    made = of_picture(textured(320, 180)(0)).reformat(format=layout, threads=1)
    made.colorspace = matrix
    assert planes.yuv(made, 0) is None
    assert hashed(keyframe(made)) == pdq(keyframe(made).rgb())


def test_turned_pictures_of_odd_size_are_left_to_ffmpeg():
    """Their colour would begin in the middle of a sample; upright ones, and even ones, are read."""
    odd, even = of_picture(textured(321, 181)(0)), of_picture(textured(320, 180)(0))
    assert planes.yuv(odd, 1) is None
    assert planes.yuv(odd, 0).luma.shape == (181, 321)
    assert planes.yuv(even, 1).luma.shape == (320, 180)


def test_what_pads_their_rows_does_not_count():
    """A width with padded rows hashes like the same planes copied."""
    made = of_picture(textured(330, 180)(0))
    yuv = planes.yuv(made, 0)
    assert made.planes[0].line_size > 330
    copied = replace(yuv, luma=yuv.luma.copy(), blue=yuv.blue.copy(), red=yuv.red.copy())
    assert pdq_of_yuv(copied) == pdq_of_yuv(yuv)


# --- their hash -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("layout", "colours"), list(product([*LAYOUTS, *TEN_BIT], (LIMITED, FULL))))
def test_hashes_are_those_of_the_reference_on_rgb(layout, colours):
    """Whatever the layout, range and matrix: at most 8 bits apart, on average at most 2, and quality 1 at most."""
    distances = []
    for (name, matrix), (width, height) in product(MATRICES.items(), [(640, 360), (854, 480), (322, 242)]):
        for picture in (textured(width, height, matrix)(0.3), card(width, height)(0)):
            made = of_picture(picture, layout, matrix, colours)
            expected, quality = reference(rgb_of(made))
            ours = hashed(keyframe(made))
            assert abs(ours.quality - quality) <= 1, (name, width)
            distances.append(hamming(ours.pdq, expected))
    assert max(distances) <= 8
    assert mean(distances) <= 2


@pytest.mark.parametrize("matrix", [1, 6], ids=["BT.709", "BT.601"])
def test_smooth_colours_that_rgb_must_clip_are_accounted_for(matrix):
    """Far out of gamut on much of the picture, they cost at most 4 bits without RGB; as if there were no limits, 10."""
    for seed in (2, 8):
        colour = [blobs(90 * seed + n, 64, 180, 320) for n in range(2)]
        made = frame(detailed(seed, 360, 640), *colour, matrix=matrix)
        expected, _ = reference(rgb_of(made))
        yuv = planes.yuv(made, 0)
        limitless = replace(yuv, to_rgb=yuv.to_rgb * np.float32(0.3) + np.array([0, 0, 0, 90], np.float32))
        assert hamming(pdq_of_yuv(yuv).pdq, expected) <= 4
        assert hamming(pdq_of_yuv(limitless).pdq, expected) >= 10


def test_where_clipping_can_t_be_told_from_some_pixels_rgb_is_asked():
    """Fine, saturated noise says something else at every pixel: the planes don't tell, and the hash is that of RGB."""
    rng = np.random.default_rng(5)
    luma = detailed(5, 360, 640)
    colour = [np.where(rng.random((180, 320)) < 0.5, 20, 236).astype(np.uint8) for _ in range(2)]
    made = frame(luma, *colour, matrix=1)
    assert pdq_of_yuv(planes.yuv(made, 0)) is None
    assert hashed(keyframe(made)) == pdq(rgb_of(made))


def test_where_hardly_anything_differs_rgb_is_asked():
    """Stripes have few frequencies: the others are noise, and only the same noise has the reference's bits."""
    stripes = np.where(np.arange(640) // 20 % 2, 180, 60).astype(np.uint8)
    grey = np.full((180, 320), 128, np.uint8)
    made = frame(np.broadcast_to(stripes, (360, 640)), grey, grey)
    assert pdq_of_yuv(planes.yuv(made, 0)) is None
    assert hashed(keyframe(made)) == pdq(rgb_of(made))


def test_a_plain_picture_has_no_hash_and_needs_no_rgb():
    """Black, as between programmes: quality 0 is known from the planes."""
    yuv = planes.yuv(of_picture(flat(640, 360, (0, 0, 0))(0)), 0)
    assert (pdq_of_yuv(yuv).pdq, pdq_of_yuv(yuv).quality) == (None, 0)


def test_whether_there_is_a_hash_is_what_the_reference_says():
    """Between no detail and much of it, a hash is there from the reference's quality 50 on; near it, RGB is asked."""
    detail, seen = textured(640, 360)(0).astype(np.float64), set()
    for share in np.linspace(0, 0.4, 81):
        made = of_picture((128 + (detail - 128) * share).astype(np.uint8), matrix=1)
        _, quality = reference(rgb_of(made))
        ours = hashed(keyframe(made))
        assert (ours.pdq is None) == (quality < 50)
        assert abs(ours.quality - quality) <= (1 if quality >= 40 else 3)
        assert abs(quality - 50) > 1 or pdq_of_yuv(planes.yuv(made, 0)) is None
        seen.add(quality)
    assert seen & {49, 50, 51}
    assert any(40 < quality < 50 for quality in seen)
    assert any(50 <= quality < 60 for quality in seen)


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p"])
def test_turned_video_is_hashed_as_it_is_shown(rotation, pix_fmt):
    """The reference's hash of the turned RGB picture, at most 4 bits off."""
    data = make_segment(container="mp4", seconds=0.2, rotation=rotation, pix_fmt=pix_fmt, width=640, height=360)
    ask = Ask(content_type=None, interval_s=0, max_keyframes=1, view=None, max_pixels=640 * 360, max_streams=1)
    with av.open(io.BytesIO(data)) as container:
        shown = np.rot90(next(container.decode(video=0)).to_ndarray(format="rgb24"), rotation // 90)
    expected, quality = reference(np.ascontiguousarray(shown))
    ours = examine(data, None, ask).frames[0].hash
    assert hamming(ours.pdq, expected) <= 4
    assert ours.quality == quality


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 200),
    width=st.integers(1, 200),
    layout=st.sampled_from(list(LAYOUTS)),
    seed=st.integers(0, 2**32 - 1),
)
def test_no_size_is_too_small_or_odd(height, width, layout, seed):
    """Every size is hashed, twice the same, with the reference's quality; below 5 pixels there is none."""
    rng, (down, across) = np.random.default_rng(seed), LAYOUTS[layout]
    luma = rng.integers(16, 236, (height, width), dtype=np.uint8)
    colour = rng.integers(118, 139, (2, -(-height // down), -(-width // across)), dtype=np.uint8)
    made = frame(luma, *colour, layout=layout, matrix=1)
    ours = hashed(keyframe(made))
    assert hashed(keyframe(made)) == ours
    if min(height, width) < 5:
        assert (ours.pdq, ours.quality) == (None, 0)
    else:
        assert abs(ours.quality - reference(rgb_of(made))[1]) <= 2
