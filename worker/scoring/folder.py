"""A model folder, read and checked whole: every mistake in it is told at once."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from worker.errors import SegmentError, UsageError
from worker.records import ModelRef
from worker.scoring import examples as examples_file
from worker.scoring import graph as graph_file
from worker.scoring import manifest as manifest_file
from worker.scoring.calibration import interpret
from worker.scoring.examples import Examples
from worker.scoring.graph import FLOAT32, Graph
from worker.scoring.manifest import Manifest, ManifestText
from worker.scoring.mistakes import Mistake, refusal

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from worker.toml_lines import KeyPath

CARD = "README.md"
MIB = 1024 * 1024
LIMITS_BYTES = {
    graph_file.FILE: 1024 * MIB,
    manifest_file.FILE: MIB,
    examples_file.FILE: 64 * MIB,
    CARD: MIB,
}
"""The files of a model folder, and how large each may be."""


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model folder in which nothing is wrong."""

    ref: ModelRef
    manifest: Manifest
    graph: Graph
    examples: Examples
    largest_difference: float
    """Between the examples' outputs and what the graph gave here; at most the tolerance."""
    card: str


def read(folder: Path) -> Model:
    """Reads a model folder, opens its graph and holds it against its examples.

    Args:
        folder: As the contract has it ("A model folder").

    Raises:
        UsageError: All mistakes, a line each, with the file and the line to change.
    """
    mistakes: list[Mistake] = []
    files = _read_files(folder, mistakes)
    text = _manifest(files, mistakes)
    graph = _graph(files, text, mistakes)
    examples = _examples(files, mistakes)
    card = _card(files, mistakes)
    if mistakes or text is None or text.manifest is None or graph is None or examples is None:
        raise refusal(folder, mistakes)
    mistakes += [text.mistake(path, words) for path, words in misfits(text.manifest, graph)]
    mistakes += _misshapen(examples, text.manifest)
    if mistakes:
        raise refusal(folder, mistakes)
    differences = _rehearse(text, graph, examples, mistakes)
    if mistakes:
        raise refusal(folder, mistakes)
    manifest = text.manifest
    ref = ModelRef(name=manifest.name, version=manifest.version, sha256=manifest.sha256)
    return Model(ref, manifest, graph, examples, max(differences), card)


def read_file(path: Path, limit_bytes: int) -> bytes:
    """Reads a whole file once, up to a limit.

    Raises:
        UsageError: It is not there, is no file, can't be read or is too large; the text says so without the path.
    """
    if not path.is_file():
        raise UsageError("is missing" if not path.exists() else "is not a file")
    try:
        with path.open("rb") as file:
            data = file.read(limit_bytes + 1)
    except OSError as error:
        raise UsageError(f"can't be read: {error.strerror}") from error
    if len(data) > limit_bytes:
        raise UsageError(f"is larger than {limit_bytes // MIB} MiB")
    return data


def misfits(manifest: Manifest, graph: Graph) -> Iterator[tuple[KeyPath, str]]:
    """Where a manifest and its graph disagree: the key to change, and how."""
    yield from _input_misfits(manifest, graph)
    yield from _output_misfits(manifest, graph)


def rehearse(manifest: Manifest, graph: Graph, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Runs the graph on one example and sees that its numbers are scores.

    Args:
        manifest: Fits the graph.
        graph: The graph.
        x: One example, batch dimension 1.

    Returns:
        The graph's numbers, (1, labels).

    Raises:
        UsageError: The graph failed, or gave something that is no score under the manifest's activation.
    """
    try:
        numbers = graph.run(x)
        interpret(numbers[0], manifest)
    except SegmentError as error:
        raise UsageError(error.reason) from error
    except ValueError as error:
        raise UsageError(f'under the activation "{manifest.output.activation}", {error}') from error
    return numbers


def _read_files(folder: Path, mistakes: list[Mistake]) -> dict[str, bytes]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such model folder")
    files = {}
    for name, limit_bytes in LIMITS_BYTES.items():
        try:
            files[name] = read_file(folder / name, limit_bytes)
        except UsageError as error:
            mistakes.append(Mistake(name, None, str(error)))
    return files


def _manifest(files: dict[str, bytes], mistakes: list[Mistake]) -> ManifestText | None:
    if manifest_file.FILE not in files:
        return None
    text = manifest_file.read(files[manifest_file.FILE])
    mistakes += text.mistakes
    return text


def _graph(files: dict[str, bytes], text: ManifestText | None, mistakes: list[Mistake]) -> Graph | None:
    """Opens the graph from the very bytes that were verified; bytes that nobody vouches for are never parsed."""
    if graph_file.FILE not in files or text is None or text.manifest is None:
        return None
    data = files[graph_file.FILE]
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != text.manifest.sha256:
        words = f"sha256 is not that of model.onnx: if this file is the one you mean, write {sha256}"
        mistakes.append(text.mistake(("sha256",), words))
        return None
    try:
        return Graph(data)
    except UsageError as error:
        mistakes.append(Mistake(graph_file.FILE, None, str(error)))
        return None


def _examples(files: dict[str, bytes], mistakes: list[Mistake]) -> Examples | None:
    if examples_file.FILE not in files:
        return None
    examples, found = examples_file.read(files[examples_file.FILE])
    mistakes += found
    return examples


def _card(files: dict[str, bytes], mistakes: list[Mistake]) -> str:
    card = files.get(CARD, b"").decode(errors="replace")
    if CARD in files and not card.strip():
        mistakes.append(Mistake(CARD, None, "is empty: say what the model sees, on what it was tried, what it misses"))
    return card


def _input_misfits(manifest: Manifest, graph: Graph) -> Iterator[tuple[KeyPath, str]]:
    taken, port = manifest.input, graph.input
    if port.kind != FLOAT32:
        yield ("input",), f"the graph takes {port.kind}, it must take float32 ({FLOAT32}): put a Cast in front"
    if len(port.shape) != 4:  # noqa: PLR2004 - batch, channels, height, width
        yield ("input",), f"the graph takes {port}, it must take pictures: 4 dimensions"
        return
    if port.shape[0] not in (None, 1):
        yield ("input",), f"the graph takes batches of {port.shape[0]}, the batch dimension must be 1 or free"
    channel = taken.shape.index(3) if taken.layout == "NCHW" else 2
    if port.shape[1 + channel] not in (None, 3):
        yield ("input", "layout"), f'input.layout is "{taken.layout}", but the graph takes {port}'
    elif not all(has in (None, says) for has, says in zip(port.shape[1:], taken.shape, strict=True)):
        yield ("input", "size"), f"input.size is {list(taken.size)}, but the graph takes {port} ({taken.layout})"


def _output_misfits(manifest: Manifest, graph: Graph) -> Iterator[tuple[KeyPath, str]]:
    labels, port = manifest.output.labels, graph.output
    if port.kind != FLOAT32:
        yield ("output",), f"the graph gives {port.kind}, it must give float32 ({FLOAT32}): put a Cast behind"
    if len(port.shape) != 2:  # noqa: PLR2004 - batch and labels
        yield ("output",), f"the graph gives {port}, it must give 2 dimensions: batch and labels"
        return
    if port.shape[0] not in (None, 1):
        yield ("output",), f"the graph gives batches of {port.shape[0]}, the batch dimension must be 1 or free"
    if port.shape[1] not in (None, len(labels)):
        yield (
            ("output", "labels"),
            f"output.labels has {len(labels)} labels, but the graph gives {port.shape[1]} numbers",
        )


def _misshapen(examples: Examples, manifest: Manifest) -> Iterator[Mistake]:
    wanted = {"inputs": manifest.input.shape, "outputs": (len(manifest.output.labels),)}
    for name, shape in wanted.items():
        has = getattr(examples, name).shape
        if has[1:] != shape:
            words = f"{name} has the shape {has}, model.toml says (examples, {', '.join(map(str, shape))})"
            yield Mistake(examples_file.FILE, None, words)


def _rehearse(text: ManifestText, graph: Graph, examples: Examples, mistakes: list[Mistake]) -> list[float]:
    """Runs every example one by one, as pictures are; gives the largest difference of each."""
    assert text.manifest is not None  # noqa: S101 - for the type checker: read() has seen to it
    differences = []
    for index, (x, expected) in enumerate(zip(examples.inputs, examples.outputs, strict=True)):
        try:
            numbers = rehearse(text.manifest, graph, x[np.newaxis])
        except UsageError as error:
            mistakes.append(text.mistake(("output", "activation"), f"example {index}: {error}"))
            continue
        differences.append(float(np.abs(numbers[0] - expected).max()))
        if not differences[-1] <= examples.tolerance:
            words = f"example {index} differs by {differences[-1]:.3g} on {graph.provider}"
            mistakes.append(Mistake(examples_file.FILE, None, f"{words}, the tolerance is {examples.tolerance:.3g}"))
    return differences
