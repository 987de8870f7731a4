"""Makes models/demo: a graph of six operators that sees a test card, and the folder around it.

Run ``python models/make_demo.py`` after a change here or to the card (models/demo/README.md is written by hand and
kept); needs the extra ``models``. The same script makes the same bytes.
"""

# ruff: noqa: INP001 - a script, not a package

from __future__ import annotations

import hashlib
import shutil
import sys
import tempfile
from pathlib import Path

import numpy as np
from onnx import ModelProto, TensorProto, checker, helper, numpy_helper

from worker.scoring.manifest import Input, Manifest, Output
from worker.scoring.pack import build

SIDE = 224
DEMO = Path(__file__).parent / "demo"


def graph() -> ModelProto:
    """The share of green and the share of magenta in a picture; the smaller one decides.

    For a pixel in 0 to 1, d = G - (R + B) / 2 is 1 for pure green and -1 for pure magenta; what a camera sees seldom
    comes near 0.6 either way. Each share counts pixels from |d| = 0.6 (nothing) to 0.725 (whole), and the logit of
    "card" is 60 * (smaller share - 0.28): a card with its two halves comes to 13, a picture without to -17, and
    FFmpeg's own test pictures, with 0.15 of each, to -8.
    """
    constants = {
        "weights": np.array([[-4, 8, -4], [4, -8, 4]], np.float32).reshape(2, 3, 1, 1),
        "bias": np.array([-4.8, -4.8], np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "gain": np.array([[0, 60]], np.float32),
        "offset": np.array([0, -16.8], np.float32),
    }
    nodes = [
        helper.make_node("Conv", ["pixels", "weights", "bias"], ["excess"]),
        helper.make_node("Clip", ["excess", "zero", "one"], ["counted"]),
        helper.make_node("ReduceMean", ["counted"], ["shares"], axes=[2, 3], keepdims=0),
        helper.make_node("ReduceMin", ["shares"], ["share"], axes=[1], keepdims=1),
        helper.make_node("MatMul", ["share", "gain"], ["raised"]),
        helper.make_node("Add", ["raised", "offset"], ["logits"]),
    ]
    body = helper.make_graph(
        nodes,
        "test-card",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])],
        [numpy_helper.from_array(value, name) for name, value in constants.items()],
    )
    model = helper.make_model(body, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    checker.check_model(model, full_check=True)
    return model


def pictures() -> list[np.ndarray]:
    """What the examples are made of: a card, a plain grey, and a slope of colours that ends in green."""
    row, column = np.mgrid[0:SIDE, 0:SIDE]
    green = (row * 6 // SIDE + column * 8 // SIDE) % 2 == 0
    card = np.where(green[..., np.newaxis], [0, 255, 0], [255, 0, 255])
    grey = np.full((SIDE, SIDE, 3), 128)
    slope = np.stack([255 - column, column, np.full_like(row, 64)], axis=2)
    return [picture.astype(np.uint8) for picture in (card, grey, slope)]


def make(out: Path, card: str) -> None:
    """Makes the folder ``out``, which must not exist, with ``card`` as its README.md."""
    data = graph().SerializeToString(deterministic=True)
    scale = float(np.float32(1 / 255))
    manifest = Manifest(
        name="demo",
        version="1.0.0",
        sha256=hashlib.sha256(data).hexdigest(),
        licence="Apache-2.0",
        input=Input(
            layout="NCHW", colour="RGB", size=(SIDE, SIDE), fit="stretch", mean=(0.0, 0.0, 0.0), scale=(scale,) * 3
        ),
        output=Output(labels=("harmless", "card"), activation="softmax", harmless=frozenset({"harmless"})),
    )
    build(out, data=data, manifest=manifest, pictures=pictures(), card=card)


def main() -> None:
    """Makes models/demo anew, or the folder given."""
    card = (DEMO / "README.md").read_text()
    if len(sys.argv) > 1:
        make(Path(sys.argv[1]), card)
        return
    with tempfile.TemporaryDirectory() as beside:
        make(Path(beside) / "demo", card)
        shutil.copytree(Path(beside) / "demo", DEMO, dirs_exist_ok=True)


if __name__ == "__main__":
    main()
