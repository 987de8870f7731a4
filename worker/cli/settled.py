"""Gives a command the settings: a flag for each, read together with the environment and the file."""

from __future__ import annotations

import os
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Concatenate, ParamSpec, TypeVar, get_type_hints

import cyclopts

from worker.settings.load import Loaded, read
from worker.settings.rows import Row, describe, sections

if TYPE_CHECKING:
    from collections.abc import Callable

P = ParamSpec("P")
R = TypeVar("R")

FILE = cyclopts.Group("Settings", sort_key=0)
Config = Annotated[
    Path | None,
    cyclopts.Parameter(name="--config", group=FILE, help="TOML file with settings.", negative=()),
]


def settled(*wanted: str) -> Callable[[Callable[Concatenate[Loaded, P], R]], Callable[..., R]]:
    """Give a command the settings as its first argument, and its command line the flags of some sections.

    Settings of the other sections come from the environment and the file all the same, and are checked as well.

    Args:
        wanted: Sections whose settings are flags; all where none is named.
    """

    def settle(command: Callable[Concatenate[Loaded, P], R]) -> Callable[..., R]:
        rows = [row for row in describe() if not wanted or row.section in wanted]

        def call(*arguments: Any, config: Path | None = None, **others: Any) -> R:
            flags = {row.flag: text for row in rows if (text := others.pop(_parameter_name(row), None)) is not None}
            loaded = read(flags=flags, environ=os.environ, config=config)
            return command(loaded, *arguments, **others)

        parameters = [*_own_parameters(command), Parameter("config", Parameter.KEYWORD_ONLY, annotation=Config)]
        parameters[-1] = parameters[-1].replace(default=None)
        groups = _groups()
        parameters += [_flag(row, groups[row.section]) for row in rows]
        call.__doc__, call.__name__ = command.__doc__, command.__name__
        call.__signature__ = Signature(parameters)  # type: ignore[attr-defined] # what inspect.signature looks for
        call.__annotations__ = {one.name: one.annotation for one in parameters}
        return call

    return settle


def _own_parameters(command: Callable[..., Any]) -> list[Parameter]:
    """A command's parameters after the settings, their annotations resolved."""
    hints = get_type_hints(command, include_extras=True)
    _, *own = signature(command).parameters.values()
    return [one.replace(annotation=hints[one.name]) for one in own]


def _groups() -> dict[str, cyclopts.Group]:
    """A group of the help for each section, in their order."""
    named = enumerate(sections().items(), start=1)
    return {section: cyclopts.Group(f"{section}: {meaning}", sort_key=at) for at, (section, meaning) in named}


def _flag(row: Row, group: cyclopts.Group) -> Parameter:
    """A setting as a parameter: always text, since the loader converts and tells all mistakes at once."""
    told = cyclopts.Parameter(
        name=row.flag,
        help=row.meaning,
        group=group,
        show_default=_telling(row.shown_default),
        allow_leading_hyphen=True,
    )
    return Parameter(_parameter_name(row), Parameter.KEYWORD_ONLY, default=None, annotation=Annotated[str | None, told])


def _telling(default: str) -> Callable[[Any], str] | bool:
    return (lambda _: default) if default else False


def _parameter_name(row: Row) -> str:
    return row.name.replace(".", "__")
