"""``framewatch inspect``: what the worker sees in a file."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

import msgspec
from rich.table import Table
from rich.text import Text

from worker.commands.terminal import safe
from worker.errors import Stopped, UsageError
from worker.inspection import Seen, SeenKeyframe, inspector, read_media
from worker.jail.slot import INIT_MAX_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from rich.console import Console

    from worker.records import Score
    from worker.settings.tree import Settings

WIDE = 140
"""Columns from which on a hash is shown whole."""
STEPS = {
    "open": "open, read the packets (CPU)",
    "decode": "decode keyframes (CPU)",
    "hash": "PDQ (CPU)",
    "resize": "scale for the classifier (CPU)",
    "jail": "the four above, through the jail",
    "match": "match hash lists",
    "score": "score",
}


def inspect(settings: Settings, path: Path, *, init: Path | None, plan: bool) -> Seen:
    """Look at a file as the worker would.

    Raises:
        Stopped: Nothing can be seen in it.
        UsageError: The initialisation, the model folder or a list is wrong.
    """
    data = read_media(path, settings.fetch.max_bytes)
    initialisation = None if init is None else _initialisation(init)
    try:
        return asyncio.run(_inspect(settings, data, initialisation, plan=plan))
    except Stopped as error:
        raise Stopped(f"{path}: {error}") from error


async def _inspect(settings: Settings, data: bytes, init: bytes | None, *, plan: bool) -> Seen:
    async with inspector(settings, plan=plan) as looking:
        return await looking.inspect(data, init)


def _initialisation(path: Path) -> bytes:
    try:
        return read_media(path, INIT_MAX_BYTES)
    except Stopped as error:
        raise UsageError(f"--init {error}") from error


def write_json(seen: Seen) -> None:
    """Write a line a keyframe to standard output."""
    for line in lines(seen):
        sys.stdout.write(line + "\n")


def lines(seen: Seen) -> Iterator[str]:
    """Return a JSON object for each keyframe, as the contract has them."""
    return (msgspec.json.encode(keyframe).decode() for keyframe in seen.keyframes)


def show(seen: Seen, console: Console) -> None:
    """Write it for a person."""
    duration = "unknown length" if seen.duration_s is None else f"{seen.duration_s:.2f} s"
    damaged = ", damaged after its first whole keyframe" if seen.damaged else ""
    left = seen.keyframes_seen - len(seen.keyframes)
    more = f" ({left} not looked at)" if left else ""
    console.print(f"{seen.container}, {seen.codec}, {duration}, {seen.keyframes_seen} keyframes{more}{damaged}")
    console.print(_keyframes(seen, digits=64 if console.width >= WIDE else 16))
    console.print(_costs(seen))


def _keyframes(seen: Seen, *, digits: int) -> Table:
    table = Table(title="Keyframes", title_justify="left")
    for name in ("time s", "size", "quality"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("PDQ", no_wrap=True)
    for name in ("scores", "matches"):
        table.add_column(name, overflow="fold")
    for keyframe in seen.keyframes:
        table.add_row(
            f"{keyframe.media_time_s:.3f}",
            f"{keyframe.width}x{keyframe.height}",
            str(keyframe.quality),
            _shortened(keyframe.pdq, digits),
            Text(_scores(keyframe.scores)),  # not markup: labels and entries are somebody else's text
            Text(_matches(keyframe)),
        )
    return table


def _shortened(pdq: str | None, digits: int) -> str:
    if pdq is None:
        return "none"
    return pdq if len(pdq) <= digits else f"{pdq[:digits]}…"


def _scores(scores: dict[str, Score] | None) -> str:
    return "\n".join(f"{safe(label)} {_score(score)}" for label, score in (scores or {}).items()) or "-"


def _score(score: Score) -> str:
    """The probability, and where calibration made another number of it, the score that it was made of."""
    raw, calibrated = f"{score.score:.3f}", f"{score.probability:.3f}"
    return calibrated if raw == calibrated else f"{calibrated} (score {raw})"


def _matches(keyframe: SeenKeyframe) -> str:
    return "\n".join(f"{safe(m.list)}: {safe(m.entry)}, {m.distance} bits" for m in keyframe.matches) or "-"


def _costs(seen: Seen) -> Table:
    table = Table("step", "ms", "ms a keyframe", title="What it cost", title_justify="left")
    for step, seconds in seen.costs_s.items():
        ms = seconds * 1000
        table.add_row(STEPS[step], f"{ms:.1f}", f"{ms / len(seen.keyframes):.1f}")
    return table
