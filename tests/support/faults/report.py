"""What the fault suite publishes: a row of docs/reliability.md for each test, with what was measured."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reliability.md"
BEGIN, END = "<!-- begin faults -->\n", "<!-- end faults -->\n"
HEAD = "| fault | result | measured | took | date | test |\n| --- | --- | --- | --- | --- | --- |\n"


@dataclass(frozen=True)
class Scale:
    """How many: ``full`` counts for ``make faults``, short ones for ``make test``."""

    full: bool

    def pick(self, *, short: int, full: int) -> int:
        """The count that holds at this scale."""
        return full if self.full else short


def scale() -> Scale:
    """The scale that the environment asks for."""
    return Scale(full=os.environ.get("FRAMEWATCH_TEST_FAULTS") == "full")


def is_written() -> bool:
    """Whether the page is to be written."""
    return scale().full and os.environ.get("FRAMEWATCH_TEST_WRITE_DOCS") == "1"


class Measured:
    """What one test has measured: ``measured("longest stall", 3.2, "s")``."""

    def __init__(self) -> None:
        self.figures: list[str] = []

    def __call__(self, what: str, value: float, unit: str = "") -> None:
        """Note one figure."""
        figure = f"{value:,}" if isinstance(value, int) else f"{value:,.3g}" if abs(value) < 100 else f"{value:,.0f}"
        self.figures.append(f"{what} {figure} {unit}".rstrip())


@dataclass(frozen=True)
class Row:
    """One test's row."""

    test: str
    """Its id from the root, as pytest takes it."""
    fault: str
    result: str
    took_s: float
    figures: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        day = datetime.now(UTC).date().isoformat()
        cells = [self.fault, self.result, "; ".join(self.figures), f"{self.took_s:.0f} s", day, f"`{self.test}`"]
        return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def sentence(docstring: str | None, parameters: str = "") -> str:
    """The row's words: a test's docstring on one line, and which of its cases."""
    words = " ".join((docstring or "").split())
    return f"{words} ({parameters})" if parameters else words


def write(rows: list[Row], page: Path = PAGE, root: Path = ROOT) -> None:
    """Put rows in the page's table: a test's new row takes its old one's place; those of tests that are gone go."""
    before, _, rest = page.read_text().partition(BEGIN)
    found, _, after = rest.partition(END)
    lines = {test: line for line in found.splitlines() if (test := _test_of(line)) and _is_there(test, root)}
    lines |= {row.test: str(row) for row in rows}
    table = "".join(f"{lines[test]}\n" for test in sorted(lines))
    page.write_text(f"{before}{BEGIN}\n{HEAD}{table}\n{END}{after}")


def _test_of(line: str) -> str | None:
    found = re.search(r"`(tests/[^`]+)` \|$", line)
    return found[1] if found else None


def _is_there(test: str, root: Path) -> bool:
    file, _, name = test.partition("::")
    path = root / file
    return path.exists() and f"def {name.partition('[')[0]}(" in path.read_text()
