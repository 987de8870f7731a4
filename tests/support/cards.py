"""Pictures for the demo model: the test card that it sees, and harmless ones that it must not take for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from worker.records import Picture


def card(height: int, width: int) -> Picture:
    """The demo model's test card: a checkerboard of 6 by 8 cells, green and magenta, RGB."""
    row, column = np.mgrid[0:height, 0:width]
    green = (row * 6 // height + column * 8 // width) % 2 == 0
    return np.where(green[..., np.newaxis], [0, 255, 0], [255, 0, 255]).astype(np.uint8)


def harmless(height: int, width: int, seed: int) -> Picture:
    """A slope between two muted colours with three discs of any colour, the same for the same seed, RGB."""
    random = np.random.default_rng(seed)
    row, column = np.mgrid[0:height, 0:width]
    begin, end = random.integers(60, 190, (2, 3))
    along = (row / height + column / width)[..., np.newaxis] / 2
    picture = begin + (end - begin) * along
    for _ in range(3):
        y, x, radius = random.random(3) * (height, width, 0.18 * min(height, width))
        picture[(row - y) ** 2 + (column - x) ** 2 < radius**2] = random.integers(0, 256, 3)
    return picture.round().astype(np.uint8)
