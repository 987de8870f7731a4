"""Mutants through a real jail, with good streams beside them: ``make fuzz FUZZ_ARGS="--seconds 600 --seed 7"``.

Prints a table of outcomes, deaths, rate and leaks, and exits with 1 where anything is not as it must be. What it finds
is cut down to what is needed and kept in tests/hostile/corpus, where it becomes a test.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import hashlib
import itertools
import logging
import os
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from hostile.arena import KILL_SLACK_S, Arena, an_arena, asking, mistakes, named, same
from hostile.mutants import Mutant, minimised, mutant, originals
from support.jails import children_of

from worker.errors import SegmentError
from worker.jail.pool import ATTEMPTS, RESERVE
from worker.records import Media, Sample

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.records import Ask

CORPUS = Path(__file__).with_name("corpus")
CORPUS_MAX_BYTES = 16 * 1024
"""What stays larger after it was cut down is reported, not kept."""
GOOD_EVERY = 10
"""So many mutants, then a good segment in the same place."""
DEADLINE_S = 3.0
BUSY_S = 2.0
"""What a busy machine adds to an attempt without it being the jail's fault."""
FINDINGS = frozenset({"crashed", "timeout"})
"""Outcomes that are bounded and right, and still worth keeping: something went wrong inside."""
LEAK_BYTES = 48 * 1024 * 1024
"""So much may the parent's memory move between its first thousand mutants and its last without being a leak."""
KEPT_AT_MOST = 20


@dataclass(slots=True)
class Findings:
    """What a run has seen."""

    outcomes: Counter[str] = field(default_factory=Counter)
    by_original: dict[str, Counter[str]] = field(default_factory=dict)
    deaths: Counter[str] = field(default_factory=Counter)
    worth_keeping: list[tuple[str, Mutant]] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)
    """What must never be: each line fails the run."""
    good: int = 0
    slowest_s: float = 0.0
    took_s: float = 0.0
    descriptors: tuple[int, int] = (0, 0)
    processes: tuple[int, int] = (0, 0)
    resident_bytes: tuple[int, int] = (0, 0)

    @property
    def count(self) -> int:
        """How many mutants had an outcome."""
        return self.outcomes.total()

    def note(self, broken: Mutant, result: Sample | SegmentError, took_s: float) -> None:
        """One mutant's outcome."""
        name = named(result)
        self.outcomes[name] += 1
        self.by_original.setdefault(broken.origin.split()[0], Counter())[name] += 1
        self.slowest_s = max(self.slowest_s, took_s)
        wrong = mistakes(result)
        if took_s > ATTEMPTS * (DEADLINE_S + KILL_SLACK_S + BUSY_S):
            wrong.append(f"took {took_s:.1f} s")
        self.broken += [f"seed {broken.seed} ({broken.origin}): {each}" for each in wrong]
        if wrong or name in FINDINGS:
            self.worth_keeping.append((name, broken))

    def table(self) -> str:
        """The run for a person."""
        lines = [f"{self.count} mutants in {self.took_s:.0f} s, {self.count / max(self.took_s, 0.001):.0f} a second"]
        lines += [f"  {name:<20} {count:>7}" for name, count in self.outcomes.most_common()]
        lines += ["processes that ended, by cause:"]
        lines += [f"  {name:<20} {count:>7}" for name, count in self.deaths.most_common()]
        lines += [
            f"good segments between them, identical to the bit: {self.good}",
            f"slowest outcome: {self.slowest_s:.2f} s (deadline {DEADLINE_S:g} s, {ATTEMPTS} attempts)",
            "before and after: descriptors {} {}, processes {} {}, parent's memory {} {} MiB".format(
                *self.descriptors, *self.processes, *(size >> 20 for size in self.resident_bytes)
            ),
        ]
        return "\n".join(lines + [f"NOT AS IT MUST BE: {each}" for each in self.broken])


async def fuzz(arena: Arena, seeds: Iterator[int], *, until_s: float) -> Findings:
    """Run mutants of these seeds, as many at once as there are decoders, until they or the time are over."""
    findings = Findings()
    await _settled(arena)
    findings.descriptors = findings.processes = (0, 0)
    before = _descriptors(), len(children_of(arena.jail._zygote.pid))
    warm_bytes: list[int] = []
    started = time.monotonic()

    async def one_after_the_other() -> None:
        for turn, seed in enumerate(seeds):
            if time.monotonic() - started > until_s:
                return
            await _run(arena, mutant(seed), findings)
            if turn % GOOD_EVERY == 0:
                await _good(arena, turn // GOOD_EVERY, findings)
            if not warm_bytes and findings.count >= 1000:
                warm_bytes.append(_resident_bytes())

    async with asyncio.TaskGroup() as tasks:
        for _ in range(arena.jail.processes):
            tasks.create_task(one_after_the_other())
    findings.took_s = time.monotonic() - started
    await _settled(arena)
    findings.descriptors = before[0], _descriptors()
    findings.processes = before[1], len(children_of(arena.jail._zygote.pid))
    findings.resident_bytes = (*(warm_bytes or [_resident_bytes()]), _resident_bytes())
    findings.deaths = Counter(f"{event.cause} {event.signal or ''}".strip() for event in arena.events)
    findings.broken += _leaks(findings)
    return findings


def keep(findings: Findings, folder: Path) -> list[Path]:
    """Cut the finds down and write them; what stays too large is told of instead."""
    kept = []
    for name, found in findings.worth_keeping[:KEPT_AT_MOST]:
        data = asyncio.run(_cut_down(found, name))
        path = folder / f"{name}-{hashlib.sha256(data).hexdigest()[:12]}.bin"
        if len(data) > CORPUS_MAX_BYTES:
            sys.stdout.write(f"not kept, {len(data)} bytes: seed {found.seed} ({found.origin}): {name}\n")
            continue
        path.write_bytes(data)
        kept.append(path)
        sys.stdout.write(f"kept {path.name}: seed {found.seed} ({found.origin}): {name}\n")
    return kept


async def _run(arena: Arena, broken: Mutant, findings: Findings) -> None:
    media = Media(data=broken.data, init=broken.init, sha256="")
    started = time.monotonic()
    result = await _result(arena, media, asking(broken.content_type, interval_s=0.0))
    findings.note(broken, result, time.monotonic() - started)


async def _good(arena: Arena, number: int, findings: Findings) -> None:
    at = number % len(arena.good)
    sample = await _result(arena, arena.good[at], asking())
    if not isinstance(sample, Sample) or not same(sample, arena.known[at]):
        findings.broken.append(f"good stream {at} was disturbed after {findings.count} mutants")
    findings.good += 1


async def _result(arena: Arena, media: Media, ask: Ask) -> Sample | SegmentError:
    try:
        return await arena.jail.sample(media, ask)
    except SegmentError as error:
        return error


async def _cut_down(found: Mutant, name: str) -> bytes:
    """The mutant, with its initialisation before it, without what is not needed for its outcome."""
    whole = (found.init or b"") + found.data
    loop = asyncio.get_running_loop()
    async with an_arena(processes=1, deadline_s=1.0) as arena:

        def still(data: bytes) -> bool:
            job = _result(arena, Media(data=data, init=None, sha256=""), asking(interval_s=0.0))
            return named(asyncio.run_coroutine_threadsafe(job, loop).result()) == name

        if not await asyncio.to_thread(still, whole):
            return whole
        return await asyncio.to_thread(minimised, whole, still, 60 if name == "timeout" else 400)


async def _settled(arena: Arena) -> None:
    """Wait until the jail has all its children again, and no more."""
    jail = arena.jail
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(10):
            while len(children_of(jail._zygote.pid)) != jail.processes + RESERVE or len(jail._ready._children) != (
                jail.processes + RESERVE
            ):
                await asyncio.sleep(0.01)


def _leaks(findings: Findings) -> list[str]:
    found = []
    if findings.descriptors[1] > findings.descriptors[0]:
        found.append(f"descriptors leak: {findings.descriptors}")
    if findings.processes[1] > findings.processes[0]:
        found.append(f"processes leak: {findings.processes}")
    if findings.resident_bytes[1] - findings.resident_bytes[0] > LEAK_BYTES:
        found.append(f"memory leaks: {findings.resident_bytes}")
    return found


def _descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def _resident_bytes() -> int:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * os.sysconf("SC_PAGE_SIZE")


async def _fuzz_once(arguments: argparse.Namespace) -> Findings:
    seeds = itertools.count(arguments.seed * 1_000_000)
    if arguments.count:
        seeds = itertools.islice(seeds, arguments.count)
    async with an_arena(processes=arguments.processes, deadline_s=DEADLINE_S) as arena:
        return await fuzz(arena, iter(seeds), until_s=arguments.seconds)


def main() -> int:
    """Run as told on the command line; 1 where anything is not as it must be."""
    parser = argparse.ArgumentParser(description="mutants of real segments through the jail")
    parser.add_argument("--seconds", type=float, default=60.0, help="stop after so long (60)")
    parser.add_argument("--count", type=int, default=0, help="stop after so many mutants (no limit)")
    parser.add_argument("--seed", type=int, default=int(time.time()) % 1_000_000, help="which mutants (by the clock)")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1, help="decoders at once (one a core)")
    parser.add_argument("--corpus", type=Path, default=CORPUS, help="where finds are kept")
    arguments = parser.parse_args()
    logging.disable(logging.CRITICAL)  # asyncio tells of slow callbacks; the originals' encoders tell of themselves
    sys.stdout.write(f"seed {arguments.seed}, {len(originals())} originals, {arguments.processes} decoders\n")
    findings = asyncio.run(_fuzz_once(arguments))
    sys.stdout.write(findings.table() + "\n")
    keep(findings, arguments.corpus)
    return 1 if findings.broken else 0


if __name__ == "__main__":
    sys.exit(main())
