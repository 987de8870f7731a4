"""A model folder: read, rehearsed in a process of its own, then opened from the very bytes that were rehearsed."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

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
from worker.settings.tree import Scoring

if TYPE_CHECKING:
    from pathlib import Path

MIB = 1024 * 1024
LIMITS_BYTES = {
    graph_file.FILE: 1024 * MIB,
    manifest_file.FILE: MIB,
    examples_file.FILE: 64 * MIB,
    CARD: MIB,
}
"""The files of a model folder, and how large each may be."""
USUAL = Scoring()


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """A model folder in which nothing is wrong."""

    ref: ModelRef
    manifest: Manifest
    graph: Graph
    rehearsal: Rehearsal
    card: str


Rehearse = Callable[[Mapping[str, bytes], Scoring], Judgement]


def read(folder: Path, limits: Scoring = USUAL, rehearse: Rehearse = apart.rehearsed) -> Model:
    """Reads a model folder, has it judged in a child process, and opens its graph.

    What parses strangers' bytes with little to hold it (TOML, npz, the graph's own folding of constants) happens in
    the child first; here the graph is opened only when that went well, from the same bytes.

    Args:
        folder: As the contract has it ("A model folder").
        limits: How long loading may take, and how much memory.
        rehearse: What judges the files elsewhere.

    Raises:
        UsageError: All mistakes, a line each, with the file and the line to change.
    """
    files, missing = _read_files(folder)
    judged = rehearse(files, limits)
    mistakes = [*missing, *judged.mistakes]
    if mistakes or judged.rehearsal is None:
        raise refusal(folder, mistakes, judged.untold)
    manifest = manifest_file.read(files[manifest_file.FILE]).manifest
    data = files[graph_file.FILE]
    if manifest is None or hashlib.sha256(data).hexdigest() != manifest.sha256:
        # Only a child that was taken over passes such a folder.
        raise refusal(folder, [Mistake(manifest_file.FILE, None, "was judged to be right, and is not")])
    try:
        graph = Graph(data, memory_bytes=limits.memory_bytes)
    except UsageError as error:
        raise refusal(folder, [Mistake(graph_file.FILE, None, str(error))]) from error
    ref = ModelRef(name=manifest.name, version=manifest.version, sha256=manifest.sha256)
    return Model(ref, manifest, graph, judged.rehearsal, files[CARD].decode(errors="replace"))


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


def _read_files(folder: Path) -> tuple[dict[str, bytes], list[Mistake]]:
    if not folder.is_dir():
        raise UsageError(f"{folder}: there is no such model folder")
    files = {}
    mistakes = []
    for name, limit_bytes in LIMITS_BYTES.items():
        try:
            files[name] = read_file(folder / name, limit_bytes)
        except UsageError as error:
            mistakes.append(Mistake(name, None, str(error)))
    return files, mistakes
