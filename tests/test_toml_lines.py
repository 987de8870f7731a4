"""Where the keys of a TOML text stand."""

from __future__ import annotations

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
