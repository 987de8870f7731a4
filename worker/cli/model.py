"""``framewatch model check``, ``model pack`` and ``model opennsfw``."""

from __future__ import annotations

import sys
from pathlib import Path  # noqa: TC003 - the annotation is resolved when the command line is built
from typing import TYPE_CHECKING, Annotated

import cyclopts
from cyclopts import Parameter

from worker.commands import model as command
from worker.commands.terminal import safe
from worker.settings.tree import Precision, Provider  # noqa: TC001 - the same

if TYPE_CHECKING:
    from collections.abc import Iterable

app = cyclopts.App(name="model", help="Check a classifier's folder, or make one.")


@app.command
def check(folder: Path, /, *, provider: Provider = "cpu", precision: Precision = "f32", batch: int = 1) -> None:
    """Check a model folder as a worker does at start, its examples included, and measure it.

    Args:
        folder: The model folder.
        provider: What runs it, as scoring.provider.
        precision: What openvino computes in, as scoring.precision.
        batch: Most pictures in one run, as scoring.batch.
    """
    _tell(command.check(folder, provider=provider, precision=precision, batch=batch))


@app.command
def pack(
    model: Path,
    out: Path,
    /,
    *,
    name: str,
    version: str = "1",
    licence: str,
    label: Annotated[list[str], Parameter(negative=())],
    harmless: Annotated[list[str] | None, Parameter(negative=())] = None,
    size: str = "224x224",
    layout: str = "NCHW",
    colour: str = "RGB",
    fit: str = "stretch",
    mean: Annotated[list[float] | None, Parameter(negative=(), allow_leading_hyphen=True)] = None,
    scale: Annotated[list[float] | None, Parameter(negative=(), allow_leading_hyphen=True)] = None,
    activation: str = "softmax",
    picture: Annotated[list[Path], Parameter(negative=(), consume_multiple=True)],
    tolerance: float | None = None,
) -> None:
    """Make a model folder of an ONNX graph and a few harmless pictures; see docs/classifiers.md.

    What goes in is (pixel - mean) * scale, pixels from 0 to 255. What the graph says of the pictures here and now
    becomes the folder's examples, by which every worker checks at start that it computes the same.

    Args:
        model: The graph, one .onnx file.
        out: The folder to make; must not exist.
        name: The model's name; it goes with every incident.
        version: The model's version; the same.
        licence: The model's licence, as an SPDX expression.
        label: A label, once for each of the graph's numbers, in their order.
        harmless: A label that never counts; may be given several times.
        size: Height by width that the graph takes.
        layout: NCHW or NHWC.
        colour: RGB or BGR.
        fit: stretch, or crop: the middle of the picture only.
        mean: Subtracted from each pixel: once, or three times in the order of colour. Default 0.
        scale: Multiplied after that: once, or three times. Default 1/255.
        activation: What makes scores of the graph's numbers: softmax, sigmoid or none.
        picture: JPEG or PNG files.
        tolerance: By how much another machine or provider may miss the examples. Default 0.001 of the largest output.
    """
    done = command.pack(
        model,
        out,
        name=name,
        version=version,
        labels=label,
        harmless=harmless or [],
        size=size,
        layout=layout,
        colour=colour,
        fit=fit,
        mean=mean or [0.0],
        scale=scale or [command.PIXEL_SCALE],
        activation=activation,
        licence=licence,
        pictures=picture,
        tolerance=tolerance,
    )
    _tell(done)


@app.command
def opennsfw(out: Path, /, *, tolerance: float | None = None) -> None:
    """Pack OpenNSFW, a real classifier to try; needs the extra opennsfw. Nothing is fetched.

    Args:
        out: The folder to make; must not exist.
        tolerance: By how much another machine or provider may miss the examples. Default 0.001.
    """
    _tell(command.opennsfw(out, tolerance=tolerance))


def _tell(lines: Iterable[str]) -> None:
    for line in lines:
        sys.stdout.write(f"{safe(line)}\n")
