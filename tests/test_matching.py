"""Radius search is exact, and frames that run along with a known video are told from lone ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.matching import Matcher, align
from worker.matching.alignment import SIGHTINGS_KEPT
from worker.matching.matcher import MOST_MATCHES
from worker.matching.search import BLOCK_ROWS, CROWDED, INDEXED_FROM, INDEXED_RADIUS, Index, Sweep, search
from worker.records import FrameHash, HashFile, HashList, ListKind, Look, Match, Sighting

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray


def hash_list(
    hashes: list[bytes],
    *,
    name: str = "list",
    kind: ListKind = "review",
    radius: int = 31,
    entries: list[str] | None = None,
    times_s: list[float] | None = None,
) -> HashList:
    """Make a list of one file."""
    file = HashFile(
        stem="file",
        lines=np.arange(1, len(hashes) + 1, dtype=np.int32),
        entries=tuple(entries) if entries is not None else None,
        categories=None,
        times_s=np.array(times_s, np.float64) if times_s is not None else None,
    )
    return HashList(
        name=name,
        version="1",
        algorithm="pdq",
        radius=radius,
        kind=kind,
        severity="high",
        source=None,
        sha256="0" * 64,
        hashes=np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32),
        files=(file,),
        ignored=0,
    )


def flipped(pdq: bytes, bits: int) -> bytes:
    """Return the hash with its first ``bits`` bits flipped."""
    return (int.from_bytes(pdq, "big") ^ (((1 << bits) - 1) << (256 - bits))).to_bytes(32, "big")


def distance(one: bytes, other: bytes) -> int:
    """Hamming distance as one would write it down."""
    return (int.from_bytes(one, "big") ^ int.from_bytes(other, "big")).bit_count()


def oracle(lists: list[HashList], pdq: bytes) -> set[tuple[str, str, int]]:
    """Every entry's nearest row within the radius, by brute force."""
    best: dict[tuple[str, str], int] = {}
    for each in lists:
        for number, row in enumerate(each.hashes):
            entries = each.files[0].entries
            key = each.name, entries[number] if entries else f"file:{number + 1}"
            if (bits := distance(bytes(row), pdq)) <= each.radius:
                best[key] = min(bits, best.get(key, 256))
    return {(*key, bits) for key, bits in best.items()}


def told(matches: tuple[Match, ...]) -> set[tuple[str, str, int]]:
    """What the oracle speaks of."""
    return {(match.list, match.entry, match.distance) for match in matches}


PDQ = bytes(range(32))
NEAR = st.integers(0, 255).flatmap(
    lambda seed: st.sets(st.integers(0, 255), max_size=70).map(
        lambda bits: (int.from_bytes(bytes([seed % 2 * 255]) * 32, "big") ^ sum(1 << bit for bit in bits)).to_bytes(
            32, "big"
        )
    )
)
"""Hashes around two far-apart centres: everywhere from 0 to 256 bits apart."""


@given(
    st.lists(
        st.tuples(st.lists(st.tuples(NEAR, st.sampled_from("abcdef")), max_size=6), st.integers(0, 64)), max_size=2
    ),
    NEAR,
)
def test_matches_are_those_of_a_brute_force_search(
    lists: list[tuple[list[tuple[bytes, str]], int]], pdq: bytes
) -> None:
    """No neighbour is missed, none is made up, and each entry has its nearest row's distance."""
    made = [
        hash_list([row for row, _ in rows], entries=[entry for _, entry in rows], radius=radius, name=f"list {number}")
        for number, (rows, radius) in enumerate(lists)
    ]
    found = Matcher(made).match(pdq)
    assert told(found) == oracle(made, pdq)
    assert [match.distance for match in found] == sorted(match.distance for match in found)


def test_of_several_rows_of_one_entry_the_nearest_counts() -> None:
    """Wherever it stands in the list; of equally near ones the first."""
    rows = [flipped(PDQ, bits) for bits in (9, 4, 4, 7)]
    found = Matcher([hash_list(rows, entries=["film"] * 4, times_s=[0.0, 1.0, 2.0, 3.0])]).match(PDQ)
    assert [(match.distance, match.at_s) for match in found] == [(4, 1.0)]


@pytest.mark.parametrize("radius", [0, 1, 31, 64])
def test_the_radius_is_inclusive(radius: int) -> None:
    """As many bits as the radius is a match, one more is none."""
    matcher = Matcher([hash_list([flipped(PDQ, radius), flipped(PDQ, radius + 1)], radius=radius)])
    assert told(matcher.match(PDQ)) == {("list", "file:1", radius)}


def test_the_opposite_of_a_hash_is_no_match() -> None:
    """256 bits apart do not wrap round to none."""
    assert Matcher([hash_list([flipped(PDQ, 256), flipped(PDQ, 128)], radius=64)]).match(PDQ) == ()


def test_bits_count_wherever_they_lie() -> None:
    """A difference in any one of the four words is seen."""
    rows = [bytes(byte ^ (0xFF if at == where else 0) for at, byte in enumerate(PDQ)) for where in range(32)]
    for row in rows:
        assert Matcher([hash_list([row], radius=7)]).match(PDQ) == ()
        assert told(Matcher([hash_list([row], radius=8)]).match(PDQ)) == {("list", "file:1", 8)}


def test_a_match_says_all_that_its_list_says() -> None:
    """Everything a reviewer is told comes from the list."""
    entries, times_s = ["film"], [12.5]
    match = Matcher([hash_list([PDQ], kind="block", entries=entries, times_s=times_s)]).match(PDQ)[0]
    assert match == Match(
        list="list",
        list_kind="block",
        list_version="1",
        entry="film",
        distance=0,
        radius=31,
        severity="high",
        algorithm="pdq",
        category=None,
        at_s=12.5,
    )


def test_no_lists_and_empty_lists_match_nothing() -> None:
    """A worker without lists, or with one that holds no row, goes on."""
    assert Matcher([]).match(PDQ) == ()
    assert Matcher([hash_list([])]).match(PDQ) == ()
    assert Matcher([hash_list([])]).match_many(np.empty((0, 32), np.uint8)) == []


def test_a_hash_of_another_length_is_refused() -> None:
    """Half a hash is a programmer's mistake, not a frame without matches."""
    with pytest.raises(ValueError, match="32 bytes"):
        Matcher([]).match(b"short")


def test_rows_beyond_the_first_block_are_found_under_their_own_names() -> None:
    """The last row of a long list is as good as its first, across files too."""
    hashes = np.random.default_rng(3).integers(0, 256, (BLOCK_ROWS + 10, 32), dtype=np.uint8)
    one = hash_list([row.tobytes() for row in hashes])
    first = HashFile(stem="a", lines=np.arange(1, 6, dtype=np.int32), entries=None, categories=None, times_s=None)
    rest = HashFile(
        stem="b",
        lines=np.arange(2, len(hashes) - 3, dtype=np.int32),
        entries=None,
        categories=("card",) * (len(hashes) - 5),
        times_s=None,
    )
    two = HashList(**{name: getattr(one, name) for name in one.__struct_fields__} | {"files": (first, rest)})
    wanted = [0, 4, 5, BLOCK_ROWS - 1, BLOCK_ROWS, len(hashes) - 1]
    found = Matcher([two]).match_many(hashes[wanted])
    assert [matches[0].entry for matches in found] == [
        "a:1",
        "a:5",
        "b:2",
        f"b:{BLOCK_ROWS - 4}",
        f"b:{BLOCK_ROWS - 3}",
        f"b:{len(hashes) - 4}",
    ]
    assert [matches[0].category for matches in found] == [None, None, *["card"] * 4]


@given(st.lists(st.tuples(st.sampled_from(["block", "review", "allow"]), st.integers(0, 30)), max_size=30))
def test_a_crowd_of_matches_never_pushes_out_a_blocking_one(counts: list[tuple[ListKind, int]]) -> None:
    """At most 16 and one for each list; others only where block lists leave room; every list is heard."""
    lists = [
        hash_list([flipped(PDQ, bits % 31) for bits in range(rows)], name=str(number), kind=kind)
        for number, (kind, rows) in enumerate(counts)
    ]
    found = Matcher(lists).match(PDQ)
    blocking = sum(match.list_kind == "block" for match in found)
    all_blocking = sum(min(rows, 31) for kind, rows in counts if kind == "block")
    assert len(found) <= MOST_MATCHES + len(counts)
    assert blocking >= min(all_blocking, MOST_MATCHES)
    assert {match.list for match in found} == {str(number) for number, (_, rows) in enumerate(counts) if rows}


# --- the index --------------------------------------------------------------------------------------------------------

CENTRE = np.frombuffer(PDQ, np.uint8)
WORDS = CENTRE.view(np.uint64)


def near(rows: NDArray[np.uint8], radius: int, words: NDArray[np.uint64]) -> list[tuple[int, int]]:
    """Rows within the radius with their distances, by a sweep that is told of each bit."""
    distances = np.unpackbits(rows ^ words.view(np.uint8), axis=1).sum(axis=1)
    return [(row, int(bits)) for row, bits in enumerate(distances) if bits <= radius]


def pairs(found: tuple[NDArray[np.intp], NDArray[np.uint16]]) -> list[tuple[int, int]]:
    """What a search found, to compare."""
    return list(zip(found[0].tolist(), found[1].tolist(), strict=True))


def around(seed: int, rows: int, most: int) -> NDArray[np.uint8]:
    """Random hashes, every other one at most so many bits from PDQ, spread in any way; shape (rows, 32)."""
    rng = np.random.default_rng(seed)
    made = rng.integers(0, 256, (rows, 32), dtype=np.uint8)
    for row in range(0, rows, 2):
        bits = np.zeros(256, np.uint8)
        clustered = rng.random(256) + rng.integers(0, 2) * (np.arange(256) // 16 % rng.integers(2, 5) > 0)
        bits[np.argsort(clustered)[: rng.integers(0, most + 1)]] = 1
        made[row] = CENTRE ^ np.packbits(bits)
    return made


@given(st.integers(0, 2**32), st.integers(0, INDEXED_RADIUS))
def test_the_index_finds_what_a_sweep_finds(seed: int, radius: int) -> None:
    """The same rows in the same order with the same distances, at any radius that it takes, wherever bits differ."""
    strangers = np.random.default_rng(seed).integers(0, 256, (12_000, 32), np.uint8)  # else it would be a crowd
    rows = np.concatenate([around(seed, 60, 34), strangers])
    index = Index(rows.view(np.uint64), radius)
    assert pairs(index.near(WORDS)) == near(rows, radius, WORDS)


def test_bits_that_are_spread_as_badly_as_can_be_are_found_by_the_index() -> None:
    """31 bits over 16 chunks, two in each but one: the one place that is left; wherever that is."""
    strangers = np.random.default_rng(5).integers(0, 256, (4000, 32), dtype=np.uint8)
    for spared in range(16):
        chunks = CENTRE.view(np.uint16) ^ np.uint16(0x8001)
        chunks[spared] ^= np.uint16(0x0001)
        rows = np.vstack([strangers, chunks.view(np.uint8)])
        assert pairs(Index(rows.view(np.uint64), 31).near(WORDS)) == [(4000, 31)]


def test_an_index_is_refused_where_it_would_miss_rows() -> None:
    """32 bits can be two in each chunk; such a list is swept however long it is."""
    rows = np.zeros((INDEXED_FROM, 32), np.uint8)
    with pytest.raises(ValueError, match="exact up to 31"):
        Index(rows.view(np.uint64), INDEXED_RADIUS + 1)
    assert isinstance(search(rows, INDEXED_RADIUS + 1), Sweep)


def test_a_long_list_is_indexed_and_a_short_one_is_not() -> None:
    """A sweep over few rows is as quick, and takes no tables."""
    rows = np.zeros((INDEXED_FROM, 32), np.uint8)
    assert isinstance(search(rows, 31), Index)
    assert isinstance(search(rows[1:], 31), Sweep)


def test_a_crowd_of_like_rows_is_swept() -> None:
    """Where the index leads to most of the list, it looks at each row once, and finds the same."""
    like = around(7, 100 * CROWDED, 34)
    like[1::2] = like[::2]
    assert pairs(Index(like.view(np.uint64), 31).near(WORDS)) == near(like, 31, WORDS)


# --- known videos -----------------------------------------------------------------------------------------------------


def look(*at_s: float | None, entry: str = "film", name: str = "list") -> Look:
    """A keyframe that matches a known video at these times; None: a known still."""
    matches = Matcher([hash_list([PDQ], entries=[entry], name=name)]).match(PDQ)
    made = tuple(
        Match(**{field: getattr(matches[0], field) for field in matches[0].__struct_fields__} | {"at_s": time_s})
        for time_s in at_s
    )
    return Look(offset_s=0.0, hash=FrameHash(pdq=PDQ, quality=100), matches=made)


def videos(looks: list[Look], media_times_s: list[float], before: tuple[Sighting, ...] = ()) -> list[bool]:
    """Which looks have a match that runs along with a video."""
    _, marked = align(before, looks, media_times_s)
    return [any(match.video for match in each.matches) for each in marked]


def test_the_second_frame_in_step_with_a_known_video_says_so() -> None:
    """The first frame alone could be a picture; the next ones prove the video."""
    assert videos([look(10.0), look(12.0), look(14.1)], [100.0, 102.0, 104.0]) == [False, True, True]


def test_a_sighting_is_remembered_over_segments() -> None:
    """What one segment saw counts in the next."""
    remembered, _ = align((), [look(10.0)], [100.0])
    assert videos([look(12.0)], [102.0], remembered) == [True]


@pytest.mark.parametrize(
    ("second", "media_time_s"),
    [
        (look(10.0), 104.0),  # the same picture, four seconds later
        (look(10.0), 101.0),  # and within the tolerance
        (look(13.5), 102.0),  # the video would have run 1.5 s faster
        (look(8.0), 102.0),  # backwards
        (look(10.4), 100.4),  # next to it: one picture still
        (look(12.0, entry="other"), 102.0),
        (look(12.0, name="other"), 102.0),
        (look(None), 102.0),
        (look(), 102.0),
    ],
)
def test_a_frame_out_of_step_stays_a_lone_one(second: Look, media_time_s: float) -> None:
    """A still, a jump, a step back, the same moment, and another video are no video."""
    assert videos([look(10.0), second], [100.0, media_time_s]) == [False, False]


def test_a_loop_is_in_step_again_with_its_second_frame() -> None:
    """A looped clip is found out in every round."""
    assert videos([look(0.0), look(2.0), look(0.0), look(2.0)], [0.0, 2.0, 20.0, 22.0]) == [False, True, False, True]


def test_a_late_segment_is_in_step_too() -> None:
    """Order of arrival is not order in time."""
    assert videos([look(14.0), look(12.0)], [104.0, 102.0]) == [False, True]


def test_a_sighting_is_forgotten_after_a_minute() -> None:
    """What lies far back proves nothing, and memory is bounded."""
    first, _ = align((), [look(10.0)], [100.0])
    assert align(first, [look()], [160.0])[0] == first
    assert align(first, [look()], [161.0])[0] == ()


@given(st.lists(st.lists(st.integers(0, 20), max_size=20), max_size=20))
def test_only_the_last_sightings_are_kept(rounds: list[list[int]]) -> None:
    """However many matches a stream has, what is remembered of it is bounded; nothing else changes in a look."""
    looks = [look(*(float(at) for at in each)) for each in rounds]
    remembered, marked = align((), looks, [float(number) for number in range(len(looks))])
    everything = [at for each in rounds for at in each]
    assert [each.at_s for each in remembered] == everything[-SIGHTINGS_KEPT:]
    assert [told(each.matches) for each in marked] == [told(each.matches) for each in looks]


# --- material that nobody here made -----------------------------------------------------------------------------------


def hex_lines(path: Path) -> list[bytes]:
    """Read a file with a hash a line."""
    return [bytes.fromhex(line) for line in path.read_text().split()]


def test_every_needle_finds_what_a_brute_force_search_finds(shared_media: Path) -> None:
    """ThreatExchange's needles in its haystack, all pairs compared."""
    folder = shared_media / "pdq-lists"
    haystack, needles = hex_lines(folder / "haystack.txt"), hex_lines(folder / "needles.txt")
    made = hash_list(haystack)
    found = Matcher([made]).match_many(np.frombuffer(b"".join(needles), np.uint8).reshape(-1, 32))
    for needle, matches in zip(needles, found, strict=True):
        wanted = sorted(bits for _, _, bits in oracle([made], needle))[:MOST_MATCHES]
        assert [match.distance for match in matches] == wanted


def frames(path: Path) -> tuple[list[bytes], list[float]]:
    """Read a vPDQ reference file: hashes and their times, those of quality 50 or more."""
    rows = [line.split(",") for line in path.read_text().split()]
    good = [(bytes.fromhex(pdq), float(time_s)) for _, quality, pdq, time_s in rows if int(quality) >= 50]
    return [pdq for pdq, _ in good], [time_s for _, time_s in good]


@pytest.mark.parametrize(
    ("variant", "least"),
    [("chair-orig-22-sd-bar", 1.0), ("chair-22-sd-grey-bar", 1.0), ("chair-22-with-small-logo-bar", 0.95)],
)
def test_an_altered_copy_of_a_known_video_is_aligned(shared_media: Path, variant: str, least: float) -> None:
    """The plain clip is the list; a stream shows a variant from its third second on, a keyframe every 2 s.

    All frames of the grey copy are within 31 bits of the plain clip, and 641 of 673 of the one with a logo.
    """
    known, known_s = frames(shared_media / "known-video" / "chair-orig-22-sd-bar.txt")
    matcher = Matcher([hash_list(known, entries=["chair"] * len(known), times_s=known_s)])
    shown, shown_s = frames(shared_media / "known-video" / f"{variant}.txt")
    found = matcher.match_many(np.frombuffer(b"".join(shown), np.uint8).reshape(-1, 32))
    assert sum(bool(matches) for matches in found) >= least * len(shown)
    at = range(90, len(shown), 60)
    looks = [Look(offset_s=0.0, hash=FrameHash(pdq=shown[index], quality=100), matches=found[index]) for index in at]
    _, marked = align((), looks, [1000.0 + shown_s[index] for index in at])
    aligned = [match.video for each in marked for match in each.matches]
    assert len(aligned) >= least * len(at)
    assert aligned == [False] + [True] * (len(aligned) - 1)
