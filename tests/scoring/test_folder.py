"""A model folder is refused with every mistake in it, or loaded as its author packed it."""

from __future__ import annotations

import hashlib
import os
import zipfile
from io import BytesIO
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from support.models import MANIFEST, SIDE, examples, means, weighted, write_folder

from worker.errors import UsageError
from worker.scoring.folder import LIMITS_BYTES, read
from worker.scoring.session import load

if TYPE_CHECKING:
    from pathlib import Path


def refused(folder: Path) -> list[str]:
    """The lines of the refusal."""
    with pytest.raises(UsageError) as raised:
        load(folder, threads=1)
    return str(raised.value).splitlines()


def test_a_right_folder_is_loaded(tmp_path: Path) -> None:
    """Its name, version and the digest of the bytes in use are known afterwards."""
    folder = write_folder(tmp_path)
    model = read(folder)
    assert (model.ref.name, model.ref.version) == ("means", "1")
    assert model.ref.sha256 == hashlib.sha256((folder / "model.onnx").read_bytes()).hexdigest()
    assert model.graph.provider == "CPUExecutionProvider"
    assert model.rehearsal.largest_difference < 1e-6


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    """One line with its path."""
    assert refused(tmp_path / "nowhere") == [f"{tmp_path / 'nowhere'}: there is no such model folder"]


def test_every_missing_file_is_named(tmp_path: Path) -> None:
    """An empty folder is four mistakes at once."""
    assert refused(tmp_path) == [f"{tmp_path / name}: is missing" for name in LIMITS_BYTES]


def test_what_is_no_file_is_not_opened(tmp_path: Path) -> None:
    """A pipe in a file's place would never end."""
    folder = write_folder(tmp_path)
    (folder / "examples.npz").unlink()
    os.mkfifo(folder / "examples.npz")
    assert refused(folder) == [f"{folder}/examples.npz: is not a file"]


def test_a_file_that_is_too_large_is_refused_unread(tmp_path: Path) -> None:
    """Sparse files of a gibibyte and more cost nothing here."""
    folder = write_folder(tmp_path)
    for name in ("model.toml", "README.md", "examples.npz"):
        with (folder / name).open("ab") as file:
            file.truncate(LIMITS_BYTES[name] + 1)
    assert refused(folder) == [
        f"{folder}/model.toml: is larger than 1 MiB",
        f"{folder}/examples.npz: is larger than 64 MiB",
        f"{folder}/README.md: is larger than 1 MiB",
    ]


def test_another_file_than_the_one_named_is_refused_unparsed(tmp_path: Path) -> None:
    """The digest's line is named together with the digest to write, and the bytes never reach the parser."""
    folder = write_folder(tmp_path)
    (folder / "model.onnx").write_bytes(b"no graph at all")
    sha256 = hashlib.sha256(b"no graph at all").hexdigest()
    assert refused(folder) == [
        f"{folder}/model.toml:3: sha256 is not that of model.onnx: if this file is the one you mean, write {sha256}"
    ]


def test_an_empty_card_is_refused(tmp_path: Path) -> None:
    """A model that nobody describes is nobody's."""
    folder = write_folder(tmp_path)
    (folder / "README.md").write_text(" \n")
    assert refused(folder)[0].startswith(f"{folder}/README.md: is empty: say what the model sees")


def test_mistakes_in_several_files_are_told_together(tmp_path: Path) -> None:
    """Manifest, examples and card, in one go."""
    manifest = MANIFEST.replace('"RGB"', '"XYZ"')
    folder = write_folder(tmp_path, manifest=manifest, packed=examples(tolerance=np.float64(-1)))
    (folder / "README.md").unlink()
    assert [line.split(": ")[0] for line in refused(folder)] == [
        f"{folder}/README.md",
        f"{folder}/model.toml:8",
        f"{folder}/examples.npz",
    ]


def test_a_flood_of_mistakes_is_cut_short(tmp_path: Path) -> None:
    """Twenty are told, the rest counted."""
    flood = "".join(f"extra_{number} = 1\n" for number in range(100))
    lines = refused(write_folder(tmp_path, manifest=flood + MANIFEST))
    assert len(lines) == 21
    assert lines[-1] == "and 80 more"


@pytest.mark.parametrize(
    ("data", "place", "told"),
    [
        (b"junk", "model.onnx", "is not a graph that onnxruntime can open"),
        (
            means(operator="Frobnicate").SerializeToString(),
            "model.onnx",
            "needs an operator that onnxruntime does not have",
        ),
        (means(shape=(8, 3, 4, 4), gives=(8, 3)).SerializeToString(), "model.toml:6", "the graph takes batches of 8"),
        (
            means(shape=("n", 4, 4, 3), axes=(1, 2)).SerializeToString(),
            "model.toml:7",
            'input.layout is "NCHW", but the graph takes Nx4x4x3',
        ),
        (
            means(shape=("n", 3, 8, 8)).SerializeToString(),
            "model.toml:9",
            "input.size is [4, 4], but the graph takes Nx3x8x8 (NCHW)",
        ),
        (
            means(shape=("n", 3, 4, 4, 1), gives=("n", 3, 1)).SerializeToString(),
            "model.toml:6",
            "the graph takes Nx3x4x4x1, it must take pictures",
        ),
        (
            means(kind="FLOAT16").SerializeToString(),
            "model.toml:6",
            "the graph takes tensor(float16), it must take float32",
        ),
        (
            means(axes=(1, 2), gives=("n", 4)).SerializeToString(),
            "model.toml:15",
            "output.labels has 3 labels, but the graph gives 4 numbers",
        ),
        (
            means(axes=(3,), gives=("n", 3, 4)).SerializeToString(),
            "model.toml:14",
            "the graph gives Nx3x4, it must give 2 dimensions",
        ),
    ],
)
def test_a_graph_that_does_not_fit_is_refused(tmp_path: Path, data: bytes, place: str, told: str) -> None:
    """The file, and where the manifest is to change its line, with what the graph has."""
    lines = refused(write_folder(tmp_path, data=data))
    assert any(line.startswith(f"{tmp_path}/{place}: {told}") for line in lines), lines


def test_a_graph_with_two_outputs_is_refused(tmp_path: Path) -> None:
    """Which one would be the labels is not for us to guess."""
    graph = means()
    graph.graph.output.append(graph.graph.output[0])
    graph.graph.output[1].name = "again"
    graph.graph.node.append(graph.graph.node[0])
    graph.graph.node[1].output[0] = "again"
    (line,) = refused(write_folder(tmp_path, data=graph.SerializeToString()))
    assert "the graph has 1 inputs and 2 outputs, it must have one of each" in line


@pytest.mark.parametrize("place", ["working directory", "model folder"])
def test_weights_in_another_file_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str) -> None:
    """No digest covers them; onnxruntime by itself would read them from the working directory."""
    folder = write_folder(tmp_path / "model", data=weighted(location="weights.bin").SerializeToString())
    beside = tmp_path if place == "working directory" else folder
    (beside / "weights.bin").write_bytes(np.ones((3, 3000), np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    (line,) = refused(folder)
    assert line.startswith(f"{folder}/model.onnx: keeps weights in another file: save it as one file")


@pytest.mark.parametrize(
    ("arrays", "told"),
    [
        ({"tolerance": None}, "can't be read: it must hold inputs, outputs, tolerance, it holds inputs, outputs"),
        ({"more": np.zeros(1)}, "can't be read: it must hold inputs, outputs, tolerance"),
        ({"inputs": np.array([{}], dtype=object)}, "can't be read: Object arrays cannot be loaded"),
        ({"inputs": np.zeros((2, 3, SIDE, SIDE))}, "inputs must be a float32 array, the batch first, not float64"),
        (
            {"inputs": np.zeros((2, 3, 5, 5), np.float32)},
            "inputs has the shape (2, 3, 5, 5), model.toml says (examples, 3, 4, 4)",
        ),
        ({"outputs": np.zeros((2, 4), np.float32)}, "outputs has the shape (2, 4), model.toml says (examples, 3)"),
        ({"outputs": np.zeros((1, 3), np.float32)}, "inputs holds 2 examples, outputs 1"),
        ({"outputs": np.full((2, 3), np.nan, np.float32)}, "outputs holds NaN or infinity"),
        ({"inputs": np.full((2, 3, SIDE, SIDE), np.inf, np.float32)}, "inputs holds NaN or infinity"),
        ({"tolerance": np.float64("nan")}, "tolerance must be finite and at least 0, not nan"),
        ({"tolerance": np.zeros(2)}, "tolerance must be one number, not float64 (2,)"),
        ({"tolerance": np.array("x")}, "tolerance must be one number"),
        (
            {"inputs": np.zeros((0, 3, SIDE, SIDE), np.float32), "outputs": np.zeros((0, 3), np.float32)},
            "it must hold 1 to 256 examples, it holds 0",
        ),
    ],
)
def test_examples_that_are_none_are_refused(tmp_path: Path, arrays: dict[str, Any], told: str) -> None:
    """By kind, shape, number and value, without unpickling anything."""
    (line,) = refused(write_folder(tmp_path, packed=examples(**arrays)))
    assert line.startswith(f"{tmp_path}/examples.npz: {told}")


def test_examples_that_unpack_to_too_much_are_refused(tmp_path: Path) -> None:
    """A kilobyte can say that it is a gigabyte."""
    buffer = BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inputs.npy", bytes(257 * 1024 * 1024))
    (line,) = refused(write_folder(tmp_path, packed=buffer.getvalue()))
    assert "examples.npz: can't be read: it unpacks to 269484032 bytes" in line


@pytest.mark.parametrize("keep", [0, 10, 200, 600])
def test_cut_examples_are_refused(tmp_path: Path, keep: int) -> None:
    """Wherever the file ends too early."""
    (line,) = refused(write_folder(tmp_path, packed=examples()[:keep]))
    assert line.startswith(f"{tmp_path}/examples.npz: can't be read: ")


def test_damaged_examples_are_refused(tmp_path: Path) -> None:
    """A byte of an array that differs is found by the archive's own checksum."""
    packed = bytearray(examples())
    packed[300] ^= 0xFF
    (line,) = refused(write_folder(tmp_path, packed=bytes(packed)))
    assert line.startswith(f"{tmp_path}/examples.npz: can't be read: ")


def test_examples_that_come_out_otherwise_are_refused(tmp_path: Path) -> None:
    """Which example, by how much, on what; a difference within the tolerance passes."""
    right = np.load(BytesIO(examples()))["outputs"]
    near, far = right.copy(), right.copy()
    near[1, 2] += 5e-5
    far[1, 2] += 2e-4
    load(write_folder(tmp_path / "near", packed=examples(outputs=near)), threads=1).close()
    (line,) = refused(write_folder(tmp_path / "far", packed=examples(outputs=far)))
    assert line.startswith(f"{tmp_path}/far/examples.npz: example 1 differs by 0.0002 on CPUExecutionProvider")


def test_numbers_that_are_no_scores_are_refused(tmp_path: Path) -> None:
    """Activation "none" takes the graph's numbers as they are, so they must lie in 0 to 1."""
    inputs = np.full((1, 3, SIDE, SIDE), 7, np.float32)
    packed = examples(inputs=inputs, outputs=np.full((1, 3), 7, np.float32))
    (line,) = refused(write_folder(tmp_path, packed=packed))
    assert line == f'{tmp_path}/model.toml:16: example 0: under the activation "none", a score of 7 is outside 0 to 1'


def test_a_graph_that_gives_nan_is_refused(tmp_path: Path) -> None:
    """Weights that are not numbers are found by the examples."""
    (line, *_) = refused(write_folder(tmp_path, data=weighted(float("nan")).SerializeToString()))
    assert line.endswith("example 0: the model gave NaN or infinity")
    assert line.startswith(f"{tmp_path}/")


def test_a_negative_number_of_threads_is_refused(tmp_path: Path) -> None:
    """It is told by the setting's name."""
    with pytest.raises(UsageError, match=r"scoring\.threads must be at least 0, not -1"):
        load(write_folder(tmp_path), threads=-1)
