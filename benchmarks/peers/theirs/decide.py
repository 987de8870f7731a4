"""A segment to a decision with what people have: a recipe, ``pdqhash``, ThreatExchange's index, onnxruntime.

The plan is a JSON file, named on the command line; ``benchmarks/peers/pipelines.py`` writes it. Of it ``threads`` are
onnxruntime's, 0 for its default.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pdqhash
import recipes
from threatexchange.signal_type.pdq.signal import PdqSignal


def plan() -> dict[str, Any]:
    """Return what this process is told."""
    told: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
    return told


class Decider:
    """Everything that is loaded once."""

    def __init__(self, told: dict[str, Any]) -> None:
        self._told = told
        self._recipe = recipes.RECIPES[told["recipe"]]
        lines = Path(told["hashes"]).read_text().split()
        self._index = PdqSignal.get_index_cls().build((line, number) for number, line in enumerate(lines))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = told["threads"]
        self._session = onnxruntime.InferenceSession(told["model"], options, providers=["CPUExecutionProvider"])
        self._input = self._session.get_inputs()[0].name
        # A file in memory, written anew for each segment: half of the readers take nothing else.
        self._file = Path(tempfile.mkdtemp(dir=told["folder"])) / "segment"
        self._mean = np.array(told["mean"], np.float32)
        self._scale = np.array(told["scale"], np.float32)

    def escalates(self, data: bytes) -> bool:
        """Whether a picture of the segment is known, or scores above the threshold."""
        if self._recipe not in recipes.FROM_MEMORY:
            self._file.write_bytes(data)
        found = self._recipe(recipes.Clip(data, self._file, self._told["width"], self._told["height"], full=True))
        known = any(self._index.query(self._hash(picture)) for picture in found.full)
        scores = [self._score(picture) for picture in found.inputs]
        return known or max(scores) >= self._told["threshold"]

    def _hash(self, picture: recipes.Rgb) -> str:
        vector, _ = pdqhash.compute(np.ascontiguousarray(picture))
        return np.packbits(vector).tobytes().hex()

    def _score(self, picture: recipes.Rgb) -> float:
        pixels = picture if self._told["colour"] == "RGB" else picture[..., ::-1]
        x = (pixels.astype(np.float32) - self._mean) * self._scale
        x = x.transpose(2, 0, 1) if self._told["layout"] == "NCHW" else x
        numbers = self._session.run(None, {self._input: np.ascontiguousarray(x[None])})[0][0]
        if self._told["softmax"]:
            powers = np.exp(numbers - numbers.max())
            numbers = powers / powers.sum()
        return float(numbers[self._told["label"]])


def told_of(event: bytes, *, escalates: bool) -> bytes:
    """Return the record that says what was decided of a segment."""
    return json.dumps({"event": event.decode(), "escalates": escalates}).encode()
