"""Links made from the operator's templates. Pure."""

from __future__ import annotations

from string import Formatter
from typing import TYPE_CHECKING
from urllib.parse import quote

from worker.errors import UsageError
from worker.records import Links

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from worker.settings.tree import LinkTemplates

PLACEHOLDERS = frozenset({"stream_id", "account", "tenant", "sequence", "media_time_s", "wall_time", "incident_id"})
"""What a template may ask for."""
NAMES = ("watch", "clip", "account")


def check_links(templates: LinkTemplates) -> None:
    """Raise UsageError with a line for each template that can't be filled in."""
    mistakes = [
        f"links.{name}: {mistake}" for name in NAMES if (mistake := _mistake(getattr(templates, name))) is not None
    ]
    if mistakes:
        raise UsageError("\n".join(mistakes))


def links(templates: LinkTemplates, values: Mapping[str, str | None]) -> Links:
    """Return the links; one without a template, or whose template asks for what is not known, is None."""
    return Links(
        watch=_link(templates.watch, values),
        clip=_link(templates.clip, values),
        account=_link(templates.account, values),
    )


def _link(template: str, values: Mapping[str, str | None]) -> str | None:
    parts = list(_parts(template))
    if not template or any(name is not None and values.get(name) is None for _, name in parts):
        return None
    return "".join(text + quote((values[name] or "") if name else "", safe="") for text, name in parts)


def _parts(template: str) -> Iterator[tuple[str, str | None]]:
    """Yield the template as pieces of text, each with the name of the placeholder after it.

    Names are only looked up, never evaluated: ``{a.b}``, ``{a[0]}``, ``{a!r}`` and ``{a:>9}`` are mistakes.

    Raises:
        ValueError: It is no template.
    """
    for text, name, spec, conversion in Formatter().parse(template):
        if name is not None and (name not in PLACEHOLDERS or spec or conversion):
            written = name + (f"!{conversion}" if conversion else "") + (f":{spec}" if spec else "")
            raise ValueError(f"{{{written}}} is no placeholder; there are {', '.join(sorted(PLACEHOLDERS))}")
        yield text, name


def _mistake(template: str) -> str | None:
    try:
        list(_parts(template))
    except ValueError as error:
        return str(error)
    return None
