"""``python benchmarks``: measures, prints the tables, holds them to their bounds; keeps and tells what was found."""

from __future__ import annotations

import argparse
import logging
import sys
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from benchmarks import broker, clips, machine, page
from benchmarks.part import Kept, NotHere, Run, failed
from benchmarks.parts import PARTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from benchmarks.part import Check, Part

NAMES = [part.name for part in PARTS]


def main() -> int:
    """Return 1 where a bound is breached."""
    given = _arguments()
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)  # new topics have no leader at first: it tries again
    if given.write is not None:
        write(given.write)
        return 0
    wanted = [part for part in PARTS if part.name in given.parts or not given.parts]
    return run(wanted, quick=given.quick, seed=given.seed, keep=given.keep)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description="What watching streams costs, beside floor and peers."
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which of {', '.join(NAMES)}; all without any")
    parser.add_argument("--quick", action="store_true", help="little of each: proves that it runs, not how fast")
    parser.add_argument("--seed", type=int, default=clips.SEED, help="of the generated segments, hashes and pictures")
    parser.add_argument("--keep", type=Path, metavar="FOLDER", help="write what was found there: docs/benchmarks")
    parser.add_argument("--write", type=Path, metavar="DOCS", help="measure nothing; make benchmarks.md and its plots")
    given = parser.parse_args()
    if unknown := set(given.parts) - set(NAMES):
        parser.error(f"there is no part {', '.join(sorted(unknown))}; there are {', '.join(NAMES)}")
    return given


def run(parts: Iterable[Part[Any]], *, quick: bool, seed: int, keep: Path | None) -> int:
    """Measure some parts on this machine, one after the other; each is told and kept as soon as it is done."""
    breached: list[Check] = []
    with ExitStack() as closing:
        shared = Run(quick, seed, _tell, closing)
        for part in parts:
            breached += _one(part, shared, keep)
    for check in breached:
        print(f"missed: {check.bound.value}: {check.measured:.3g} {check.bound.unit}")
    print("every bound that was measured holds" if not breached else f"{len(breached)} bounds missed")
    return 1 if breached else 0


def _one(part: Part[Any], shared: Run, keep: Path | None) -> tuple[Check, ...]:
    _tell(part.name)
    on = machine.machine()  # its load, before we are the load
    try:
        result = part.measure(shared)
    except NotHere as reason:
        print(f"## {part.title}\n\nNot measured: {reason}\n")
        return ()
    kept = Kept(
        part=part.name,
        date=datetime.now(UTC).date().isoformat(),
        quick=shared.quick,
        seed=shared.seed,
        machine=on,
        versions=machine.versions() | broker.version(),
        result=msgspec.Raw(msgspec.json.encode(result)),
    )
    print(page.section(part, kept))
    if keep is not None:
        kept.path(keep).write_bytes(msgspec.json.format(msgspec.json.encode(kept), indent=1) + b"\n")
    return failed(part.checks(result), quick=shared.quick)


def write(docs: Path) -> None:
    """Make docs/benchmarks.md and its plots from what is kept in docs/benchmarks."""
    from benchmarks import drawing  # noqa: PLC0415 - who only measures needs no matplotlib

    kept = list(page.read(docs / "benchmarks", PARTS))
    (docs / "benchmarks.md").write_text(page.page(kept))
    for name, plot in page.plots(kept):
        (docs / "benchmarks" / name).write_bytes(drawing.svg(plot))


def _tell(doing: str) -> None:
    """Long work says what it is at, away from what it found."""
    print(f"… {doing}", file=sys.stderr, flush=True)
