"""Broken media by the thousand, through a real jail of several decoders; and what earlier runs have found."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import pytest
import pytest_asyncio
from hostile import fuzz
from hostile.arena import an_arena, asking, named
from hostile.fuzz import Findings
from hostile.mutants import CHANGES, MOST_BYTES, minimised, mutant, originals

from worker.errors import SegmentError

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from hostile.arena import Arena

FINDS = {path.stem: path.read_bytes() for path in sorted(fuzz.CORPUS.glob("*.bin"))}
COUNT = 1500
SEED = 5
MOST_S = 45.0
"""A slow machine runs as many as it can in this time."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def arena() -> AsyncIterator[Arena]:
    """One jail of three decoders for all of it."""
    async with an_arena(processes=3, deadline_s=fuzz.DEADLINE_S) as arena:
        yield arena


@pytest.mark.asyncio(loop_scope="module")
async def test_the_originals_are_seen_whole(arena: Arena) -> None:
    """What the mutants are made from is good: else nothing of what decodes would be tried."""
    for original in originals():
        expected = "no_video" if original.name == "ts-audio" else "sample"
        result = await arena.outcome(original.data, original.init, asking(original.content_type, interval_s=0.0))
        assert named(result) == expected, original.name


@pytest.mark.asyncio(loop_scope="module")
async def test_every_mutant_has_an_outcome_and_nothing_else_happens(arena: Arena) -> None:
    """No death of the parent, no leak, no disturbed neighbour, no unknown error, no missed deadline."""
    seeds = itertools.count(SEED * 1_000_000)
    findings = await fuzz.fuzz(arena, itertools.islice(seeds, COUNT), until_s=MOST_S)
    assert findings.broken == []
    assert findings.count == COUNT or findings.took_s >= MOST_S
    assert findings.good >= findings.count // fuzz.GOOD_EVERY
    assert set(findings.by_original) == {original.name for original in originals()}
    assert {"sample", "partial", "corrupt"} < set(findings.outcomes), "the mutants are too broken, or not enough"


@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("name", FINDS)
async def test_what_was_found_once_is_bounded_for_ever(arena: Arena, name: str) -> None:
    """Each find of an earlier run ends as its name says, and nobody beside it notices."""
    result = await arena.outcome(FINDS[name], ask=asking(interval_s=0.0))
    assert named(result) == name.split("-", maxsplit=1)[0]


def test_the_same_seed_gives_the_same_mutant() -> None:
    """A seed is enough to see a find again; another one gives another."""
    some = [mutant(seed) for seed in range(40)]
    assert some == [mutant(seed) for seed in range(40)]
    assert len({(one.data, one.init) for one in some}) > 30


def test_every_change_is_made_and_none_grows_without_end() -> None:
    """Over a few hundred seeds all kinds of damage occur, to every original, in bounded sizes."""
    made = [mutant(seed) for seed in range(600)]
    told = {word for one in made for word in one.origin.split()[1:]}
    assert told == {change.__name__ for change in CHANGES}
    assert {one.origin.split()[0] for one in made} == {original.name for original in originals()}
    assert max(len(one.data) for one in made) <= MOST_BYTES


def test_an_outcome_that_must_not_be_fails_the_run() -> None:
    """An unknown error, a reason of two lines and a hostile reply of an honest decoder are told with their seed."""
    findings = Findings()
    findings.note(mutant(1), SegmentError("decode", "crashed", "the decoder died of SIGSEGV"), 0.1)
    assert findings.broken == []
    assert [name for name, _ in findings.worth_keeping] == ["crashed"]
    for number, wrong in enumerate(
        [
            SegmentError("decode", "surprise", "what?"),
            SegmentError("decode", "corrupt", "two\nlines"),
            SegmentError("decode", "crashed", "the decoder's answer was not valid: costs"),
        ]
    ):
        findings.note(mutant(2), wrong, 0.1)
        assert len(findings.broken) == number + 1
        assert "seed 2" in findings.broken[-1]
    findings.note(mutant(2), SegmentError("decode", "timeout", "late"), 60.0)
    assert findings.broken[-1].endswith("took 60.0 s")


def test_leaks_fail_the_run() -> None:
    """More descriptors, processes or memory than before are told."""
    findings = Findings(descriptors=(10, 11), processes=(3, 4), resident_bytes=(0, 2 * fuzz.LEAK_BYTES))
    assert len(fuzz._leaks(findings)) == 3
    assert fuzz._leaks(Findings(descriptors=(10, 10), processes=(3, 3), resident_bytes=(5, 5))) == []


def test_a_find_is_cut_down_to_what_is_needed() -> None:
    """Pieces that change nothing go; the rest stays in order."""
    assert minimised(b"a" * 100 + b"X" + b"b" * 100 + b"Y", lambda data: b"X" in data and b"Y" in data, 10_000) == b"XY"


def test_the_corpus_is_small() -> None:
    """Finds are a few bytes each, and what made them is generated: nothing else is kept."""
    assert all(len(data) <= fuzz.CORPUS_MAX_BYTES for data in FINDS.values())
    assert len(FINDS) <= 200
