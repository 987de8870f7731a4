"""Model folders for tests, around a graph whose answer anybody can work out: the mean of each channel."""

from __future__ import annotations

import hashlib
import io
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from pathlib import Path

onnx = pytest.importorskip("onnx", reason="the extra `models` is not installed: no graphs can be made")

SIDE = 4
MANIFEST = """\
name = "means"
version = "1"
sha256 = "{sha256}"
licence = "Apache-2.0"

[input]
layout = "NCHW"
colour = "RGB"
size = [4, 4]
fit = "stretch"
mean = [0.0, 0.0, 0.0]
scale = [0.00392156862745098, 0.00392156862745098, 0.00392156862745098]

[output]
labels = ["red", "green", "blue"]
activation = "none"
harmless = ["blue"]

[calibration.red]
slope = 2.0
intercept = -1.0
"""


def means(
    *,
    shape: tuple[object, ...] = ("batch", 3, SIDE, SIDE),
    gives: tuple[object, ...] = ("batch", 3),
    axes: tuple[int, ...] = (2, 3),
    kind: str = "FLOAT",
    operator: str = "ReduceMean",
) -> Any:
    """A graph that gives the mean of each channel; the arguments make wrong ones."""
    number = getattr(onnx.TensorProto, kind)
    body = onnx.helper.make_graph(
        [onnx.helper.make_node(operator, ["x"], ["y"], axes=list(axes), keepdims=0)],
        "means",
        [onnx.helper.make_tensor_value_info("x", number, list(shape))],
        [onnx.helper.make_tensor_value_info("y", number, list(gives))],
    )
    return onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)


def weighted(value: float = 1.0, *, location: str | None = None) -> Any:
    """The means, each times a weight; with ``location`` the weights are said to lie in that file."""
    weights = np.full((3, 3000), value, np.float32)
    tensor = onnx.numpy_helper.from_array(weights, "w")
    if location is not None:
        onnx.external_data_helper.set_external_data(tensor, location, offset=0, length=weights.nbytes)
        tensor.ClearField("raw_data")
    body = onnx.helper.make_graph(
        [
            onnx.helper.make_node("ReduceMean", ["x"], ["means"], axes=[2, 3], keepdims=0),
            onnx.helper.make_node("MatMul", ["means", "w"], ["many"]),
            onnx.helper.make_node("Slice", ["many", "begin", "end", "axis"], ["y"]),
        ],
        "weighted",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 3])],
        [
            tensor,
            *(
                onnx.numpy_helper.from_array(np.array([at], np.int64), name)
                for name, at in (("begin", 0), ("end", 3), ("axis", 1))
            ),
        ],
    )
    return onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)


def examples(**arrays: Any) -> bytes:
    """An examples.npz that fits ``means``, with some of its arrays changed or (None) left out."""
    inputs = np.linspace(0, 1, 2 * 3 * SIDE * SIDE, dtype=np.float32).reshape(2, 3, SIDE, SIDE)
    usual = {"inputs": inputs, "outputs": inputs.mean(axis=(2, 3)), "tolerance": np.float64(1e-4)}
    buffer = io.BytesIO()
    np.savez(buffer, **{name: array for name, array in (usual | arrays).items() if array is not None})
    return buffer.getvalue()


def write_folder(
    folder: Path, *, data: bytes | None = None, manifest: str = MANIFEST, packed: bytes | None = None
) -> Path:
    """A model folder, right unless the arguments make it wrong; ``{sha256}`` in the manifest is filled in."""
    data = means().SerializeToString() if data is None else data
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(data)
    (folder / "model.toml").write_text(manifest.replace("{sha256}", hashlib.sha256(data).hexdigest()))
    (folder / "examples.npz").write_bytes(examples() if packed is None else packed)
    (folder / "README.md").write_text("# means\n\nThe mean of each channel.\n")
    return folder
