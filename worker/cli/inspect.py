"""``framewatch inspect``."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path  # noqa: TC003 - the annotation is resolved when the command line is built
from typing import Annotated

from cyclopts import Parameter
from rich.console import Console

from worker.cli.settled import settled
from worker.commands import inspect as command
from worker.settings.load import Loaded  # noqa: TC001 - the annotation is resolved when the command line is built
from worker.settings.tree import Matching, Settings


@settled("scoring", "matching", "sampling", "jail", "fetch")
def inspect(  # noqa: D417 - the settings are no argument of the command line
    loaded: Loaded,
    file: Path,
    /,
    *,
    init: Path | None = None,
    model: str | None = None,
    lists: Annotated[tuple[str, ...], Parameter(name="--list", negative=())] = (),
    plan: Annotated[bool, Parameter(negative="--every-keyframe")] = False,
    json: Annotated[bool, Parameter(negative=())] = False,
) -> None:
    """Show what the worker sees in a file: its keyframes with PDQ, scores and matches, and what each step costs.

    The file goes the way of a segment, through the locked-up decoder. Nothing is sent anywhere. Without a model nothing
    is scored, without a list nothing is matched. Ends with status 1 when nothing can be read.

    Args:
        file: A segment or a short video; MPEG-TS, MP4, WebM or Matroska.
        init: The CMAF initialisation segment that serves it.
        model: Model folder; goes before scoring.model.
        lists: Hash list, a folder or a file; may be given several times, and goes before matching.lists.
        plan: Take only the keyframes that the worker's sampling plan takes; by default every one is looked at.
        json: A JSON object a line for each keyframe, for programs.
    """
    seen = command.inspect(_with(loaded.settings, model, lists), file, init=init, plan=plan)
    if json:
        command.write_json(seen)
    else:
        command.show(seen, Console())


def _with(settings: Settings, model: str | None, lists: tuple[str, ...]) -> Settings:
    if model is not None:
        settings = replace(settings, scoring=replace(settings.scoring, model=model))
    return replace(settings, matching=Matching(lists=lists)) if lists else settings
