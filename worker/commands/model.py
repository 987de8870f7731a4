"""``framewatch model``: checks a model folder, and makes one."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, get_args

from worker.errors import UsageError
from worker.scoring import check as checking
from worker.scoring import opennsfw as real
from worker.scoring import pack as packing
from worker.scoring.manifest import Activation, Colour, Fit, Layout
from worker.settings.tree import Scoring

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from worker.settings.tree import Precision, Provider

PIXEL_SCALE = 1 / 255
"""The default: pixels from 0 to 1."""


def check(folder: Path, *, provider: Provider = "cpu", precision: Precision = "f32", batch: int = 1) -> list[str]:
    """Check a model folder as the worker does at start, and return what was found, a line each.

    ``provider``, ``precision`` and ``batch`` are as in the settings of scoring.

    Raises:
        UsageError: All mistakes in the folder, a line each.
    """
    if batch < 1:
        raise UsageError(f"--batch must be at least 1, not {batch}")
    report = checking.check(folder, Scoring(provider=provider, precision=precision, batch=batch))
    counting = [label for label in report.labels if label not in report.harmless]
    return [
        f"{report.ref.name} {report.ref.version}, licence {report.licence}",
        f"labels that count: {', '.join(counting) or 'none'}; harmless: {', '.join(sorted(report.harmless)) or 'none'}",
        *(f"pass     {sentence}" for sentence in report.checks),
        *(f"warning  {note}" for note in report.notes),
    ]


def pack(
    model: Path,
    out: Path,
    *,
    name: str,
    version: str,
    labels: Sequence[str],
    harmless: Sequence[str],
    size: str,
    layout: str,
    colour: str,
    fit: str,
    mean: Sequence[float],
    scale: Sequence[float],
    activation: str,
    licence: str,
    pictures: Sequence[Path],
    tolerance: float | None = None,
) -> list[str]:
    """Make a model folder of a graph and pictures, and return what to do next, a line each.

    ``size`` is ``HEIGHTxWIDTH``; ``mean`` and ``scale`` are one number for all channels or three, in the order of
    ``colour``.

    Raises:
        UsageError: What is wrong with the arguments, the graph or a picture, a line each.
    """
    packing.pack(
        model,
        out,
        name=name,
        version=version,
        labels=labels,
        size=parse_size(size),
        layout=_one_of("layout", layout, Layout),
        colour=_one_of("colour", colour, Colour),
        fit=_one_of("fit", fit, Fit),
        mean=_channels("mean", mean),
        scale=_channels("scale", scale),
        activation=_one_of("activation", activation, Activation),
        harmless=harmless,
        licence=licence,
        pictures=pictures,
        tolerance=_tolerance(tolerance),
    )
    return [f"{out}: packed, {len(pictures)} examples", *_next(out)]


def opennsfw(out: Path, *, tolerance: float | None = None) -> list[str]:
    """Pack the classifier that the extra ``opennsfw`` carries, and return what to do next, a line each.

    Raises:
        UsageError: The extra is not installed, or ``out`` is there already.
    """
    real.pack_opennsfw(out, _tolerance(tolerance))
    return [f"{out}: packed", f"next: framewatch model check {out}, read its README.md, set scoring.model = {out}"]


def parse_size(text: str) -> tuple[int, int]:
    """Return height and width of ``224x224``.

    Raises:
        UsageError: It is none.
    """
    height, by, width = text.lower().partition("x")
    if not (by and height.isascii() and height.isdigit() and width.isascii() and width.isdigit()):
        raise UsageError(f"--size must be HEIGHTxWIDTH, such as 224x224, not {text!r}")
    return int(height), int(width)


def _channels(name: str, numbers: Sequence[float]) -> tuple[float, float, float]:
    if len(numbers) == 1:
        return (numbers[0],) * 3
    if len(numbers) != 3:  # noqa: PLR2004 - red, green, blue
        raise UsageError(f"--{name} must be one number or three, not {len(numbers)}")
    first, second, third = numbers
    return first, second, third


def _tolerance(given: float | None) -> float | None:
    if given is not None and not 0 <= given < math.inf:
        raise UsageError(f"--tolerance must be a number of at least 0, not {given!r}")
    return given


def _one_of(name: str, value: str, choices: Any) -> Any:
    """Return the choice, in its own case."""
    found = {choice.lower(): choice for choice in get_args(choices)}.get(value.lower())
    if found is None:
        raise UsageError(f"--{name} must be one of {', '.join(get_args(choices))}, not {value!r}")
    return found


def _next(out: Path) -> list[str]:
    return [
        f"next: write the card, {out}/README.md, wherever it says {packing.TO_WRITE}",
        "next: calibrate, see docs/classifiers.md",
        f"next: framewatch model check {out}",
    ]
