"""Frame to PDQ and quality.

PDQ is Meta's perceptual image hash: 256 signs of a picture's low frequencies. The algorithm and its constants are those
of facebook/ThreatExchange, ``pdq/cpp/hashing/pdqhashing.cpp`` and ``pdq/cpp/downscaling/downscaling.cpp``: two passes
of a box filter over the full picture, one sample from each cell of a 64x64 grid, a 16x16 corner of its DCT, and a bit
for each coefficient above the median.

Filter and sampling are linear, so both are folded into one banded matrix for each side of the picture: each of the 64
samples is a weighted mean of the few rows (then columns) that it sees. Every pixel counts.

The weights of red, green and blue are linear too, and so is the way from luma and colour differences to RGB: the planes
that a decoder leaves are reduced as they are, each at its own size. Only what RGB must clip is not linear; how much
that is, is measured on some pixels of each cell, together with how well these pixels know it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from worker.records import FrameHash

if TYPE_CHECKING:
    from collections.abc import Sequence

    from worker.records import Plane, Yuv

GRID = 64
"""Samples along each side of the reduced picture."""
DCT_SIZE = 16
"""Frequencies kept along each side; the constant one is left out."""
MIN_SIDE = 5
"""Pixels; ThreatExchange gives smaller pictures the quality 0."""
MIN_QUALITY = 50
"""Below it a hash says nothing: ThreatExchange advises to discard it."""
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
"""Weights of red, green and blue, as ThreatExchange has them (ITU-R BT.601), whatever the video's own are."""
RGB = 3
"""Axes of a colour picture, and its channels."""

SITES = 2 * GRID
"""Pixels along each side at which clipping is measured: four in each cell."""
ROUNDING = 1.0
"""By how much a frequency differs because a converter rounds RGB; root mean squares measured: 0.6, and 1.2 at most."""
MOST_DOUBTFUL = 12
"""Bits that may be as near to the median as a frequency may be off. About a fifth of them turn out differently."""
QUALITY_MARGIN = 3
"""By how much quality may be off, at most, where clipping was only sampled."""
NO_GAIN = 1e-4
"""A plane that counts less is left out; that is colour in BT.601."""
COLUMNS = 8
"""Samples along a row that one multiplication makes."""
ROWS = 4
"""Rows of samples that one multiplication makes of colour's halved planes. Of a full plane it makes one: there, four
are a fifth faster with AVX-512 and by a fifth to a half slower with AVX2."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    """Some neighbouring samples' rows of the matrix: the pixels that they see, and their weights."""

    first: int
    last: int
    """Exclusive."""
    weights: Floats
    """Shape (samples, pixels)."""


def pdq(picture: NDArray[np.uint8]) -> FrameHash:
    """PDQ and quality of one picture.

    Args:
        picture: The whole picture as displayed, dtype uint8, 0 to 255: RGB of shape (height, width, 3), or grey of
            shape (height, width). Video's own luma plane won't do: where it has the weights of BT.709, or colours that
            RGB must clip, its hash is up to 16 bits away from what ThreatExchange's tools publish.

    Returns:
        32 bytes in ThreatExchange's order (``numpy.packbits`` of ``pdqhash``'s vector as it stands), None where quality
        is below 50; and the quality, 0 to 100.
    """
    height, width = picture.shape[:2]
    if min(height, width) < MIN_SIDE:
        return FrameHash(pdq=None, quality=0)
    flat = np.ascontiguousarray(picture).reshape(height, -1)
    rows = _down((flat,), (1.0,), height)
    grid = _across(rows.reshape(GRID, width, RGB) @ LUMA if picture.ndim == RGB else rows, width)
    quality = _quality(grid)
    return FrameHash(pdq=_bits(_frequencies(grid)) if quality >= MIN_QUALITY else None, quality=quality)


def pdq_of_yuv(picture: Yuv) -> FrameHash | None:
    """PDQ and quality of one picture as its decoder leaves it, without making it RGB.

    Returns:
        As ``pdq``: some bits off at most, quality one off. None where that can't be had: too many frequencies are too
        near to the median for what is known of them, or quality is too near to 50. RGB knows better then.
    """
    height, width = picture.luma.shape
    if min(height, width) < MIN_SIDE:
        return FrameHash(pdq=None, quality=0)
    lit, *coloured = (LUMA @ picture.to_rgb[:, :RGB]).tolist()
    grid = _across(_down((picture.luma,), (lit,), height), width)
    if max(map(abs, coloured)) > NO_GAIN * lit:
        grid += _across(_down((picture.blue, picture.red), tuple(coloured), height), width)
    lost, unsure = _clipped(picture)
    grid += lost
    quality = _quality(grid)
    if quality < MIN_QUALITY - QUALITY_MARGIN:
        return FrameHash(pdq=None, quality=quality)
    frequencies = _frequencies(grid)
    near = np.abs(frequencies - _median(frequencies)) < np.hypot(ROUNDING, unsure)
    if quality < MIN_QUALITY + QUALITY_MARGIN or np.count_nonzero(near) > MOST_DOUBTFUL:
        return None
    return FrameHash(pdq=_bits(frequencies), quality=quality)


def hamming(a: bytes, b: bytes) -> int:
    """How many bits two hashes of the same length differ by.

    Raises:
        ValueError: The lengths differ.
    """
    if len(a) != len(b):
        raise ValueError("hashes of different lengths can't be compared")
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def _down(planes: Sequence[Plane], gains: tuple[float, ...], height: int) -> Floats:
    """The weighted sum of planes of one size, their rows filtered and sampled: shape (64, width of the planes).

    ``height`` is the picture's: a plane may have half as many rows, each for two of the picture's.
    """
    depth, across = planes[0].shape
    bands = _rows(height, -(-height // depth), gains)
    # A band's rows fit the cache; a float copy of the whole picture would go through memory twice.
    floats = np.empty((max(band.weights.shape[1] for band in bands), across), np.float32)
    rows = np.empty((GRID, across), np.float32)
    done = 0
    for band in bands:
        count = band.last - band.first
        for number, plane in enumerate(planes):
            floats[number * count : (number + 1) * count] = plane[band.first : band.last]
        samples, pixels = band.weights.shape
        np.dot(band.weights, floats[:pixels], out=rows[done : done + samples])
        done += samples
    return rows


def _across(rows: Floats, width: int) -> Floats:
    """The same for the columns of these rows; shape (64, 64). ``width`` is the picture's."""
    bands = _bands(width, -(-width // rows.shape[1]), COLUMNS)
    return np.concatenate([rows[:, band.first : band.last] @ band.weights.T for band in bands], axis=1)


def _clipped(picture: Yuv) -> tuple[Floats, float]:
    """What RGB's limits take from each sample of the grid, and by how much that may be wrong.

    Four pixels of each cell are looked at. The two on one diagonal and those on the other should say the same; half of
    their difference, as its root mean square over all cells, is what isn't known.
    """
    height, width = picture.luma.shape
    pixels = np.empty((RGB, SITES, SITES), np.float32)
    for channel, plane in zip(pixels, (picture.luma, picture.blue, picture.red), strict=True):
        down, across = plane.shape
        channel[...] = plane.take(_sites(height, down), axis=0).take(_sites(width, across), axis=1)
    black = picture.to_rgb[:, RGB:]
    rgb = picture.to_rgb[:, :RGB] @ pixels.reshape(RGB, -1)
    clipped = np.minimum(np.maximum(rgb, -black), 255 - black)
    lost = (LUMA @ (clipped - rgb)).reshape(GRID, 2, GRID, 2)
    falling, rising = lost[:, 0, :, 0] + lost[:, 1, :, 1], lost[:, 0, :, 1] + lost[:, 1, :, 0]
    apart = (falling - rising).ravel()
    return (falling + rising) / 4, math.sqrt(apart @ apart) / (4 * GRID)


def _quality(grid: Floats) -> int:
    """ThreatExchange's quality: the sum of the steps between neighbours, each cut to whole hundredths of the range."""
    steps = (np.trunc(step * 100 / 255) for step in (grid[1:] - grid[:-1], grid[:, 1:] - grid[:, :-1]))
    return min(int(sum(np.abs(step).sum() for step in steps)) // 90, 100)


def _frequencies(grid: Floats) -> Floats:
    """The 256 low frequencies, row by row."""
    return np.asarray((_DCT @ grid @ _DCT.T).ravel())


def _median(frequencies: Floats) -> np.float32:
    """ThreatExchange's median (Torben's): of an even count the lower one."""
    middle = frequencies.size // 2 - 1
    return np.float32(np.partition(frequencies, middle)[middle])


def _bits(frequencies: Floats) -> bytes:
    """The 256 signs against the median, last frequency first, as 32 bytes."""
    return np.packbits(frequencies[::-1] > _median(frequencies)).tobytes()


def _dct() -> Floats:
    """Rows 1 to 16 of the 64-point DCT-II, shape (16, 64)."""
    frequency = np.arange(1, DCT_SIZE + 1)[:, None]
    position = 2 * np.arange(GRID)[None, :] + 1
    waves = np.cos(np.pi / (2 * GRID) * frequency * position)
    return np.asarray(np.sqrt(2 / GRID) * waves, np.float32)


_DCT = _dct()


@lru_cache(maxsize=32)
def _rows(size: int, step: int, gains: tuple[float, ...]) -> tuple[_Band, ...]:
    """The bands for several planes, one below the other; each has its gain."""
    return tuple(
        _Band(first=band.first, last=band.last, weights=np.kron(np.array([gains], np.float32), band.weights))
        for band in _bands(size, step, 1 if step == 1 else ROWS)
    )


@lru_cache(maxsize=32)
def _bands(size: int, step: int, samples: int) -> tuple[_Band, ...]:
    """The matrix that filters and samples a side of so many pixels, of which ``step`` each are one."""
    singles = [_folded(_band(size, int((sample + 0.5) * size / GRID)), step) for sample in range(GRID)]
    return tuple(_joined(singles[number : number + samples]) for number in range(0, GRID, samples))


def _joined(bands: Sequence[_Band]) -> _Band:
    first, last = bands[0].first, bands[-1].last
    weights = np.zeros((len(bands), last - first), np.float32)
    for row, band in zip(weights, bands, strict=True):
        row[band.first - first : band.last - first] = band.weights[0]
    return _Band(first=first, last=last, weights=weights)


def _folded(band: _Band, step: int) -> _Band:
    """The same for a plane in which so many pixels are one."""
    first, last = band.first // step, -(-band.last // step)
    weights = np.bincount(np.arange(band.first, band.last) // step - first, band.weights[0])
    return _Band(first=first, last=last, weights=weights[None].astype(np.float32))


def _band(size: int, centre: int) -> _Band:
    """Two passes of the box filter, seen from the pixel that is sampled."""
    first, last = _window(size, centre)
    inner = [_window(size, pixel) for pixel in range(first, last)]
    start, stop = inner[0][0], inner[-1][1]
    weights = np.zeros(stop - start)
    for low, high in inner:
        weights[low - start : high - start] += 1 / ((last - first) * (high - low))
    return _Band(first=start, last=stop, weights=weights[None].astype(np.float32))


def _window(size: int, centre: int) -> tuple[int, int]:
    """The pixels that one pass averages around a pixel: first, and one past the last."""
    full = -(-size // (2 * GRID))
    ahead = (full + 2) // 2
    return max(0, centre - (full - ahead)), min(size, centre + ahead)


@lru_cache(maxsize=32)
def _sites(size: int, rows: int) -> NDArray[np.intp]:
    """The rows (or columns) of a plane at which clipping is measured; ``size`` is the picture's."""
    return ((np.arange(SITES) + 0.5) * size / SITES).astype(np.intp) // -(-size // rows)
