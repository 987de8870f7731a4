"""Hash lists are read whole, and their mistakes are told all at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.errors import UsageError
from worker.lists import BARE_FILE, Limits, read_list, read_lists
from worker.lists.mistakes import MOST_TOLD

if TYPE_CHECKING:
    from pathlib import Path

HEAD = 'name = "national"\nversion = "2026-11-01"\nkind = "review"\n'
A, B, C = "0a" * 32, "1b" * 32, "2c" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A list's folder with nothing but its list.toml."""
    (tmp_path / "list.toml").write_text(HEAD)
    return tmp_path


def told(path: Path, **how: Limits) -> list[str]:
    """Return the lines of the UsageError that reading ``path`` raises."""
    with pytest.raises(UsageError) as caught:
        read_list(path, **how)
    return str(caught.value).split("\n")


def test_a_folder_is_read_with_everything_that_its_head_says(folder: Path) -> None:
    """Each field of list.toml arrives in the record."""
    (folder / "list.toml").write_text(
        HEAD + 'algorithm = "pdq"\nradius = 12\nseverity = "critical"\nsource = "a friend"\n'
    )
    (folder / "a.txt").write_text(f"{A}\n{B}\n")
    found = read_list(folder)
    assert (found.name, found.version, found.algorithm, found.radius) == ("national", "2026-11-01", "pdq", 12)
    assert (found.kind, found.severity, found.source, found.ignored) == ("review", "critical", "a friend", 0)
    assert found.hashes.tobytes() == bytes.fromhex(A + B)
    assert (found.hashes.shape, found.hashes.dtype) == ((2, 32), np.uint8)


def test_all_text_and_csv_files_beside_the_head_belong_to_the_list(folder: Path) -> None:
    """Files are taken in the order of their names; other files and hidden ones are left alone."""
    (folder / "b.csv").write_text(f"hash\n{B}\n")
    (folder / "a.txt").write_text(f"{A}\n")
    (folder / "README.md").write_text("about")
    (folder / ".hidden.txt").write_text("not a hash")
    found = read_list(folder)
    assert [file.stem for file in found.files] == ["a", "b"]
    assert found.hashes.tobytes() == bytes.fromhex(A + B)


@pytest.mark.parametrize(("kind", "severity"), [("block", "critical"), ("review", "high"), ("allow", "low")])
def test_a_severity_that_is_not_told_follows_from_the_kind(folder: Path, kind: str, severity: str) -> None:
    """Each kind has a severity of its own."""
    (folder / "list.toml").write_text(HEAD.replace("review", kind))
    (folder / "a.txt").write_text(A)
    assert read_list(folder).severity == severity


def test_a_bare_file_is_a_blocking_list_called_like_the_file(tmp_path: Path) -> None:
    """A miss that nobody hears of is worse than one look too many."""
    path = tmp_path / "given.txt"
    path.write_text(A)
    found = read_list(path)
    assert (found.name, found.kind, found.severity) == ("given", *BARE_FILE)
    assert (BARE_FILE, found.radius) == (("block", "high"), 31)
    assert found.version == found.sha256[:12]


def test_the_digest_changes_with_any_byte_and_with_a_files_name(folder: Path) -> None:
    """Two lists that differ never look the same in an audit."""
    path = folder / "a.txt"
    path.write_text(f"{A}\n")
    first = read_list(folder).sha256
    path.write_text(f"{A}\n\n")
    second = read_list(folder).sha256
    path.rename(folder / "b.txt")
    assert len({first, second, read_list(folder).sha256}) == 3


@given(st.lists(st.binary(min_size=32, max_size=32), min_size=1), st.sampled_from(["\n", "\r\n", "\n\n"]))
def test_any_hashes_come_back_as_they_were_written(
    tmp_path_factory: pytest.TempPathFactory, hashes: list[bytes], end: str
) -> None:
    """Line ends, blank lines, case and duplicates change nothing."""
    path = tmp_path_factory.mktemp("list") / "a.txt"
    digits = [each.hex().upper() if number % 2 else each.hex() for number, each in enumerate(hashes)]
    path.write_text(end.join(digits), newline="")
    found = read_list(path)
    assert found.hashes.tobytes() == b"".join(hashes)
    step = 2 if end == "\n\n" else 1
    assert found.files[0].lines.tolist() == [1 + step * number for number in range(len(hashes))]


def test_the_columns_of_a_csv_arrive_in_any_order(folder: Path) -> None:
    """A missing entry is the file's stem and the line, a missing category is None."""
    (folder / "a.csv").write_text(f'\ufeffcategory,entry,hash\ncard,first,{A}\n,,{B}\n"a, b",third,{C}\n')
    file = read_list(folder).files[0]
    assert file.entries == ("first", "a:3", "third")
    assert file.categories == ("card", None, "a, b")
    assert file.times_s is None


def test_hashes_of_low_quality_are_left_out_and_counted(folder: Path) -> None:
    """Below 50 a hash says nothing about its picture."""
    (folder / "a.csv").write_text(f"hash,quality,entry\n{A},49,x\n{B},50,y\n{C},100,z\n")
    found = read_list(folder)
    assert (found.hashes.tobytes(), found.ignored) == (bytes.fromhex(B + C), 1)
    assert found.files[0].entries == ("y", "z")
    assert found.files[0].lines.tolist() == [3, 4]


def test_a_file_with_times_describes_known_videos(folder: Path) -> None:
    """Rows of one entry are its frames; without entries the file is one video."""
    (folder / "a.csv").write_text(f"hash,time_s,entry\n{A},0,x\n{B},0.5,y\n{C},2.5,x\n")
    (folder / "film.csv").write_text(f"hash,time_s\n{A},0\n{B},0.5\n")
    first, second = read_list(folder).files
    assert first.times_s is not None
    assert (first.entries, first.times_s.tolist()) == (("x", "y", "x"), [0.0, 0.5, 2.5])
    assert second.entries == ("film", "film")


def test_a_csv_longer_than_a_block_keeps_its_rows_together(folder: Path) -> None:
    """Reading in blocks shows nowhere: neither in the order of time nor in the rows."""
    rows = 5000
    hashes = np.random.default_rng(7).integers(0, 256, (rows, 32), dtype=np.uint8)
    lines = "".join(f"{bytes(row).hex()},{number / 10}\n" for number, row in enumerate(hashes))
    (folder / "a.csv").write_text("hash,time_s\n" + lines)
    found = read_list(folder)
    assert np.array_equal(found.hashes, hashes)
    assert found.files[0].lines.tolist() == list(range(2, rows + 2))
    (folder / "a.csv").write_text("hash,time_s\n" + lines + f"{A},0\n")
    assert told(folder) == [
        f"{folder / 'a.csv'}:{rows + 2}: time_s goes back: the rows of an entry are in order of time"
    ]


MISTAKES_IN_HEAD = [
    ('version = "1"\nkind = "block"\n', "list.toml: name is missing"),
    (HEAD + 'colour = "red"\n', "list.toml:4: colour is not known"),
    (HEAD + "radius = 65\n", "list.toml:4: radius must be a whole number of bits from 0 to 64"),
    (HEAD + "radius = true\n", "list.toml:4: radius must be a whole number"),
    (HEAD.replace('"2026-11-01"', "2026-11-01"), "list.toml:2: version must be a string in quotes"),
    (HEAD.replace("review", "deny"), 'list.toml:3: kind must be one of "block", "review", "allow"'),
    (HEAD + 'algorithm = "md5"\n', 'list.toml:4: algorithm must be one of "pdq"'),
    (HEAD + 'severity = "very"\n', "list.toml:4: severity must be one of"),
    (HEAD + "radius =\n", "list.toml:4: is not TOML"),
    (HEAD + f"radius = {'9' * 5000}\n", "is not TOML"),
    (HEAD + "radius = " + "[" * 5000, "is not TOML"),
    (HEAD + ".".join("a" * 10_000) + " = 1", "list.toml: is larger than 16384 bytes"),
]


@pytest.mark.parametrize(("head", "mistake"), MISTAKES_IN_HEAD)
def test_a_mistake_in_the_head_is_told_with_its_line(folder: Path, head: str, mistake: str) -> None:
    """The operator is led to the line to change."""
    (folder / "list.toml").write_text(head)
    (folder / "a.txt").write_text(A)
    assert len(told(folder)) == 1
    assert mistake in told(folder)[0]


MISTAKES_IN_ROWS = [
    ("a.txt", f"{A}\n{B}z\n", ":2: the hash must be 64 hex digits; these are 65 characters"),
    ("a.txt", f"{A}\n{'g' * 64}\n", ":2: the hash must be 64 hex digits"),
    ("a.txt", f"{A}\n{'é' * 64}\n", ":2: the hash must be 64 hex digits"),
    ("a.txt", "\n\n", ": holds no hash"),
    ("a.csv", f"{A}\n", ":1: the first line must be a header with the column hash"),
    ("a.csv", "", ":1: the first line must be a header with the column hash"),
    ("a.csv", f"hash,{B}\n{A},1\n", ":1: column 2 is not known"),
    ("a.csv", f"hash,time\n{A},1\n", ":1: time is not known; known are hash, quality, category, entry, time_s"),
    ("a.csv", f"hash,hash\n{A},{B}\n", ":1: a column is there twice"),
    ("a.csv", f"hash,entry\n{A},x,y\n", ":2: has 3 columns, the header has 2"),
    ("a.csv", f"hash,quality\n{A},good\n", ":2: quality must be a number from 0 to 100"),
    ("a.csv", f"hash,quality\n{A},101\n", ":2: quality must be a number from 0 to 100"),
    ("a.csv", f"hash,time_s\n{A},nan\n", ":2: time_s must be a number"),
    ("a.csv", f"hash,time_s\n{A},\n", ":2: time_s must be a number"),
    ("a.csv", f"hash,time_s\n{A},2\n{B},1\n", ":3: time_s goes back"),
    ("a.csv", f"hash,entry\n{A},{A}\n", ":2: entry must not be a hash"),
    ("a.csv", f"hash,category\n{A},{'x' * 257}\n", ":2: category must be at most 256 printable characters"),
    ("a.csv", f'hash\n{A}\n"{B}" \n', ":3: is not CSV"),
    ("a.csv", f"hash,quality\n{A},10\n", ": holds no hash of quality 50 or more (1 below)"),
]


@pytest.mark.parametrize(("name", "text", "mistake"), MISTAKES_IN_ROWS)
def test_a_mistake_in_a_row_is_told_with_its_line_and_without_the_hash(
    folder: Path, name: str, text: str, mistake: str
) -> None:
    """No error text holds a hash: it would end in logs."""
    (folder / name).write_text(text)
    lines = told(folder)
    assert len(lines) == 1
    assert mistake in lines[0]
    assert not any(each in lines[0] for each in (A, B, "g" * 64))


def test_a_file_that_is_not_utf_8_is_told_with_its_line(folder: Path) -> None:
    """Latin-1 and UTF-16 exports happen."""
    (folder / "a.txt").write_bytes(f"{A}\n".encode() + b"\xff\xfe\n")
    (folder / "list.toml").write_bytes(HEAD.encode() + b"source = '\xe9'\n")
    assert told(folder) == [f"{folder / 'list.toml'}:4: is not UTF-8", f"{folder / 'a.txt'}:2: is not UTF-8"]


def test_all_mistakes_of_all_lists_are_told_together(tmp_path: Path) -> None:
    """One start of the worker shows them all."""
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "list.toml").write_text('name = ""\nversion = "1"\nkind = "no"\n')
        (tmp_path / name / "a.txt").write_text("no hash\n")
    with pytest.raises(UsageError) as caught:
        read_lists([tmp_path / "one", tmp_path / "two", tmp_path / "three.txt", tmp_path])
    lines = str(caught.value).split("\n")
    assert len(lines) == 8
    assert lines[6] == f"{tmp_path / 'three.txt'}: is not there"
    assert lines[7] == f"{tmp_path}: has no list.toml"


def test_endless_mistakes_are_counted_and_only_the_first_told(folder: Path) -> None:
    """A file of something else doesn't flood the terminal."""
    (folder / "a.txt").write_text("nonsense\n" * 1000)
    lines = told(folder)
    assert len(lines) == MOST_TOLD + 1
    assert lines[-1] == "and 980 more"


def test_two_lists_of_one_name_are_a_mistake(tmp_path: Path) -> None:
    """A match names its list: the name must say which."""
    (tmp_path / "x").mkdir()
    for path in (tmp_path / "a.txt", tmp_path / "x" / "a.txt"):
        path.write_text(A)
    with pytest.raises(UsageError, match="another list is called a too"):
        read_lists([tmp_path / "a.txt", tmp_path / "x" / "a.txt"])


def test_a_list_beyond_the_limits_is_refused(folder: Path) -> None:
    """A list is held in memory: one that is too large is told, not tried."""
    (folder / "a.txt").write_text(f"{A}\n{B}\n")
    assert told(folder, limits=Limits(rows=1)) == [f"{folder}: has 2 rows; at most 1 are read"]
    assert told(folder, limits=Limits(file_bytes=129))[0].endswith("is 130 bytes large; at most 129 are read")


def test_what_is_no_list_at_all_is_told(folder: Path) -> None:
    """A folder without files, and a file of another kind."""
    assert told(folder) == [f"{folder}: has no *.txt or *.csv beside list.toml"]
    (folder / "hashes.json").write_text("[]")
    assert told(folder / "hashes.json")[0].endswith("a hash list is a folder with list.toml, or one .txt or .csv file")
