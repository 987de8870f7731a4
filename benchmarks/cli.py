"""``python benchmarks``: runs everything, prints the tables, holds them to their bounds."""

from __future__ import annotations

import argparse
import logging
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
from msgspec import Struct
from msgspec.structs import replace
from support import kafka

from benchmarks import clips, latency, machine, quality, report, stages
from benchmarks.clips import Recipe
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
from worker.errors import UsageError
from worker.scoring import session
from worker.scoring.opennsfw import pack_opennsfw

if TYPE_CHECKING:
    from collections.abc import Callable

    from benchmarks.clips import Clip
    from benchmarks.latency import Latency
    from benchmarks.stages import Jailed
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
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader at first: it tries again
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
    parser.add_argument(
        "--render", type=Path, metavar="JSON", help="measure nothing; print docs/benchmarks.md of that file"
    )
    return parser.parse_args()


def run(scale: Scale, seed: int, *, quick: bool) -> Result:
    """Measure everything on this machine."""
    began, skipped = machine.machine(), dict[str, str]()  # its load, before we are the load
    with ExitStack() as closing:
        broker = _broker(closing, skipped)
        made = clips.make(scale.recipes, seed)
        pictures = _pictures(scale, seed, skipped)
        known = stages.hash_list(scale.list_size, seed)
        demo = session.load(DEMO, threads=1)
        closing.callback(demo.close)
        if not quick:
            broker()  # what starts beside us has started: from here on times count
        with stages.jailed() as jail:
            clip_results = tuple(_clip(clip, demo, jail, scale.rounds) for clip in made)
            ways = _ways(made, demo, known, scale, skipped)
            found = _quality(made, pictures, demo=demo, jail=jail, known=known, seed=seed)
        result = Result(
            date=datetime.now(UTC).date().isoformat(),
            quick=quick,
            seed=seed,
            rounds=scale.rounds,
            segments=clips.same_as_pinned(made, seed),
            list_size=scale.list_size,
            machine=began,
            versions=machine.versions() | ({} if "latency" in skipped else {"Apache Kafka": kafka.jars().name}),
            clips=clip_results,
            ways=ways,
            quality=found,
            latency=_latency(broker(), scale, seed),
            skipped=skipped,
        )
    return replace(result, checks=checks(result))


def _broker(closing: ExitStack, skipped: dict[str, str]) -> Callable[[], str | None]:
    """Start Kafka beside what is prepared; the answer waits for it, and is its address or None."""
    reason = kafka.why_not()
    if reason is not None:
        skipped["latency"] = reason
        return lambda: None
    folder = Path(closing.enter_context(tempfile.TemporaryDirectory()))
    try:
        cluster = kafka.Cluster(folder / "kafka")
    except subprocess.CalledProcessError as error:
        skipped["latency"] = f"Maven could not fetch Apache Kafka (status {error.returncode})"
        return lambda: None
    closing.callback(cluster.close)
    starting = closing.enter_context(ThreadPoolExecutor(1)).submit(cluster.start)

    def wait() -> str:
        starting.result()
        return cluster.bootstrap_servers

    return wait


def _pictures(scale: Scale, seed: int, skipped: dict[str, str]) -> list[Clip]:
    reason = quality.why_no_oracle()
    if reason is not None:
        skipped["PDQ beside pdqhash"] = reason
    return [] if reason is not None else quality.pictures(scale.pictures, seed)


def _clip(clip: Clip, demo: Classifier, jail: Jailed, rounds: int) -> ClipResult:
    _tell(clip.name)
    taken = stages.decoding(clip, demo.view, jail, rounds)
    return ClipResult(
        name=clip.name,
        sha256=clip.sha256,
        segment_bytes=len(clip.data),
        idr_bytes=clip.idr_bytes,
        ms=_figures(taken),
        ratios=_paired(taken, IDR_RATIO, JAIL_RATIO),
    )


def _ways(
    made: list[Clip], demo: Classifier, known: HashList, scale: Scale, skipped: dict[str, str]
) -> tuple[WayResult, ...]:
    """The first heavy segment of each height, with the demo model and with OpenNSFW where it is installed."""
    firsts: dict[str, Clip] = {}
    for clip in made:
        if clip.heavy:
            firsts.setdefault(clip.name.split()[0], clip)
    ways = [_way(clip, demo, DEMO, known, scale.rounds) for clip in firsts.values()]
    if not scale.real_model:
        skipped["OpenNSFW"] = "a quick run"
        return tuple(ways)
    with tempfile.TemporaryDirectory() as name, ExitStack() as closing:
        folder = Path(name) / "opennsfw"
        try:
            pack_opennsfw(folder)
        except UsageError as error:
            skipped["OpenNSFW"] = str(error)
            return tuple(ways)
        real = session.load(folder, threads=1)
        closing.callback(real.close)
        return (*ways, *(_way(clip, real, folder, known, scale.rounds) for clip in firsts.values()))


def _way(clip: Clip, classifier: Classifier, folder: Path, known: HashList, rounds: int) -> WayResult:
    _tell(f"the whole way: {clip.name}, {classifier.ref.name}")
    taken = stages.way(clip, classifier, folder / "model.onnx", known, rounds)
    return WayResult(
        clip=clip.name, model=classifier.ref.name, ms=_figures(taken), ratios=_paired(taken, WAY_RATIO, SCORE_RATIO)
    )


def _quality(
    made: list[Clip], pictures: list[Clip], *, demo: Classifier, jail: Jailed, known: HashList, seed: int
) -> Quality:
    _tell("quality")
    bits = quality.pdq_bits(pictures, demo.view) if pictures else []
    return Quality(
        pdq_pictures=len(bits),
        pdq_mean_bits=sum(bits) / len(bits) if bits else None,
        pdq_max_bits=max(bits, default=None),
        keyframes_off=sum(quality.keyframes_off(clip, demo.view) for clip in made),
        jail_differs=sum(quality.jail_differs(clip, demo.view, jail) for clip in made),
        score_off=quality.score_off(made[0], demo, DEMO / "model.onnx"),
        matches_wrong=quality.matches_wrong(known, seed),
    )


def _latency(servers: str | None, scale: Scale, seed: int) -> Latency | None:
    if servers is None:
        return None
    _tell(f"latency: {scale.streams} streams for {scale.seconds:g} s")
    return latency.measure(servers, DEMO, seed, count=scale.streams, seconds=scale.seconds, life=scale.life)


def _figures(taken: dict[str, list[float]]) -> dict[str, Figure]:
    return {name: figure(of) for name, of in taken.items()}


def _paired(taken: dict[str, list[float]], *names: str) -> dict[str, Figure]:
    pairs = {name: name.split(" / ") for name in names}
    return {name: figure(ratios(taken[above], taken[below])) for name, (above, below) in pairs.items()}


def _tell(doing: str) -> None:
    """Long work says what it is at, away from what it found."""
    print(f"… {doing}", file=sys.stderr, flush=True)
