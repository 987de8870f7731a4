"""What is wrong with the files of a model folder: every mistake in them is told at once.

This opens a stranger's graph and unpacks a stranger's arrays: the worker has it done in ``rehearsal``'s child.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np
from msgspec import Struct

from worker.errors import SegmentError, UsageError
from worker.scoring import examples as examples_file
from worker.scoring import graph as graph_file
from worker.scoring import manifest as manifest_file
from worker.scoring.calibration import interpret
from worker.scoring.graph import FLOAT32, Graph
from worker.scoring.mistakes import MOST_TOLD, Mistake

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from worker.scoring.examples import Examples
    from worker.scoring.manifest import Manifest, ManifestText
    from worker.scoring.providers import Engine
    from worker.toml_lines import KeyPath

CARD = "README.md"


class Rehearsal(Struct, frozen=True, kw_only=True):
    """How a graph did on its examples."""

    examples: int
    """How many there were."""
    tolerance: float
    """Largest absolute difference allowed."""
    largest_difference: float
    """Between the examples' outputs and what the graph gave here; at most the tolerance."""
    provider: str
    """onnxruntime's execution provider that ran them."""
    batch: int = 1
    """Most pictures in one run: as many as was wanted, or 1."""
    unbatched: str | None = None
    """Why there is one picture in a run where more were wanted."""


class Judgement(Struct, frozen=True, kw_only=True):
    """Either the mistakes in a model folder, or how its rehearsal went."""

    mistakes: tuple[Mistake, ...] = ()
    untold: int = 0
    """How many mistakes more there are."""
    rehearsal: Rehearsal | None = None


def judge(files: Mapping[str, bytes], engine: Engine, batch: int = 1) -> Judgement:
    """Reads the files of a model folder, opens the graph and holds it against the examples.

    Args:
        files: Those that could be read, by their names in the folder.
        engine: Where and how the graph shall run.
        batch: Most pictures that shall go into one run.
    """
    mistakes: list[Mistake] = []
    text = _manifest(files, mistakes)
    graph = _graph(files, text, engine, mistakes)
    examples = _examples(files, mistakes)
    _card(files, mistakes)
    if mistakes or text is None or text.manifest is None or graph is None or examples is None:
        return _refused(mistakes)
    mistakes += [text.mistake(path, words) for path, words in misfits(text.manifest, graph)]
    mistakes += _misshapen(examples, text.manifest)
    differences = [] if mistakes else _rehearse(text, graph, examples, mistakes)
    if mistakes:
        return _refused(mistakes)
    unbatched = _why_unbatched(text.manifest, graph, examples, batch) if batch > 1 else None
    rehearsal = Rehearsal(
        examples=len(examples.inputs),
        tolerance=examples.tolerance,
        largest_difference=max(differences),
        provider=graph.provider,
        batch=1 if unbatched else batch,
        unbatched=unbatched,
    )
    return Judgement(rehearsal=rehearsal)


def _refused(mistakes: list[Mistake]) -> Judgement:
    return Judgement(mistakes=tuple(mistakes[:MOST_TOLD]), untold=max(0, len(mistakes) - MOST_TOLD))


def misfits(manifest: Manifest, graph: Graph) -> Iterator[tuple[KeyPath, str]]:
    """Where a manifest and its graph disagree: the key to change, and how."""
    yield from _input_misfits(manifest, graph)
    yield from _output_misfits(manifest, graph)


def rehearse(manifest: Manifest, graph: Graph, x: NDArray[np.float32]) -> NDArray[np.float32]:
    """Runs the graph on examples, in one run, and sees that its numbers are scores.

    Args:
        manifest: Fits the graph.
        graph: The graph.
        x: Examples, the batch first.

    Returns:
        The graph's numbers, (batch, labels).

    Raises:
        UsageError: The graph failed, or gave something that is no score under the manifest's activation.
    """
    try:
        numbers = graph.run(x)
        for row in numbers:
            interpret(row, manifest)
    except SegmentError as error:
        raise UsageError(error.reason) from error
    except ValueError as error:
        raise UsageError(f'under the activation "{manifest.output.activation}", {error}') from error
    return numbers


def _manifest(files: Mapping[str, bytes], mistakes: list[Mistake]) -> ManifestText | None:
    if manifest_file.FILE not in files:
        return None
    text = manifest_file.read(files[manifest_file.FILE])
    mistakes += text.mistakes
    return text


def _graph(
    files: Mapping[str, bytes], text: ManifestText | None, engine: Engine, mistakes: list[Mistake]
) -> Graph | None:
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
        return Graph(data, engine)
    except UsageError as error:
        mistakes.append(Mistake(graph_file.FILE, None, str(error)))
        return None


def _examples(files: Mapping[str, bytes], mistakes: list[Mistake]) -> Examples | None:
    if examples_file.FILE not in files:
        return None
    examples, found = examples_file.read(files[examples_file.FILE])
    mistakes += found
    return examples


def _card(files: Mapping[str, bytes], mistakes: list[Mistake]) -> None:
    if CARD in files and not files[CARD].strip():
        mistakes.append(Mistake(CARD, None, "is empty: say what the model sees, on what it was tried, what it misses"))


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
    assert text.manifest is not None  # noqa: S101 - for the type checker: judge() has seen to it
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


def _why_unbatched(manifest: Manifest, graph: Graph, examples: Examples, batch: int) -> str | None:
    """Runs the examples over again, so many in a run and two in a run; says what is against runs of so many."""
    if not graph.batches:
        return f"the graph takes {graph.input} and gives {graph.output}: its batch dimension is not free"
    for size in sorted({2, batch}):
        taken = np.resize(np.arange(len(examples.inputs)), size * -(-len(examples.inputs) // size))
        for rows in taken.reshape(-1, size):
            try:
                numbers = rehearse(manifest, graph, examples.inputs[rows])
            except UsageError as error:
                return f"{size} examples in one run: {error}"
            difference = float(np.abs(numbers - examples.outputs[rows]).max())
            if not difference <= examples.tolerance:
                return (
                    f"{size} examples in one run differ by {difference:.3g}, the tolerance is {examples.tolerance:.3g}"
                )
    return None
