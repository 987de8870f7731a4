"""What a picture costs on each execution provider that is installed, and how far its scores are from the CPU's.

``PYTHONPATH=. python benchmarks/providers.py FOLDER [--turns 60]``: one model folder, all providers in one process,
turn by turn in a shuffled order; CPU time, and its ratio to the provider ``cpu`` in the same turn. Outputs are compared
with the folder's examples, and with the CPU's on seeded noise at several scales. To compare distributions of
onnxruntime, run it in an environment of each: only ratios travel.
"""

from __future__ import annotations

import argparse
import itertools
import random
import statistics
import time
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np

from benchmarks import machine
from benchmarks.figures import ratios
from worker.errors import UsageError
from worker.scoring import examples as examples_file
from worker.scoring import folder as model_folder
from worker.scoring.graph import FILE, Graph
from worker.scoring.preparation import prepare
from worker.scoring.providers import Engine, installed

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

SEED = 20261128
ENGINES = {
    "cpu": Engine(),
    "cpu again": Engine(),  # how far apart two equal ones are is the noise
    "openvino f32": Engine(provider="openvino"),
    "openvino bf16": Engine(provider="openvino", precision="bf16"),
    "cuda": Engine(provider="cuda"),
}
BATCHES = (1, 2, 4, 8)


def opened(data: bytes) -> dict[str, Graph]:
    """The graph on every provider that is here."""
    graphs = {}
    for name, engine in ENGINES.items():
        try:
            graphs[name] = Graph(data, engine)
        except UsageError as error:
            print(f"{name}: left out, {error}")
    return graphs


def noise(model: model_folder.Model, count: int) -> NDArray[np.float32]:
    """Prepared pictures of random squares, each picture of another size of them: harmless, and not all alike."""
    source = np.random.default_rng(SEED)
    height, width = model.manifest.input.size
    pictures = []
    for squares in itertools.islice(itertools.cycle((2, 5, 14, 56)), count):
        small = source.integers(0, 256, (squares, squares, 3), dtype=np.uint8)
        picture = cv2.resize(small, (width, height), interpolation=cv2.INTER_NEAREST)
        pictures.append(prepare(picture, model.manifest.input))
    return np.concatenate(pictures)


def costs_ms(graphs: Mapping[str, Graph], x: NDArray[np.float32], turns: int) -> dict[str, list[float]]:
    """CPU milliseconds of the whole process for each run, turn by turn."""
    order = random.Random(SEED)  # noqa: S311 - no secret
    told: dict[str, list[float]] = {name: [] for name in graphs}
    for turn in range(turns + 1):
        for name in order.sample(list(graphs), len(graphs)):
            began = time.process_time()
            graphs[name].run(x)
            if turn:  # the first one warms up
                told[name].append((time.process_time() - began) * 1000)
    return told


def lines(model: model_folder.Model, data: bytes, examples: examples_file.Examples, turns: int) -> Iterator[str]:
    """The table, a line each."""
    graphs = opened(data)
    pictures = noise(model, 64)
    expected = np.concatenate([graphs["cpu"].run(one[np.newaxis]) for one in pictures])
    costs = costs_ms(graphs, pictures[:1], turns)
    yield "| provider | CPU ms a picture | ratio | quartiles | off the examples | off the CPU's noise |"
    yield "| --- | --- | --- | --- | --- | --- |"
    for name, graph in graphs.items():
        low, middle, high = statistics.quantiles(ratios(costs[name], costs["cpu"]), n=4)
        examined = np.concatenate([graph.run(one[np.newaxis]) for one in examples.inputs])
        off = float(np.abs(examined - examples.outputs).max())
        noisy = np.concatenate([graph.run(one[np.newaxis]) for one in pictures])
        yield (
            f"| {name} | {statistics.median(costs[name]):.2f} | {middle:.2f} | {low:.2f}-{high:.2f} | {off:.1e} "
            f"| {float(np.abs(noisy - expected).max()):.1e} |"
        )
    for name, graph in graphs.items():
        if graph.batches:
            sizes = (statistics.median(costs_ms({name: graph}, pictures[:n], 15)[name]) / n for n in BATCHES)
            yield f"{name}, ms a picture in runs of {BATCHES}: {', '.join(f'{ms:.2f}' for ms in sizes)}"


def main() -> None:
    """Measures, and prints."""
    asked = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    asked.add_argument("folder", type=Path)
    asked.add_argument("--turns", type=int, default=60)
    given = asked.parse_args()
    model = model_folder.read(given.folder)
    examples, mistakes = examples_file.read((given.folder / examples_file.FILE).read_bytes())
    if examples is None:
        raise SystemExit(str(mistakes))
    print(f"{', '.join(installed())}; seed {SEED}, {given.turns} turns; tolerance {examples.tolerance:g}")
    print("; ".join(f"{name} {value}" for name, value in machine.machine().items()))
    for line in lines(model, (given.folder / FILE).read_bytes(), examples, given.turns):
        print(line)


if __name__ == "__main__":
    main()
