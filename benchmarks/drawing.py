"""Plots as SVG files: the same bytes from the same figures. The one place that knows matplotlib."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STYLE = {
    "svg.hashsalt": "framewatch",  # else ids are random
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "figure.facecolor": "white",  # reads on a dark page too
    "legend.frameon": False,
}


def plot(title: str, x: str, y: str, *, width: float = 7.2, height: float = 3.6) -> tuple[Figure, Axes]:
    """Return an empty plot with its axes named; inches."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        axes.set(title=title, xlabel=x, ylabel=y)
    return figure, axes


def svg(figure: Figure) -> bytes:
    """Return a plot as an SVG file."""
    written = io.BytesIO()
    with mpl.rc_context(STYLE):
        figure.savefig(written, format="svg", metadata={"Date": None, "Creator": "Framewatch's benchmarks"})
    # matplotlib leaves blanks at the ends of lines.
    return b"\n".join(line.rstrip() for line in written.getvalue().splitlines()) + b"\n"
