"""Model folders made to hang, to fill the memory, to read files or to write into a terminal.

Each is refused in lines for a person, within the time that loading may take; the process that asked lives on with the
memory that it had. The graphs are made here, each around one trick.
"""

from __future__ import annotations

import io
import time
import zipfile
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import models
from support.models import SIDE, examples, means, write_folder

from worker.errors import UsageError
from worker.scoring import rehearsal
from worker.scoring.folder import read
from worker.scoring.judgement import Judgement, Rehearsal
from worker.scoring.mistakes import Mistake
from worker.settings.tree import Scoring

onnx = pytest.importorskip("onnx", reason="the extra `models` is not installed: no graphs can be made")
make, kinds = onnx.helper, onnx.TensorProto

MIB = 1024 * 1024
LIMITS = Scoring(load_deadline_s=4.0, memory_bytes=512 * MIB)
MARGIN_S = 1.5
"""For starting the child, on a machine that has other things to do."""
GROWTH_BYTES = 64 * MIB
ESCAPE = "\x1b]0;owned\x07\x1b[2J\u202e\n"
MEAN = make.make_node("ReduceMean", ["x"], ["m"], axes=[2, 3], keepdims=0)


def graph(*nodes: Any, weights: tuple[Any, ...] = (), takes: str = "x", opset: int = 13) -> bytes:
    """A graph from ``takes`` to ``y`` with the usual ports."""
    body = make.make_graph(
        list(nodes),
        "g",
        [make.make_tensor_value_info(takes, kinds.FLOAT, ["batch", 3, SIDE, SIDE])],
        [make.make_tensor_value_info("y", kinds.FLOAT, ["batch", 3])],
        list(weights),
    )
    return make.make_model(body, opset_imports=[make.make_opsetid("", opset)], ir_version=8).SerializeToString()


def constant(name: str, value: Any) -> Any:
    """A weight."""
    return onnx.numpy_helper.from_array(np.asarray(value), name)


def added(*nodes: Any, weights: tuple[Any, ...] = ()) -> bytes:
    """The means plus the sum of what ``nodes`` make as ``big``."""
    total = make.make_node("ReduceSum", ["big"], ["total"], keepdims=0)
    return graph(MEAN, *nodes, total, make.make_node("Add", ["m", "total"], ["y"]), weights=weights)


def filled(count: int) -> bytes:
    """A constant that says only how large it is."""
    return added(make.make_node("ConstantOfShape", ["n"], ["big"]), weights=(constant("n", [count]),))


def tiled() -> bytes:
    """Two small weights that become a tebibyte."""
    node = make.make_node("Tile", ["seed", "times"], ["big"])
    return added(node, weights=(constant("seed", np.ones(1024, np.float32)), constant("times", [1 << 28])))


def resized() -> bytes:
    """The picture, scaled until nothing holds it."""
    node = make.make_node("Resize", ["x", "", "scales"], ["big"], mode="nearest")
    return added(node, weights=(constant("scales", np.float32([1, 1, 1e5, 1e5])),))


def looped() -> bytes:
    """A loop of 2^62 rounds that starts with the picture, so that it can't be folded."""
    flag, number = (make.make_tensor_value_info(name, kinds.BOOL, []) for name in ("go", "on"))
    values = [make.make_tensor_value_info(name, kinds.FLOAT, None) for name in ("v", "w")]
    body = make.make_graph(
        [make.make_node("Identity", ["go"], ["on"]), make.make_node("Identity", ["v"], ["w"])],
        "body",
        [make.make_tensor_value_info("round", kinds.INT64, []), flag, values[0]],
        [number, values[1]],
    )
    loop = make.make_node("Loop", ["rounds", "yes", "m"], ["y"], body=body)
    return graph(MEAN, loop, weights=(constant("rounds", np.int64(1 << 62)), constant("yes", True)))


def multiplied() -> bytes:
    """Constants that take an hour to be folded, in one node that nothing interrupts."""
    nodes = [
        make.make_node("ConstantOfShape", ["n"], ["a"], value=make.make_tensor("one", kinds.FLOAT, [1], [1.0])),
        make.make_node("MatMul", ["a", "a"], ["b"]),
        *(make.make_node("MatMul", ["b" * k, "a"], ["b" * (k + 1)]) for k in range(1, 200)),
        make.make_node("Identity", ["b" * 200], ["big"]),
    ]
    return added(*nodes, weights=(constant("n", [4096, 4096]),))


def nested(depth: int) -> bytes:
    """A graph in a node in a graph, written by hand: protobuf's own writer gives up at a hundred."""
    inner = b""
    for _ in range(depth):
        attribute = field(1, b"then_branch") + field(6, inner) + b"\xa0\x01\x05"
        inner = field(1, field(1, b"yes") + field(2, b"r") + field(4, b"If") + field(5, attribute))
    return b"\x08\x08" + field(7, inner)


def field(number: int, data: bytes) -> bytes:
    """One field of a protobuf message, its length before it."""
    length, rest = bytearray(), len(data)
    while rest > 127:
        length.append(rest & 127 | 128)
        rest >>= 7
    return bytes([number << 3 | 2, *length, rest]) + data


def unknown_operator() -> bytes:
    """An operator of nobody's, whose name writes into the terminal."""
    return graph(make.make_node(f"Steal{ESCAPE}", ["x"], ["y"]))


GRAPHS = {
    "a constant of 2^40 numbers": filled(1 << 40),
    "a constant of 2^62 numbers": filled(1 << 62),
    "a constant just above the limit": filled(1 << 28),
    "a tile bomb": tiled(),
    "a resize bomb": resized(),
    "a loop for ever": looped(),
    "constants that fold for hours": multiplied(),
    "30 Ifs in each other": nested(30),
    "5,000 Ifs in each other": nested(5000),
    "an unknown operator with a terminal's escapes": unknown_operator(),
    "an input of doubles": means(kind="DOUBLE").SerializeToString(),
    "an output without dimensions": graph(make.make_node("ReduceMean", ["x"], ["y"], keepdims=0)),
    "truncated": means().SerializeToString()[:-20],
    "nothing": b"",
    "zeros": bytes(4096),
    "a length that is not there": b"\x3a\xff\xff\xff\xff\x07",
    "groups in groups": b"\x0b" * 100_000,
    "onnxruntime's own format": b"\x1c\x00\x00\x00ORTM" + bytes(4096),
    "a pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
}


@pytest.mark.parametrize("name", GRAPHS)
def test_a_hostile_graph_is_refused_in_time_and_memory(tmp_path: Path, name: str) -> None:
    """Whatever it does to the process that opens it, the one that asked gets lines."""
    with unharmed():
        told = refused(write_folder(tmp_path, data=GRAPHS[name]))
    assert any("model.onnx" in line or "model.toml" in line for line in told)


PLACES = ("weights.bin", "./weights.bin", "../weights.bin", "{here}/weights.bin", "/proc/self/cwd/weights.bin")
ADDRESS = "*/_ORT_MEM_ADDR_/*"
"""onnxruntime's own mark for weights at an address of the process: offset is then the address."""


@pytest.mark.parametrize("where", ["weight", "attribute", "weight of a branch", "attribute in a branch"])
@pytest.mark.parametrize("place", [*PLACES, ADDRESS])
def test_weights_elsewhere_are_not_read(tmp_path: Path, place: str, where: str) -> None:
    """Wherever the path stands and however it is written: bytes that no digest covers are no part of a model."""
    folder = write_folder(tmp_path / "model", data=b"")
    for beside in (folder, tmp_path):
        (beside / "weights.bin").write_bytes(np.eye(3, dtype=np.float32).tobytes())
    data = elsewhere(place.format(here=tmp_path), where)
    told = refused(write_folder(folder, data=data))
    assert told == [f"{folder}/model.onnx: keeps weights in another file: save it as one file {SAVE}"]


SAVE = '(onnx.save(model, "model.onnx"))'


def elsewhere(place: str, where: str) -> bytes:
    """The means times a weight that is said to lie in ``place``."""
    weight = constant("w", np.eye(3, dtype=np.float32))
    onnx.external_data_helper.set_external_data(weight, place, offset=0, length=36)
    weight.ClearField("raw_data")
    made = [make.make_node("Constant", [], ["w"], value=weight)] if where.startswith("attribute") else []
    weights = () if made else (weight,)
    if "branch" not in where:
        return graph(MEAN, *made, make.make_node("MatMul", ["m", "w"], ["y"]), weights=weights)
    out = make.make_tensor_value_info("r", kinds.FLOAT, ["batch", 3])
    branch = make.make_graph([*made, make.make_node("MatMul", ["m", "w"], ["r"])], "b", [], [out], list(weights))
    choice = make.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch)
    return graph(MEAN, choice, weights=(constant("yes", True),))


class Trap:
    """What would run when somebody unpickled it."""

    def __init__(self, sprung: Path) -> None:
        self.sprung = sprung

    def __reduce__(self) -> Any:
        return (Path.touch, (self.sprung,))


def npy(header: str, data: bytes = b"") -> bytes:
    """An array's file with that header, true or not."""
    text = header.encode() + b"\n"
    return b"\x93NUMPY\x02\x00" + len(text).to_bytes(4, "little") + text + data


def packed(**members: bytes) -> bytes:
    """An npz with those files in it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def with_inputs(data: bytes) -> bytes:
    """Examples whose inputs are that file."""
    whole = io.BytesIO(examples())
    with zipfile.ZipFile(whole) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    return packed(**(members | {"inputs.npy": data}))


def shaped(shape: str, kind: str = "<f4") -> bytes:
    """Inputs that say to be of that shape."""
    return with_inputs(npy(f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}"))


ARCHIVES = {
    "a shape of 2^40": shaped("(1099511627776,)"),
    "a shape that overflows": shaped("(4611686018427387904, 4611686018427387904)"),
    "a negative shape": shaped("(-1, 3, 4, 4)"),
    "a shape of 10,000 dimensions": shaped(f"({'1, ' * 10_000})"),
    "a kind of 2 GiB an element": shaped("(1,)", "|V2147483647"),
    "a header of 64 MiB": with_inputs(npy(" " * (64 * MIB))),
    "a header that computes": with_inputs(npy("{'descr': '<f4', 'fortran_order': False, 'shape': (9**9**9,), }")),
    "a header of brackets": with_inputs(npy("[" * 5000)),
    "a gibibyte of zeros": packed(**{"inputs.npy": bytes(1024 * MIB)}),
    "names that lead out": packed(**{"../../inputs.npy": b"", "/etc/outputs.npy": b"", f"{ESCAPE}.npy": b""}),
    "10,000 members": packed(**{f"{number}.npy": b"" for number in range(10_000)}),
    "truncated": examples()[:-30],
    "no archive": b"PK\x03\x04" + bytes(100),
}


@pytest.mark.parametrize("name", ARCHIVES)
def test_hostile_examples_are_refused_in_time_and_memory(tmp_path: Path, name: str) -> None:
    """No shape, header or name is believed before it was looked at."""
    folder = write_folder(tmp_path, packed=ARCHIVES[name])
    with unharmed():
        told = refused(folder)
    assert any("examples.npz" in line or "scoring.memory_bytes" in line for line in told)


def test_examples_are_never_unpickled(tmp_path: Path) -> None:
    """An array of objects is refused before the first of them is made."""
    sprung = tmp_path / "sprung"
    folder = write_folder(tmp_path / "model", packed=examples(inputs=np.array([Trap(sprung)], dtype=object)))
    refused(folder)
    assert not sprung.exists()


TEXTS = {
    "tables in tables": "a = " + "[" * 100_000,
    "tables in tables, closed": "a = " + "[" * 900 + "]" * 900,
    "one key of 100,000 parts": ".".join("a" * 100_000) + " = 1",
    "one array on 100,000 lines": "a = [\n" + "1,\n" * 100_000 + "]\n",
    "a number of 5,000 digits": f"version = {'9' * 5000}\n",
    "a name with a terminal's escapes": 'name = "\\u001b]0;owned\\u0007\\n"\n',
    "a key with a terminal's escapes": '"\\u001b[2J\\n\\u202e" = 1\n',
    "a label of a megabyte": f'name = "{"x" * (MIB - 100)}"\n',
    "20,000 wrong keys": "".join(f"key_{number} = 1\n" for number in range(20_000)),
    "not text": "\x00\x01",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_hostile_manifest_is_refused_in_time_and_memory(tmp_path: Path, name: str) -> None:
    """Reading TOML can take for ever: that, too, is the child's to do."""
    with unharmed():
        told = refused(write_folder(tmp_path, manifest=TEXTS[name]))
    assert any("model.toml" in line or "scoring.load_deadline_s" in line for line in told)


@given(data=st.binary(max_size=2000))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_random_graphs_are_refused(tmp_path: Path, data: bytes) -> None:
    """Bytes that are no graph end in a line."""
    assert refused(write_folder(tmp_path, data=data))


def test_a_child_that_lies_can_not_pass_other_bytes(tmp_path: Path) -> None:
    """The digest is looked at by the parent as well: what was taken over vouches for no other graph."""
    folder = write_folder(tmp_path, manifest=models.MANIFEST.replace("{sha256}", "0" * 64))
    praise = Rehearsal(examples=1, tolerance=1.0, largest_difference=0.0, provider="any")
    with pytest.raises(UsageError, match="was judged to be right, and is not"):
        read(folder, LIMITS, lambda *_: Judgement(rehearsal=praise))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}" * 1000,
        b"[" * 100_000,
        b'{"mistakes": 1}',
        msgspec.json.encode(Judgement(mistakes=(Mistake(ESCAPE * 100, -1, ESCAPE * 1000),), untold=-5)),
    ],
    ids=["nothing", "too much", "brackets", "other types", "escapes"],
)
def test_what_a_child_answers_is_bounded_and_printable(answer: bytes) -> None:
    """A child that was taken over writes into no terminal and fills no memory."""
    judged = rehearsal._said(answer)
    assert judged.rehearsal is None
    assert judged.untold >= 0
    (mistake,) = judged.mistakes
    assert mistake.told(Path("folder")).isprintable()
    assert len(mistake.told(Path("folder"))) < 1000


class unharmed:  # noqa: N801 - reads as a sentence
    """Asserts that what happens inside took its time at most, and left this process's memory as it was."""

    def __enter__(self) -> None:
        self._began = time.monotonic()
        Path("/proc/self/clear_refs").write_text("5")  # the peak counts from here
        self._had_bytes = _peak_bytes()

    def __exit__(self, *_: object) -> None:
        assert time.monotonic() - self._began < LIMITS.load_deadline_s + MARGIN_S
        assert _peak_bytes() - self._had_bytes < GROWTH_BYTES


def _peak_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))


def refused(folder: Path) -> list[str]:
    """The lines of the refusal, each short and printable."""
    with pytest.raises(UsageError) as raised:
        read(folder, LIMITS)
    lines = str(raised.value).splitlines()
    assert 1 <= len(lines) <= 21
    assert all(line.isprintable() and len(line) < 1000 for line in lines)
    return lines
