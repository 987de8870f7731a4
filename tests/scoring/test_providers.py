"""Execution providers: the examples decide whether one may answer; else the CPU does, and it is told."""

from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
from support.models import MANIFEST, SIDE, examples, means, onnx, weighted, write_folder

from worker.errors import UsageError
from worker.scoring.folder import read
from worker.scoring.graph import Graph
from worker.scoring.providers import ONNXRUNTIMES, Engine, environment, installed, options, oversights
from worker.scoring.rehearsal import rehearsed
from worker.scoring.session import load
from worker.settings.tree import Scoring

if TYPE_CHECKING:
    from collections.abc import Mapping

    from worker.scoring.judgement import Judgement
    from worker.settings.tree import Provider

AVAILABLE = onnxruntime.get_available_providers()
MISSING: list[Provider] = [name for name, theirs in ONNXRUNTIMES.items() if theirs not in AVAILABLE]
needs_openvino = pytest.mark.skipif(
    ONNXRUNTIMES["openvino"] not in AVAILABLE, reason="onnxruntime-openvino is not the onnxruntime that is installed"
)
CPUINFO = Path("/proc/cpuinfo")
needs_bf16 = pytest.mark.skipif(
    not (CPUINFO.exists() and "avx512_bf16" in CPUINFO.read_text(encoding="ascii")), reason="no CPU with AVX512-BF16"
)


def test_a_provider_that_is_not_there_gives_way_to_the_cpu_and_it_is_told(tmp_path: Path) -> None:
    """The model runs, and says what was wanted, what is used, and why."""
    model = read(write_folder(tmp_path), Scoring(provider=MISSING[0]))
    assert (model.running.wanted, model.running.used) == (MISSING[0], "cpu")
    assert model.graph.provider == model.rehearsal.provider == "CPUExecutionProvider"
    (note,) = model.running.notes
    assert f"scoring.provider is {MISSING[0]}, but the model runs on the cpu" in note
    assert f"has no {ONNXRUNTIMES[MISSING[0]]}" in note


def test_a_graph_is_never_opened_on_another_provider_than_the_one_named() -> None:
    """Only who reads the folder may take the CPU instead; onnxruntime by itself would, with a warning."""
    with pytest.raises(UsageError, match="can't run on"):
        Graph(means().SerializeToString(), Engine(provider=MISSING[0]))


def test_the_cpu_as_it_was_wanted_has_nothing_to_tell(tmp_path: Path) -> None:
    """The usual case is silent, and rehearsed once."""
    asked: list[str] = []

    def counting(files: Mapping[str, bytes], limits: Scoring) -> Judgement:
        asked.append(limits.provider)
        return rehearsed(files, limits)

    model = read(write_folder(tmp_path), rehearse=counting)
    assert (model.running.wanted, model.running.used, model.running.batch) == ("cpu", "cpu", 1)
    assert model.running.notes == ()
    assert asked == ["cpu"]


def test_a_folder_that_is_wrong_is_refused_whatever_the_provider(tmp_path: Path) -> None:
    """The CPU is no way around the examples: its mistakes are the ones told."""
    far = examples(outputs=np.zeros((2, 3), np.float32))
    with pytest.raises(UsageError, match="on CPUExecutionProvider, the tolerance is"):
        read(write_folder(tmp_path, packed=far), Scoring(provider=MISSING[0]))


def test_a_file_that_is_missing_is_not_laid_to_the_provider(tmp_path: Path) -> None:
    """It is told once, as without."""
    folder = write_folder(tmp_path)
    (folder / "README.md").unlink()
    with pytest.raises(UsageError, match=r"^\S+README\.md: is missing$"):
        read(folder, Scoring(provider=MISSING[0]))


def test_a_provider_that_takes_the_child_with_it_gives_way_to_the_cpu(tmp_path: Path) -> None:
    """A crash or a hang is the provider's failure until the CPU shows the same."""

    def dying(files: Mapping[str, bytes], limits: Scoring) -> Judgement:
        return rehearsed(files, limits if limits.provider == "cpu" else replace(limits, load_deadline_s=0.01))

    model = read(write_folder(tmp_path), Scoring(provider=MISSING[0]), dying)
    assert model.running.used == "cpu"
    assert "took more than 0.01 s" in model.running.notes[0]


def test_a_precision_that_counts_for_nothing_is_told(tmp_path: Path) -> None:
    """bf16 on the CPU provider is a setting without effect."""
    (note,) = read(write_folder(tmp_path), Scoring(precision="bf16")).running.notes
    assert "counts for openvino only" in note


def test_two_distributions_over_each_other_are_told() -> None:
    """Any two have the same files: which of them counts is chance."""
    two = installed(["numpy", "no-such-thing", "onnx"])
    (note,) = oversights(Scoring(), two)
    assert note.startswith(f"numpy {np.__version__} and onnx {onnx.__version__} are installed over each other")
    assert len(installed()) == 1
    assert oversights(Scoring(), installed()) == ()


def test_openvino_has_a_stream_and_a_thread_for_each_run_at_once() -> None:
    """One thread a picture, as on the CPU provider, and none bound to a core that decoders want."""
    told = options(Engine(provider="openvino", precision="bf16", at_once=3))
    cpu = json.loads(told["load_config"])["CPU"]
    assert (cpu["NUM_STREAMS"], cpu["INFERENCE_NUM_THREADS"], cpu["ENABLE_CPU_PINNING"]) == ("3", "3", "NO")
    assert cpu["INFERENCE_PRECISION_HINT"] == "bf16"
    assert told["device_type"] == "CPU"


def test_cuda_has_a_limit_of_the_devices_memory() -> None:
    """scoring.memory_bytes bounds it there, too."""
    assert options(Engine(provider="cuda", memory_bytes=2**30)) == {"device_id": "0", "gpu_mem_limit": str(2**30)}


def test_only_cuda_gets_something_of_the_environment() -> None:
    """And of that, only where its device and its libraries are."""
    ours = {"CUDA_VISIBLE_DEVICES": "1", "AWS_SECRET_ACCESS_KEY": "secret"}
    assert environment("cpu", ours) == environment("openvino", ours) == {}
    assert environment("cuda", ours) == {"CUDA_CACHE_DISABLE": "1", "CUDA_VISIBLE_DEVICES": "1"}


# --- with onnxruntime-openvino ---


def convolved(folder: Path, *, tolerance: float) -> Path:
    """A model whose sums bf16 can't hold: a convolution of 16 channels, then means."""
    random = np.random.default_rng(7)
    weights = [
        onnx.numpy_helper.from_array(random.normal(0, 0.2, shape).astype(np.float32), name)
        for name, shape in (("w", (16, 3, 3, 3)), ("v", (3, 16, 1, 1)))
    ]
    body = onnx.helper.make_graph(
        [
            onnx.helper.make_node("Conv", ["x", "w"], ["many"], pads=[1, 1, 1, 1]),
            onnx.helper.make_node("Conv", ["many", "v"], ["few"]),
            onnx.helper.make_node("ReduceMean", ["few"], ["y"], axes=[2, 3], keepdims=0),
        ],
        "convolved",
        [onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, ["batch", 3])],
        weights,
    )
    made: Any = onnx.helper.make_model(body, opset_imports=[onnx.helper.make_opsetid("", 13)], ir_version=8)
    data = made.SerializeToString()
    inputs = random.uniform(0, 1, (4, 3, SIDE, SIDE)).astype(np.float32)
    outputs = Graph(data).run(inputs)
    packed = examples(inputs=inputs, outputs=outputs, tolerance=np.float64(tolerance))
    return write_folder(folder, data=data, packed=packed, manifest=MANIFEST.replace('"none"', '"softmax"'))


@needs_openvino
async def test_openvino_scores_as_the_cpu_does(tmp_path: Path) -> None:
    """Within the examples' tolerance, on two threads at once, in batches or not."""
    folder = convolved(tmp_path, tolerance=1e-5)
    pictures = list(np.random.default_rng(3).integers(0, 256, (32, SIDE, SIDE, 3), dtype=np.uint8))
    with closing(load(folder, threads=1)) as plain:
        expected = [scores["red"].score for scores in await plain.score(pictures)]
    for batch in (1, 4):
        with closing(load(folder, threads=2, limits=Scoring(provider="openvino", threads=2, batch=batch))) as made:
            assert (made.running.used, made.running.batch, made.running.notes) == ("openvino", batch, ())
            scored = await made.score(pictures)
        assert [scores["red"].score for scores in scored] == pytest.approx(expected, abs=1e-5)


@needs_openvino
@needs_bf16
def test_bf16_is_used_where_the_examples_bear_it_and_only_there(tmp_path: Path) -> None:
    """The folder's tolerance is the line: on one side the answers are taken, on the other the CPU answers."""
    wanted = Scoring(provider="openvino", precision="bf16")
    taken = read(convolved(tmp_path / "wide", tolerance=0.05), wanted)
    assert taken.running.used == "openvino"
    assert 1e-5 < taken.rehearsal.largest_difference <= 0.05
    refused = read(convolved(tmp_path / "narrow", tolerance=1e-5), wanted)
    assert refused.running.used == "cpu"
    assert "differs by" in refused.running.notes[0]


@needs_openvino
def test_openvino_reads_no_weights_from_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bytes that no digest covers are refused as on the CPU."""
    (tmp_path / "weights.bin").write_bytes(np.ones((3, 3000), np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="keeps weights in another file"):
        Graph(weighted(location="weights.bin").SerializeToString(), Engine(provider="openvino"))
