"""Made-up pictures that resemble each other more or less: streams to spare, and attacks on PDQ. Harmless ones only."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import TYPE_CHECKING

import av
import numpy as np
from numpy.typing import NDArray

from worker.hashing import hamming, pdq
from worker.records import Picture

if TYPE_CHECKING:
    from collections.abc import Sequence

WIDTH, HEIGHT = 640, 360
LOOKS = 40
Floats = NDArray[np.float64]
Shows = Callable[[int], Picture]
"""The number of a look to the picture shown then."""


def made_up(seed: int) -> dict[str, Shows]:
    """Kinds of streams by name."""
    grounds = [blobs(seed + n, WIDTH * 2) for n in range(LOOKS)]
    ground = grounds[0][:, :WIDTH]
    return {
        "stands still": lambda _: ground,
        "stands still, a noisy camera": lambda n: noisy(ground, n),
        "pans 2 pixels a look": lambda n: grounds[0][:, 2 * n : 2 * n + WIDTH],
        "pans 16 pixels a look": lambda n: grounds[0][:, 16 * n : 16 * n + WIDTH],
        "a block moves, 1/40 of the picture": lambda n: inset(ground, grounds[1], 1 / 40, n),
        "a window changes, 1/9 of the picture": lambda n: inset(ground, grounds[n], 1 / 9, 0),
        "a slide every 20 s": lambda n: grounds[n // 10][:, :WIDTH],
        "another picture every look": lambda n: grounds[n][:, :WIDTH],
        "the demo's card comes and goes": lambda n: card() if n % 20 >= 10 else ground,
        "the demo's card fades in over 80 s": lambda n: fade(ground, card(), n / (LOOKS - 1)),
        "the demo's card covers it line by line": lambda n: curtain(ground, card(), n / (LOOKS - 1)),
    }


def blobs(seed: int, width: int) -> Picture:
    """Soft colours of all sizes, the smaller the fainter, (HEIGHT, width, 3)."""
    rng, whole = np.random.default_rng(seed), np.zeros((HEIGHT, width, 3))
    for cell in (120, 60, 30, 15):
        coarse = rng.integers(0, 256, (HEIGHT // cell + 2, width // cell + 2, 3), dtype=np.uint8)
        frame = av.VideoFrame.from_ndarray(coarse, format="rgb24")
        smooth = frame.reformat(width=width, height=HEIGHT, format="rgb24", interpolation="BICUBIC", threads=1)
        whole += smooth.to_ndarray() * (cell / 225)
    return (whole + rng.integers(-4, 5, whole.shape)).clip(0, 255).astype(np.uint8)


def noisy(picture: Picture, seed: int) -> Picture:
    """A picture as a camera in the evening sees it."""
    grain = np.random.default_rng(seed).normal(0, 8, picture.shape)
    return (picture + grain).clip(0, 255).astype(np.uint8)


def card() -> Picture:
    """What the demo model knows."""
    row, column = np.mgrid[0:HEIGHT, 0:WIDTH]
    green = (row * 6 // HEIGHT + column * 8 // WIDTH) % 2 == 0
    return np.where(green[..., np.newaxis], [0, 255, 0], [255, 0, 255]).astype(np.uint8)


def fade(one: Picture, other: Picture, share: float) -> Picture:
    """One picture through another."""
    return (one * (1 - share) + other * share).astype(np.uint8)


def curtain(one: Picture, other: Picture, share: float) -> Picture:
    """The upper part of another picture over one."""
    return np.concatenate([other[: round(HEIGHT * share)], one[round(HEIGHT * share) :]])


def inset(one: Picture, other: Picture, area: float, at: int) -> Picture:
    """One picture with a window of this share of its area that shows the middle of another; ``at`` moves it."""
    picture, (height, width) = one.copy(), one.shape[:2]
    high, wide = round(height * area**0.5), round(width * area**0.5)
    top, left = at * 37 % (height - high + 1), at * 83 % (width - wide + 1)
    y, x = (other.shape[0] - high) // 2, (other.shape[1] - wide) // 2
    picture[top : top + high, left : left + wide] = other[y : y + high, x : x + wide]
    return picture


def hybrid(near: Picture, far: Picture, cycles: float) -> Picture:
    """The coarse of one picture with the fine of another, told apart at so many cycles a picture."""
    filtered = [_coarse(picture, cycles) for picture in (near, far)]
    return (filtered[0] + (far - filtered[1])).clip(0, 255).astype(np.uint8)


def _coarse(picture: Picture, cycles: float) -> Floats:
    rows, columns = (np.fft.fftfreq(side) * side for side in picture.shape[:2])
    keep = np.exp(-((rows[:, None] ** 2 + columns[None, :] ** 2) / (2 * cycles**2)))
    spectrum = np.fft.fft2(picture.astype(np.float64), axes=(0, 1)) * keep[..., None]
    return np.asarray(np.fft.ifft2(spectrum, axes=(0, 1)).real, np.float64)


def attacked(pictures: Sequence[Picture], changed: Callable[[Picture, Picture, int], Picture]) -> list[int]:
    """By how many bits PDQ moves when something of the next picture is brought into each."""
    found = []
    for number, one in enumerate(pictures):
        before, after = pdq(one).pdq, pdq(changed(one, pictures[(number + 1) % len(pictures)], number)).pdq
        if before is not None and after is not None:
            found.append(hamming(before, after))
    return found


def attacks(pictures: Sequence[Picture]) -> None:
    """Print how often each attack stays within the bits."""
    shown = (4, 6, 10, 16, 31)
    print(
        f"\n## Attacks on PDQ, {len(pictures)} pictures: share within {', '.join(map(str, shown))} bits; median bits\n"
    )
    for area in (1 / 100, 1 / 50, 1 / 25, 1 / 16, 1 / 9, 1 / 4):
        off = attacked(pictures, lambda one, other, n, share=area: inset(one, other, share, n + 1))
        _print_attack(f"a window of 1/{1 / area:.0f} of the area", off, shown)
    for cycles in (8.0, 12.0, 16.0, 24.0, 32.0):
        off = attacked(pictures, lambda one, other, _, at=cycles: hybrid(one, other, at))
        _print_attack(f"coarse of one, fine of the other, at {cycles:.0f} cycles", off, shown)


def _print_attack(name: str, off: list[int], shown: Sequence[int]) -> None:
    shares = " | ".join(f"{sum(one <= bits for one in off) / len(off):4.0%}" for bits in shown)
    print(f"| {name:50} | {shares} | {median(off):g} |")
