"""Figures as people read them: Markdown that reads on a terminal too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from benchmarks.figures import Figure
    from benchmarks.part import Check


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a Markdown table, its columns aligned."""
    cells = [list(head), *([*row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    rule = ["-" * max(3, width) for width in widths]
    return "\n".join(
        "| " + " | ".join(cell.ljust(max(3, width)) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in [cells[0], rule, *cells[1:]]
    )


def spread(figure: Figure) -> str:
    """Return a median with its spread, to as many places as it has sense to tell."""
    places = 1 if figure.median >= 10 else 2 if figure.median >= 0.1 else 3
    return f"{figure.median:.{places}f} ±{figure.mad:.{places}f}"


def bounds(checks: Iterable[Check]) -> str:
    """Return every bound with what was measured."""
    return table(("", "measured", "bound", "", "why"), map(_check, checks))


def _check(check: Check) -> tuple[str, ...]:
    bound, unit = check.bound, f" {check.bound.unit}".rstrip()
    measured = "not measured" if check.measured is None else f"{check.measured:.3g}{unit}"
    verdict = "**missed**" if check.breached else "" if check.measured is None else "holds"
    return bound.value, measured, f"{bound.side} {bound.limit:g}{unit}", verdict, bound.why
