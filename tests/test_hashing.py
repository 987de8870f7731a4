"""PDQ against the reference implementation, at sizes and colours that video has."""

from __future__ import annotations

from statistics import mean

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.media import card, flat, gradient, textured

from worker.hashing import hamming, pdq

SIZES = [(1280, 720), (1920, 1080), (720, 480), (321, 241), (1000, 129), (129, 1000), (128, 128), (64, 64), (63, 65)]


def reference(picture):
    """What pdqhash says: 32 bytes and the quality; where it isn't installed, the test is skipped."""
    pdqhash = pytest.importorskip("pdqhash")
    rgb = picture if picture.ndim == 3 else np.repeat(picture[:, :, None], 3, axis=2)
    vector, quality = pdqhash.compute(np.ascontiguousarray(rgb))
    return np.packbits(vector).tobytes(), quality


@pytest.mark.parametrize(("width", "height"), SIZES)
def test_bits_and_quality_are_those_of_the_reference(width, height):
    """At any size, whole hashes agree: at most 8 bits apart, on average at most 2, and the same quality."""
    pictures = [textured(width, height, seed)(0.3) for seed in range(4)] + [card(width, height)(0)]
    distances = []
    for picture in pictures:
        expected, quality = reference(picture)
        hashed = pdq(picture)
        assert hashed.quality == quality
        distances.append(hamming(hashed.pdq, expected))
    assert max(distances) <= 8
    assert mean(distances) <= 2


def test_grey_pictures_hash_like_their_rgb():
    """A grey plane has the hash of the RGB picture with three such planes."""
    grey = textured(640, 360)(0)[:, :, 1]
    expected, quality = reference(grey)
    hashed = pdq(grey)
    assert hamming(hashed.pdq, expected) <= 2
    assert hashed.quality == quality


def test_turned_pictures_are_hashed_as_they_are_shown():
    """A view with turned strides hashes like a copy of it."""
    turned = np.rot90(textured(320, 180)(0))
    assert pdq(turned) == pdq(np.ascontiguousarray(turned))


@pytest.mark.parametrize("picture", [flat(320, 180), gradient(320, 180)], ids=["flat", "gradient"])
def test_below_quality_50_there_is_no_hash(picture):
    """A picture without detail has a quality and no hash."""
    hashed = pdq(picture(0))
    assert hashed.quality < 50
    assert hashed.quality == reference(picture(0))[1]
    assert hashed.pdq is None


def test_the_quality_at_which_hashes_begin_is_that_of_the_reference():
    """Between no detail and much of it, both say the same quality, and a hash is there from 50 on."""
    detail = textured(320, 180)(0).astype(np.float64)
    qualities = set()
    for share in np.linspace(0, 0.6, 61):
        picture = (128 + (detail - 128) * share).astype(np.uint8)
        hashed = pdq(picture)
        assert hashed.quality == reference(picture)[1]
        assert (hashed.pdq is None) == (hashed.quality < 50)
        qualities.add(hashed.quality)
    assert any(quality < 50 for quality in qualities)
    assert any(50 <= quality < 100 for quality in qualities)


@settings(max_examples=60, deadline=None)
@given(height=st.integers(1, 200), width=st.integers(1, 200), seed=st.integers(0, 2**32 - 1))
def test_no_size_is_too_small_or_odd(height, width, seed):
    """Every size has the reference's quality, 0 below 5 pixels; and its hash, but for ties in pictures below 64."""
    picture = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    hashed = pdq(picture)
    if min(height, width) < 5:
        assert (hashed.pdq, hashed.quality) == (None, 0)
    else:
        expected, quality = reference(picture)
        assert abs(hashed.quality - quality) <= 1
        assert (hashed.pdq is None) == (hashed.quality < 50)
        assert min(height, width) < 64 or hamming(hashed.pdq, expected) <= 8


@given(st.binary(min_size=32, max_size=32), st.sets(st.integers(0, 255)))
def test_hamming_counts_the_bits_that_differ(hashed, flips):
    """Flipping n different bits gives the distance n."""
    bits = np.unpackbits(np.frombuffer(hashed, np.uint8))
    for flip in flips:
        bits[flip] ^= 1
    assert hamming(hashed, np.packbits(bits).tobytes()) == len(flips)


def test_hashes_of_different_lengths_have_no_distance():
    """A hash of another algorithm's length is a mistake, not a distance."""
    with pytest.raises(ValueError, match="different lengths"):
        hamming(bytes(32), bytes(8))


def test_photos_and_their_modifications_hash_like_the_reference(shared_media):
    """ThreatExchange's own photos, decoded: within the bounds of what pdqhash says."""
    for file in sorted((shared_media / "pdq-bridge").glob("*.jpg")):
        picture = cv2.cvtColor(cv2.imread(str(file)), cv2.COLOR_BGR2RGB)
        expected, quality = reference(picture)
        hashed = pdq(picture)
        assert hashed.quality == quality, file.name
        assert hamming(hashed.pdq, expected) <= 2, file.name
