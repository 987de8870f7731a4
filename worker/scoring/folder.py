"""A model folder: read, rehearsed in a process of its own, then opened from the very bytes that were rehearsed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import structs

from worker.errors import UsageError
from worker.records import ModelRef
from worker.scoring import examples as examples_file
from worker.scoring import graph as graph_file
from worker.scoring import manifest as manifest_file
from worker.scoring import rehearsal as apart
from worker.scoring.graph import Graph
from worker.scoring.judgement import CARD, Judgement, Rehearsal
from worker.scoring.manifest import Manifest
from worker.scoring.mistakes import Mistake, refusal
from worker.scoring.providers import USUAL, Running, engine, installed, oversights

if TYPE_CHECKING:
    from worker.settings.tree import Scoring

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
    rehearsal: Rehearsal
    card: str
    running: Running


@dataclass(frozen=True, slots=True, eq=False)
class _Found:
    folder: Path
    files: Mapping[str, bytes]
    """Those that could be read, by their names."""
    missing: Sequence[Mistake]
    """The others."""


Rehearse = Callable[[Mapping[str, bytes], "Scoring"], Judgement]


def read(folder: Path, limits: Scoring = USUAL, rehearse: Rehearse = apart.rehearsed) -> Model:
    """Reads a model folder, has it judged in a child process, and opens its graph.

    What parses strangers' bytes with little to hold it (TOML, npz, the graph's own folding of constants) happens in
    the child first; here the graph is opened only when that went well, from the same bytes.

    A provider that isn't there, fails or misses the examples by more than their tolerance gives way to the CPU, where
    all is done again; ``running`` says so.

    Args:
        folder: As the contract has it ("A model folder").
        limits: How long loading may take, how much memory, and on which provider.
        rehearse: What judges the files elsewhere.

    Raises:
        UsageError: All mistakes, a line each, with the file and the line to change.
    """
    found = _read_files(folder)
    notes = oversights(limits, installed())
    if limits.provider != "cpu" and not found.missing:
        try:
            return _opened(found, limits, rehearse, notes)
        except UsageError as error:
            told = "; ".join(str(error).splitlines())
        notes = (*notes, f"scoring.provider is {limits.provider}, but the model runs on the cpu: {told}")
    model = _opened(found, replace(limits, provider="cpu"), rehearse, notes)
    return replace(model, running=structs.replace(model.running, wanted=limits.provider))


def _opened(found: _Found, limits: Scoring, rehearse: Rehearse, notes: tuple[str, ...]) -> Model:
    """Opens a model on the provider that the limits name, and on no other."""
    files = found.files
    judged = rehearse(files, limits)
    mistakes = [*found.missing, *judged.mistakes]
    if mistakes or judged.rehearsal is None:
        raise refusal(found.folder, mistakes, judged.untold)
    manifest = manifest_file.read(files[manifest_file.FILE]).manifest
    data = files[graph_file.FILE]
    if manifest is None or hashlib.sha256(data).hexdigest() != manifest.sha256:
        # Only a child that was taken over passes such a folder.
        raise refusal(found.folder, [Mistake(manifest_file.FILE, None, "was judged to be right, and is not")])
    try:
        graph = Graph(data, engine(limits))
    except UsageError as error:
        raise refusal(found.folder, [Mistake(graph_file.FILE, None, str(error))]) from error
    ref = ModelRef(name=manifest.name, version=manifest.version, sha256=manifest.sha256)
    card = files[CARD].decode(errors="replace")
    return Model(ref, manifest, graph, judged.rehearsal, card, _running(limits, graph, judged.rehearsal, notes))


def _running(limits: Scoring, graph: Graph, rehearsal: Rehearsal, notes: tuple[str, ...]) -> Running:
    if rehearsal.unbatched is not None:
        why = f"scoring.batch is {limits.batch}, but pictures run one by one: {rehearsal.unbatched}"
        notes = (*notes, why)
    batch = limits.batch if graph.batches and rehearsal.batch == limits.batch else 1
    return Running(wanted=limits.provider, used=limits.provider, batch=batch, notes=notes)


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


def _read_files(folder: Path) -> _Found:
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such model folder")
    files = {}
    missing = []
    for name, limit_bytes in LIMITS_BYTES.items():
        try:
            files[name] = read_file(folder / name, limit_bytes)
        except UsageError as error:
            missing.append(Mistake(name, None, str(error)))
    return _Found(folder, files, missing)
