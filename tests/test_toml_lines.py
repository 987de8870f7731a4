"""Where the keys of a TOML text stand."""

from __future__ import annotations

import time

from worker.toml_lines import line_numbers, line_of

TEXT = """\
name = "x"  # [not a table]

[input]
size = [
  4, 4,
]
"odd = key" = 1
[calibration."a.b"] # a comment
slope = 1
other.deep = 2
"""


def test_keys_and_tables_are_found_with_quotes_dots_and_comments() -> None:
    """Each key is found at its own line under its whole path."""
    lines = line_numbers(TEXT)
    assert lines[("name",)] == 1
    assert lines[("input",)] == 3
    assert lines[("input", "size")] == 4
    assert lines[("input", "odd = key")] == 7
    assert lines[("calibration", "a.b", "slope")] == 9
    assert lines[("calibration", "a.b", "other", "deep")] == 10


def test_a_missing_key_is_told_at_its_table() -> None:
    """What is missing can only be added to its table, so that is its line; a missing top-level key has none."""
    lines = line_numbers(TEXT)
    assert line_of(("input", "fit"), lines) == 3
    assert line_of(("version",), lines) is None


def test_a_statement_of_very_many_lines_takes_no_time() -> None:
    """It would be read again with each of its lines; what stands before it has its line all the same."""
    text = "first = 1\nlong = [\n" + "1,\n" * 50_000 + "]\nlast = 1\n"
    began = time.process_time()
    lines = line_numbers(text)
    assert time.process_time() - began < 5.0
    assert lines["first",] == 1
