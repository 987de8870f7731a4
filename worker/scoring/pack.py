"""What ``framewatch model pack`` does: makes a model folder of somebody's graph and a few pictures."""

from __future__ import annotations

import hashlib
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from worker.errors import UsageError
from worker.scoring import examples as examples_file
from worker.scoring import folder as model_folder
from worker.scoring import graph as graph_file
from worker.scoring import judgement
from worker.scoring import manifest as manifest_file
from worker.scoring.examples import MAX_EXAMPLES, Examples
from worker.scoring.graph import Graph
from worker.scoring.manifest import Activation, Colour, Fit, Input, Layout, Manifest, Output
from worker.scoring.preparation import prepare

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from worker.records import Picture, View

TOLERANCE = 1e-3
"""Of the largest output, and at least of 1: other processors round differently, by far less than this."""
MAX_PICTURE_BYTES = 64 * 1024 * 1024
TO_WRITE = "TO BE WRITTEN"
"""Stands in a fresh card wherever only its author can know; ``check`` finds what is left of it."""


def pack(
    model: Path,
    out: Path,
    *,
    name: str,
    version: str,
    labels: Sequence[str],
    size: tuple[int, int],
    layout: Layout,
    colour: Colour,
    fit: Fit,
    mean: tuple[float, float, float],
    scale: tuple[float, float, float],
    activation: Activation,
    harmless: Iterable[str],
    licence: str,
    pictures: Sequence[Path],
    tolerance: float | None = None,
) -> None:
    """Packs a graph as a model folder; its examples are what the graph says of the pictures here and now.

    Args:
        model: The graph, one .onnx file without external data.
        out: The folder to make; must not exist.
        name: The model's.
        version: The model's.
        labels: In the order of the graph's numbers.
        size: Height and width that the graph takes, pixels.
        layout: Of the graph's input.
        colour: Order of the channels in the graph's input.
        fit: How a picture is brought to that size.
        mean: Subtracted from each pixel (0 to 255), a channel each in the order of ``colour``.
        scale: Multiplied after that, a channel each.
        activation: What makes scores of the graph's numbers.
        harmless: Labels that never count.
        licence: The model's, as an SPDX expression.
        pictures: JPEG or PNG files, harmless ones, that the examples are made of.
        tolerance: By how much another machine or provider may miss the examples. None: by very little.

    Raises:
        UsageError: What is wrong with the arguments, the graph or a picture, a line each; then nothing is written.
    """
    data = _read(model, model_folder.LIMITS_BYTES[graph_file.FILE])
    manifest = Manifest(
        name=name,
        version=version,
        sha256=hashlib.sha256(data).hexdigest(),
        licence=licence,
        input=Input(layout=layout, colour=colour, size=size, fit=fit, mean=mean, scale=scale),
        output=Output(labels=tuple(labels), activation=activation, harmless=frozenset(harmless)),
    )
    _raise_any(mistake.text for mistake in manifest_file.read(written(manifest).encode()).mistakes)
    shown = [fitted(_decode(path), manifest.input.view) for path in pictures]
    build(out, data=data, manifest=manifest, pictures=shown, card=_blank_card(manifest), tolerance=tolerance)


def build(
    out: Path,
    *,
    data: bytes,
    manifest: Manifest,
    pictures: Sequence[Picture],
    card: str,
    tolerance: float | None = None,
) -> None:
    """Makes a model folder of a graph, what is to be said of it, and pictures of its size.

    Args:
        out: The folder to make; must not exist.
        data: The graph's bytes.
        manifest: What model.toml will say.
        pictures: RGB, uint8, of the manifest's size: what the examples are made of.
        card: The text of README.md.
        tolerance: The examples'. None: ``TOLERANCE``.

    Raises:
        UsageError: What is wrong, a line each; then nothing is written.
    """
    if out.exists():
        raise UsageError(f"{out}: is already there: name a new folder, or remove it first")
    if not 1 <= len(pictures) <= MAX_EXAMPLES:
        raise UsageError(f"1 to {MAX_EXAMPLES} pictures make the examples, not {len(pictures)}")
    try:
        graph = Graph(data)
    except UsageError as error:
        raise UsageError(f"the model {error}") from error
    _raise_any(words for _, words in judgement.misfits(manifest, graph))
    files = {
        graph_file.FILE: data,
        manifest_file.FILE: written(manifest).encode(),
        examples_file.FILE: _examples(graph, manifest, pictures, tolerance).packed(),
        judgement.CARD: card.encode(),
    }
    _write(out, files)


def fitted(picture: Picture, view: View) -> Picture:
    """Brings a picture to a model's size.

    Args:
        picture: RGB, uint8, (height, width, 3).
        view: The size, and whether to stretch or to cut the middle out.
    """
    if view.fit == "crop":
        picture = _middle(picture, view.height / view.width)
    resized = cv2.resize(picture, (view.width, view.height), interpolation=cv2.INTER_AREA)
    return np.asarray(resized, np.uint8)


def written(manifest: Manifest) -> str:
    """The text of a model.toml; reading it gives the same manifest."""
    taken, given = manifest.input, manifest.output
    lines = [
        *(f"{key} = {_toml(getattr(manifest, key))}" for key in ("name", "version", "sha256", "licence")),
        "",
        "[input]  # x = (pixel - mean) * scale, float32, pixel 0 to 255; mean and scale in the order of colour",
        *(f"{key} = {_toml(getattr(taken, key))}" for key in ("layout", "colour", "size", "fit", "mean", "scale")),
        "",
        "[output]",
        f"labels = {_toml(given.labels)}",
        f"activation = {_toml(given.activation)}",
        f"harmless = {_toml(sorted(given.harmless))}",
    ]
    for label, calibration in manifest.calibration.items():
        lines += ["", f"[calibration.{_toml(label)}]"]
        lines += [f"slope = {_toml(calibration.slope)}", f"intercept = {_toml(calibration.intercept)}"]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    """A text, number or list as TOML has it; a JSON string is a TOML string for every printable text."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _read(path: Path, limit_bytes: int) -> bytes:
    try:
        return model_folder.read_file(path, limit_bytes)
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def _decode(path: Path) -> Picture:
    data = np.frombuffer(_read(path, MAX_PICTURE_BYTES), np.uint8)
    try:
        picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if len(data) else None
    except cv2.error as error:
        raise UsageError(f"{path}: can't be decoded ({error.err})") from error
    if picture is None:
        raise UsageError(f"{path}: is not a picture that can be decoded (JPEG or PNG)")
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def _middle(picture: Picture, aspect: float) -> Picture:
    """The largest middle part whose height to width is ``aspect``."""
    height, width = picture.shape[:2]
    kept_height = max(1, min(height, round(width * aspect)))
    kept_width = max(1, min(width, round(height / aspect)))
    top, left = (height - kept_height) // 2, (width - kept_width) // 2
    return np.ascontiguousarray(picture[top : top + kept_height, left : left + kept_width])


def _examples(graph: Graph, manifest: Manifest, pictures: Sequence[Picture], tolerance: float | None) -> Examples:
    inputs = [prepare(picture, manifest.input) for picture in pictures]
    outputs = [judgement.rehearse(manifest, graph, x) for x in inputs]
    largest = max(float(np.abs(numbers).max()) for numbers in outputs)
    usual = TOLERANCE * max(1.0, largest)
    return Examples(np.concatenate(inputs), np.concatenate(outputs), usual if tolerance is None else tolerance)


def _raise_any(texts: Iterable[str]) -> None:
    told = list(texts)
    if told:
        raise UsageError("\n".join(told))


def _write(out: Path, files: Mapping[str, bytes]) -> None:
    """Writes the folder beside its place, reads it as the worker would, and only then puts it there."""
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}-") as beside:
        made = Path(beside) / out.name
        made.mkdir()
        for name, data in files.items():
            (made / name).write_bytes(data)
        model_folder.read(made)
        made.rename(out)


def _blank_card(manifest: Manifest) -> str:
    labels = "\n".join(
        f"- `{label}`: {'harmless, never counts' if label in manifest.output.harmless else TO_WRITE}"
        for label in manifest.output.labels
    )
    return f"""# {manifest.name} {manifest.version}

Licence: {manifest.licence}. SHA-256 of model.onnx: `{manifest.sha256}`.

## What it sees

{labels}

## Where it is from

{TO_WRITE}: who trained it, on what data, who may use it.

## How well

{TO_WRITE}: on which data, of what kind of streams, with which false alarms and misses; per label, and how it was
calibrated.

## What it does not see

{TO_WRITE}: what it is known to miss or to mistake, and for whom it works worse.

## The examples

Outputs of this graph for pictures given when it was packed. They show that it computes here what it computed there;
they say nothing about its quality.
"""
