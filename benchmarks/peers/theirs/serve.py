"""Runs recipes for the benchmark, one a line: ``{"recipe", "file", "width", "height", "hash"}`` in, what it took out.

Answers are JSON lines as well: ``{"cpu_ms", "pictures", "hashes"}`` or ``{"error"}``. CPU is of all threads of this
process and of the programs that it started. The first line tells the versions of what is measured.
"""

from __future__ import annotations

import json
import os
import re
import resource
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import pdqhash
import recipes

WHEN = re.compile(r"^\[[0-9:]+\] ")
PACKAGES = ("av", "opencv-python-headless", "imageio-ffmpeg", "scenedetect", "decord2", "pdqhash")


def main() -> None:
    """Answer until standard input ends. FFmpeg's complaints go nowhere: decord makes hundreds a second."""
    answers = os.fdopen(os.dup(1), "w")
    with Path(os.devnull).open("w") as nowhere:
        for told in (1, 2):
            os.dup2(nowhere.fileno(), told)
    print(json.dumps({name: metadata.version(name) for name in PACKAGES}), file=answers, flush=True)
    for line in sys.stdin:
        print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


def answer(asked: dict[str, Any]) -> dict[str, Any]:
    """Run a recipe once, and hash its pictures with ``pdqhash`` where that is asked for."""
    file = Path(asked["file"])
    clip = recipes.Clip(file.read_bytes(), file, asked["width"], asked["height"], full=asked["hash"])
    started = cpu_s()
    try:
        found = recipes.RECIPES[asked["recipe"]](clip)
    except Exception as error:  # noqa: BLE001 - each package has its own errors; it is told, not hidden
        return {"error": said(error, asked["file"])}
    vectors = [pdqhash.compute(np.ascontiguousarray(picture))[0] for picture in found.full]
    took_s = cpu_s() - started
    shapes = {picture.shape for picture in found.inputs}
    if shapes != {(recipes.SIDE, recipes.SIDE, 3)}:
        return {"error": f"gave pictures of {shapes or 'nothing'}"}
    hashes = [np.packbits(vector).tobytes().hex() for vector in vectors]
    return {"cpu_ms": took_s * 1000, "pictures": len(found.inputs), "hashes": hashes}


def said(error: Exception, file: str) -> str:
    """Return an error's first line, without when and where."""
    line, _, _ = str(error).replace(file, "the segment").strip().partition("\n")
    return f"{type(error).__name__}: {WHEN.sub('', line)[:120]}"


def cpu_s() -> float:
    """Seconds of CPU of this process and of those that it waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


if __name__ == "__main__":
    main()
