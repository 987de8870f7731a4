"""Packing a graph: the folder loads, says what was told, and nothing is written when something is wrong."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import pytest
from support.cards import harmless
from support.models import SIDE, means, write_folder

from worker.errors import UsageError
from worker.records import View
from worker.scoring import examples as examples_file
from worker.scoring.check import check
from worker.scoring.folder import read
from worker.scoring.pack import fitted, pack

if TYPE_CHECKING:
    from pathlib import Path

USUAL: dict[str, Any] = {
    "name": "means",
    "version": "2",
    "labels": ["red", "green", "blue"],
    "size": (SIDE, SIDE),
    "layout": "NCHW",
    "colour": "RGB",
    "fit": "stretch",
    "mean": (0.0, 0.0, 0.0),
    "scale": (1 / 255, 1 / 255, 1 / 255),
    "activation": "none",
    "harmless": ["blue"],
    "licence": "MIT",
}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A graph in a file."""
    path = tmp_path / "somebodys.onnx"
    path.write_bytes(means().SerializeToString())
    return path


@pytest.fixture
def pictures(tmp_path: Path) -> list[Path]:
    """A JPEG and a PNG."""
    paths = [tmp_path / "a.jpg", tmp_path / "b.png"]
    for seed, path in enumerate(paths):
        assert cv2.imwrite(str(path), harmless(60, 80, seed)[..., ::-1])
    return paths


def test_a_packed_folder_loads_and_says_what_was_told(tmp_path: Path, model: Path, pictures: list[Path]) -> None:
    """Examples are what the graph says of the pictures: the means of their channels, red first."""
    pack(model, tmp_path / "out", pictures=pictures, **USUAL)
    packed = read(tmp_path / "out")
    assert (packed.ref.name, packed.ref.version, packed.manifest.licence) == ("means", "2", "MIT")
    kept, _ = examples_file.read((tmp_path / "out" / "examples.npz").read_bytes())
    assert kept is not None
    assert len(kept.inputs) == 2
    expected = harmless(60, 80, 1).mean(axis=(0, 1)) / 255
    assert kept.outputs[1] == pytest.approx(expected, abs=0.005)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.png", "out", "somebodys.onnx"]


def test_the_same_arguments_make_the_same_bytes(tmp_path: Path, model: Path, pictures: list[Path]) -> None:
    """A folder can be made again and compared."""
    for name in ("one", "two"):
        pack(model, tmp_path / name, pictures=pictures, **USUAL)
    for file in (tmp_path / "one").iterdir():
        assert file.read_bytes() == (tmp_path / "two" / file.name).read_bytes()


def test_a_fresh_card_is_said_to_be_unwritten(tmp_path: Path, model: Path, pictures: list[Path]) -> None:
    """What only the author knows is marked, and check tells where."""
    pack(model, tmp_path / "out", pictures=pictures, **USUAL)
    card = (tmp_path / "out/README.md").read_text().splitlines()
    notes = [note for note in check(tmp_path / "out", runs=1).notes if "README.md" in note]
    unwritten = [number for number, line in enumerate(card, start=1) if "TO BE WRITTEN" in line]
    assert notes == [f"{tmp_path}/out/README.md:{number}: is still to be written" for number in unwritten]
    assert len(notes) == 5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": ["red"]}, 'output.harmless names "blue", which is not in output.labels'),
        ({"labels": ["red", "blue"]}, "output.labels has 2 labels, but the graph gives 3 numbers"),
        ({"size": (8, 8)}, "input.size is [8, 8], but the graph takes Nx3x4x4 (NCHW)"),
        ({"layout": "NHWC"}, 'input.layout is "NHWC", but the graph takes Nx3x4x4'),
        ({"mean": (0.0, 0.0)}, "input.mean must be three finite numbers, not [0.0, 0.0]"),
        ({"scale": (1.0, 1.0, 1.0)}, 'under the activation "none", a score of'),
        ({"name": 'a"\n'}, "name must be a text of 1 to 128 printable characters"),
        ({"pictures": []}, "1 to 256 pictures make the examples, not 0"),
    ],
)
def test_a_wrong_argument_is_told_and_nothing_written(
    tmp_path: Path, model: Path, pictures: list[Path], change: dict[str, Any], told: str
) -> None:
    """In the words of model.toml, without a file that was never there."""
    with pytest.raises(UsageError) as raised:
        pack(model, tmp_path / "out", **({"pictures": pictures} | USUAL | change))
    assert str(raised.value).startswith(told)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.jpg", "b.png", "somebodys.onnx"]


@pytest.mark.parametrize(
    ("data", "told"), [(b"text", "is not a picture"), (b"", "is not a picture"), (None, "is missing")]
)
def test_a_picture_that_is_none_is_named(tmp_path: Path, model: Path, data: bytes | None, told: str) -> None:
    """With its path."""
    path = tmp_path / "picture.jpg"
    if data is not None:
        path.write_bytes(data)
    with pytest.raises(UsageError, match=f"picture.jpg: {told}"):
        pack(model, tmp_path / "out", pictures=[path], **USUAL)


def test_a_model_that_is_none_is_named(tmp_path: Path, pictures: list[Path]) -> None:
    """Missing, or no graph."""
    path = tmp_path / "somebodys.onnx"
    with pytest.raises(UsageError, match=r"somebodys\.onnx: is missing"):
        pack(path, tmp_path / "out", pictures=pictures, **USUAL)
    path.write_bytes(b"junk")
    with pytest.raises(UsageError, match="the model is not a graph that onnxruntime can open"):
        pack(path, tmp_path / "out", pictures=pictures, **USUAL)


def test_a_folder_that_is_there_is_left_alone(tmp_path: Path, model: Path, pictures: list[Path]) -> None:
    """Nothing of somebody's is overwritten."""
    (tmp_path / "out").mkdir()
    with pytest.raises(UsageError, match="out: is already there"):
        pack(model, tmp_path / "out", pictures=pictures, **USUAL)
    assert list((tmp_path / "out").iterdir()) == []


def test_crop_keeps_the_middle_and_stretch_the_whole() -> None:
    """Of a wide picture with dark ends, crop shows only the light middle."""
    picture = np.zeros((40, 80, 3), np.uint8)
    picture[:, 20:60] = 200
    assert (fitted(picture, View(height=10, width=10, fit="crop")) == 200).all()
    stretched = fitted(picture, View(height=10, width=20, fit="stretch"))
    assert stretched[:, 5:15].min() == 200
    assert stretched[:, :5].max() == 0


def test_check_tells_what_it_saw_and_how_long_a_picture_takes(tmp_path: Path) -> None:
    """The median of the clock's differences, in milliseconds."""
    ticks = itertools.accumulate([0, 0.5, 0, 0.004, 0, 0.002])
    report = check(write_folder(tmp_path), runs=3, clock=lambda: next(ticks))
    assert report.picture_ms == pytest.approx(4)
    assert (report.examples, report.labels, report.calibrated) == (2, ("red", "green", "blue"), ("red",))
    assert "2 examples ran on CPUExecutionProvider and agree" in report.checks
    assert report.notes == (f"{tmp_path}/model.toml: no calibration for green: the score is taken for the probability",)
