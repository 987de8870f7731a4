"""``python benchmarks``: runs everything, prints the tables, holds them to their bounds."""

from __future__ import annotations

import argparse
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from importlib.util import find_spec
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from benchmarks import clips, latency, machine, quality, report, stages
from benchmarks.figures import Figure, figure, ratios
from benchmarks.result import (
    IDR_RATIO,
    JAIL_RATIO,
    SCORE_RATIO,
    WAY_RATIO,
    ClipResult,
    Quality,
    Result,
    WayResult,
    checks,
    failed,
)
from msgspec import Struct
from msgspec.structs import replace
from support import kafka

from worker.scoring import session
from worker.scoring.opennsfw import pack_opennsfw

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.clips import Clip, Recipe
    from benchmarks.latency import Latency

    from worker.records import HashList
    from worker.scoring.session import Classifier

DEMO = Path(__file__).parents[1] / "models" / "demo"


class Scale(Struct, frozen=True, kw_only=True):
    """How much is measured."""

    recipes: tuple[Recipe, ...]
    rounds: int
    pictures: int
    list_size: int
    real_model: bool
    streams: int
    seconds: float
    life: int


FULL = Scale(
    recipes=clips.FULL, rounds=41, pictures=48, list_size=100_000, real_model=True, streams=8, seconds=60, life=3
)
QUICK = Scale(
    recipes=clips.QUICK, rounds=5, pictures=6, list_size=20_000, real_model=False, streams=4, seconds=4, life=2
)


def main() -> int:
    """Return 1 where a bound is breached."""
    given = _arguments()
    if given.render is not None:
        print(report.page(msgspec.json.decode(given.render.read_bytes(), type=Result)), end="")
        return 0
    result = run(QUICK if given.quick else FULL, given.seed, quick=given.quick)
    print(report.text(result))
    if given.json is not None:
        given.json.write_bytes(msgspec.json.format(msgspec.json.encode(result), indent=1) + b"\n")
    return 1 if failed(result) else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description="What each step costs beside its physical floor.")
    parser.add_argument("--quick", action="store_true", help="few segments: proves that it runs, not how fast")
    parser.add_argument("--seed", type=int, default=clips.SEED, help="of the generated segments, hashes and pictures")
    parser.add_argument("--json", type=Path, metavar="OUT", help="write what was found to a file")
    parser.add_argument("--render", type=Path, metavar="JSON", help="measure nothing; print docs/benchmarks.md of that file")
    return parser.parse_args()


def run(scale: Scale, seed: int, *, quick: bool) -> Result:
    """Measure everything on this machine."""
    began = machine.machine()  # its load, before we are the load
    with ExitStack() as closing:
        skipped: dict[str, str] = {}
        broker = _broker(closing, skipped)
        made = clips.make(scale.recipes, seed)
        pictures = _pictures(scale, seed, skipped)
        known = stages.hash_list(scale.list_size, seed)
        demo = session.load(DEMO, threads=1)
        closing.callback(demo.close)
        servers = broker()
        jail = closing.enter_context(stages.jailed())
        clip_results = tuple(_progress(clip.name, lambda clip=clip: _clip(clip, demo, jail, scale)) for clip in made)
        result = Result(
            date=datetime.now(UTC).date().isoformat(),
            quick=quick,
            seed=seed,
            rounds=scale.rounds,
            list_size=scale.list_size,
            machine=began,
            versions=machine.versions(),
            clips=clip_results,
            ways=_progress("the whole way", lambda: _ways(made, demo, known, scale, skipped)),
            quality=_progress("quality", lambda: _quality(made, pictures, demo, jail, known, seed)),
            latency=None,
            skipped=skipped,
        )
    measured = None
    return replace(result, latency=measured, checks=checks(replace(result, latency=measured)))
