"""Frame to PDQ and quality.

PDQ is Meta's perceptual image hash: 256 signs of a picture's low frequencies. The algorithm and its constants are those
of facebook/ThreatExchange, ``pdq/cpp/hashing/pdqhashing.cpp`` and ``pdq/cpp/downscaling/downscaling.cpp``: two passes
of a box filter over the full picture, one sample from each cell of a 64x64 grid, a 16x16 corner of its DCT, and a bit
for each coefficient above the median.

Filter and sampling are linear, so both are folded into one banded matrix for each side of the picture: each of the 64
samples is a weighted mean of the few rows (then columns) that it sees. The weights of red, green and blue are linear
too and come last, on 64 rows instead of all. Every pixel counts, and the bits are those of the reference.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from worker.records import FrameHash

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

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class _Band:
    """One sample's row of the matrix: the pixels that it sees, and their weights."""

    first: int
    last: int
    """Exclusive."""
    weights: Floats


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
    if min(picture.shape[:2]) < MIN_SIDE:
        return FrameHash(pdq=None, quality=0)
    grid = _reduce(picture)
    quality = _quality(grid)
    return FrameHash(pdq=_bits(grid) if quality >= MIN_QUALITY else None, quality=quality)


def hamming(a: bytes, b: bytes) -> int:
    """How many bits two hashes of the same length differ by.

    Raises:
        ValueError: The lengths differ.
    """
    if len(a) != len(b):
        raise ValueError("hashes of different lengths can't be compared")
    return (int.from_bytes(a, "big") ^ int.from_bytes(b, "big")).bit_count()


def _reduce(picture: NDArray[np.uint8]) -> Floats:
    """The picture filtered and sampled at 64x64, float32."""
    height, width = picture.shape[:2]
    flat = np.ascontiguousarray(picture).reshape(height, -1)
    rows = np.empty((GRID, flat.shape[1]), np.float32)
    for sample, band in enumerate(_bands(height)):
        # A band's rows fit the cache; a float copy of the whole picture would go through memory twice.
        np.dot(band.weights, flat[band.first : band.last].astype(np.float32), out=rows[sample])
    luma = rows.reshape(GRID, width, RGB) @ LUMA if picture.ndim == RGB else rows
    return np.stack([luma[:, band.first : band.last] @ band.weights for band in _bands(width)], axis=1)


def _quality(grid: Floats) -> int:
    """ThreatExchange's quality: the sum of the steps between neighbours, each cut to whole hundredths of the range."""
    steps = (np.trunc(np.diff(grid, axis=axis) * 100 / 255) for axis in (0, 1))
    return min(int(sum(np.abs(step).sum() for step in steps)) // 90, 100)


def _bits(grid: Floats) -> bytes:
    """The 256 signs against the median, last frequency first, as 32 bytes."""
    frequencies = (_DCT @ grid @ _DCT.T).ravel()
    # ThreatExchange's median (Torben's) of an even count is the lower one.
    median = np.partition(frequencies, frequencies.size // 2 - 1)[frequencies.size // 2 - 1]
    return np.packbits(frequencies[::-1] > median).tobytes()


def _dct() -> Floats:
    """Rows 1 to 16 of the 64-point DCT-II, shape (16, 64)."""
    frequency = np.arange(1, DCT_SIZE + 1)[:, None]
    position = 2 * np.arange(GRID)[None, :] + 1
    waves = np.cos(np.pi / (2 * GRID) * frequency * position)
    return np.asarray(np.sqrt(2 / GRID) * waves, np.float32)


_DCT = _dct()


@lru_cache(maxsize=32)
def _bands(size: int) -> tuple[_Band, ...]:
    """The rows of the matrix that filters and samples a side of so many pixels."""
    return tuple(_band(size, int((sample + 0.5) * size / GRID)) for sample in range(GRID))


def _band(size: int, centre: int) -> _Band:
    """Two passes of the box filter, seen from the pixel that is sampled."""
    first, last = _window(size, centre)
    inner = [_window(size, pixel) for pixel in range(first, last)]
    start, stop = inner[0][0], inner[-1][1]
    weights = np.zeros(stop - start)
    for low, high in inner:
        weights[low - start : high - start] += 1 / ((last - first) * (high - low))
    return _Band(first=start, last=stop, weights=weights.astype(np.float32))


def _window(size: int, centre: int) -> tuple[int, int]:
    """The pixels that one pass averages around a pixel: first, and one past the last."""
    full = -(-size // (2 * GRID))
    ahead = (full + 2) // 2
    return max(0, centre - (full - ahead)), min(size, centre + ahead)
