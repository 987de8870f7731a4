"""Where a graph runs: onnxruntime's execution providers under the settings' names, and what each of them is told."""

from __future__ import annotations

import json
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING

from msgspec import Struct

from worker.cores import cores
from worker.settings.tree import Precision, Provider, Scoring

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

USUAL = Scoring()
ONNXRUNTIMES: dict[Provider, str] = {
    "cpu": "CPUExecutionProvider",
    "openvino": "OpenVINOExecutionProvider",
    "cuda": "CUDAExecutionProvider",
}
"""What onnxruntime calls them."""
DISTRIBUTIONS = ("onnxruntime", "onnxruntime-openvino", "onnxruntime-gpu")
"""Of the import ``onnxruntime``: each brings other providers, and any two overwrite each other's files."""
VISIBLE = ("CUDA_VISIBLE_DEVICES", "LD_LIBRARY_PATH", "NVIDIA_VISIBLE_DEVICES")
"""What CUDA has to find in the environment to find its device and its libraries."""


class Engine(Struct, frozen=True, kw_only=True):
    """Where and how a graph shall run."""

    provider: Provider = "cpu"
    precision: Precision = "f32"
    at_once: int = 1
    """Runs at once, each on one thread."""
    memory_bytes: int = USUAL.memory_bytes
    """What its weights and all its runs may take together; with ``cuda`` twice: of the host's, and of the device's."""


class Running(Struct, frozen=True, kw_only=True):
    """How a model runs here, beside how it was wanted."""

    wanted: Provider
    used: Provider
    batch: int
    """Most pictures in one run."""
    notes: tuple[str, ...]
    """What is not as it was wanted, and why, a line each."""


def engine(settings: Scoring) -> Engine:
    """Returns what the settings say of where and how a graph shall run."""
    return Engine(
        provider=settings.provider,
        precision=settings.precision,
        at_once=settings.threads or cores(),
        memory_bytes=settings.memory_bytes,
    )


def options(wanted: Engine) -> dict[str, str]:
    """Returns the provider's options, as onnxruntime takes them.

    OpenVINO: a stream for each run at once and a thread for each stream, so that a picture takes one core as it does
    without; the threads aren't bound to cores, which decoders use, too. CUDA: the first device that is visible,
    within the memory limit.
    """
    if wanted.provider == "openvino":
        runs = str(wanted.at_once)
        cpu = {
            "INFERENCE_PRECISION_HINT": wanted.precision,
            "INFERENCE_NUM_THREADS": runs,
            "NUM_STREAMS": runs,
            "ENABLE_CPU_PINNING": "NO",
        }
        return {"device_type": "CPU", "load_config": json.dumps({"CPU": cpu})}
    if wanted.provider == "cuda":
        return {"device_id": "0", "gpu_mem_limit": str(wanted.memory_bytes)}
    return {}


def environment(provider: Provider, ours: Mapping[str, str]) -> dict[str, str]:
    """Returns what a child process needs of our environment for a provider: nothing, but for CUDA.

    Its cache of compiled kernels is off: the child may write no file.
    """
    if provider != "cuda":
        return {}
    return {"CUDA_CACHE_DISABLE": "1", **{name: ours[name] for name in VISIBLE if name in ours}}


def oversights(settings: Scoring, here: Sequence[str]) -> tuple[str, ...]:
    """Returns what can't be as it was meant, whatever the model is; ``here`` is what is ``installed``."""
    notes = []
    if len(here) > 1:
        notes.append(f"{' and '.join(here)} are installed over each other: uninstall all of them, then install one")
    if settings.precision != "f32" and settings.provider != "openvino":
        notes.append(f"scoring.precision is {settings.precision}, which counts for openvino only")
    return tuple(notes)


def installed(names: Iterable[str] = DISTRIBUTIONS) -> tuple[str, ...]:
    """Returns the distributions of onnxruntime that are installed here, each with its version."""
    found = []
    for name in names:
        try:
            found.append(f"{name} {distribution(name).version}")
        except PackageNotFoundError:
            continue
    return tuple(found)
