"""Reads the settings: flag > environment > TOML file > default. Every mistake is told, all at once."""

from __future__ import annotations

import re
import tomllib
from dataclasses import fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

import msgspec
from msgspec import Struct

from worker.errors import UsageError
from worker.settings import collector, exposure, link
from worker.settings.rows import PREFIX, Row, describe
from worker.settings.tree import Root, Settings
from worker.toml_lines import line_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

NOT_OURS = re.compile(
    rf"{PREFIX}TEST_.*"
    rf"|{PREFIX}.*SERVICE_.*"  # Kubernetes tells every pod of a namespace's services in such variables
    rf"|{PREFIX}(.*_)?PORT_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?"
)
SERVICE_LINK = re.compile(r"(tcp|udp|sctp)://")


class Loaded(Struct, frozen=True, kw_only=True):
    """The settings, and where each that is no default came from."""

    settings: Settings
    origins: dict[str, str]
    """``section.key`` to the flag, variable or file and line."""


class _Given(Struct, frozen=True, kw_only=True):
    """A value that somebody gave for a name, right or wrong."""

    origin: str
    value: object
    text: bool
    """It came as text, from a flag or a variable: numbers, booleans and lists are still to be read from it."""


def load(*, flags: Mapping[str, str], environ: Mapping[str, str], config: Path | None) -> Settings:
    """Return the settings; see ``read``."""
    return read(flags=flags, environ=environ, config=config).settings


def read(*, flags: Mapping[str, str], environ: Mapping[str, str], config: Path | None) -> Loaded:
    """Return the settings and where they came from.

    Args:
        flags: Flag (``--kafka.group-id``) to what stood after it.
        environ: The environment; what does not begin with ``FRAMEWATCH_`` is left alone.
        config: A TOML file.

    Raises:
        UsageError: One line for each mistake, wherever it is: what nobody knows, what has the wrong type or is out of
            range, what contradicts another setting.
    """
    rows = describe()
    mistakes: list[str] = []
    values: dict[str, object] = {}
    origins: dict[str, str] = {}
    # From weak to strong. A weak one that a stronger one overrules is a mistake all the same if it is wrong.
    for row, given in (
        *_from_file(config, rows, mistakes),
        *_from_environment(environ, rows, mistakes),
        *_from_flags(flags, rows, mistakes),
    ):
        subject = given.origin if given.text else f"{given.origin}: {row.name}"
        try:
            value = _structured(row, given)
            values[row.name] = msgspec.convert(value, row.type, strict=not given.text)
        except msgspec.MsgspecError as error:
            mistakes.append(f"{subject} must be {row.kind}{_detail(row, error)}")
        else:
            origins[row.name] = given.origin
            mistakes += [f"{subject}: {unknown}" for unknown in _unknown_keys(value)]
    settings = _built(rows, values)
    mistakes += _contradictions(settings)
    if mistakes:
        raise UsageError("\n".join(mistakes))
    return Loaded(settings=settings, origins=origins)


def _from_flags(flags: Mapping[str, str], rows: tuple[Row, ...], mistakes: list[str]) -> Iterator[tuple[Row, _Given]]:
    known = {row.flag: row for row in rows}
    for flag, text in flags.items():
        if flag in known:
            yield known[flag], _Given(origin=flag, value=text, text=True)
        else:
            mistakes.append(f"{flag}: no such setting{_near(flag, known)}")


def _from_environment(
    environ: Mapping[str, str], rows: tuple[Row, ...], mistakes: list[str]
) -> Iterator[tuple[Row, _Given]]:
    known = {row.variable: row for row in rows}
    for variable, text in sorted(environ.items()):
        if not variable.startswith(PREFIX) or NOT_OURS.fullmatch(variable):
            continue
        if "PORT" in variable and SERVICE_LINK.match(text):
            continue
        if variable in known:
            yield known[variable], _Given(origin=variable, value=text, text=True)
        else:
            mistakes.append(f"{variable}: no such setting{_near(variable, known, prefix=PREFIX)}")


def _from_file(config: Path | None, rows: tuple[Row, ...], mistakes: list[str]) -> Iterator[tuple[Row, _Given]]:
    if config is None:
        return
    try:
        text = config.read_text(encoding="utf-8")
        tables = tomllib.loads(text)
    except OSError as error:
        mistakes.append(f"{config}: can't be read: {error.strerror}")
        return
    except ValueError as error:  # TOML that is none, bytes that are no UTF-8
        mistakes.append(f"{config}: is no TOML: {error}")
        return
    lines = line_numbers(text)
    known = {row.name: row for row in rows}
    sections = {row.section for row in rows}
    for path, value in _leaves(tables, sections):
        name, origin = ".".join(path), f"{config}:{lines.get(path, 1)}"
        if name in known:
            yield known[name], _Given(origin=origin, value=value, text=False)
        else:
            mistakes.append(f"{origin}: {name}: no such setting{_near(name, [*known, *sections])}")


def _leaves(tables: Mapping[str, Any], sections: set[str]) -> Iterator[tuple[tuple[str, ...], object]]:
    """What stands under each key of a known section, and whatever else there is."""
    for section, content in tables.items():
        if section in sections and isinstance(content, dict):
            for key, value in content.items():
                yield (section, key), value
        else:
            yield (section,), content


def _unknown_keys(value: object) -> list[str]:
    """What a root's table holds that no root knows; msgspec would pass over it."""
    if not isinstance(value, list):
        return []
    known = [one.name for one in fields(Root)]
    unknown = [key for item in value if isinstance(item, dict) for key in item if key not in known]
    return [f"a table has no key {key}{_near(key, known)}" for key in unknown]


def _structured(row: Row, given: _Given) -> object:
    """The value as TOML would have it; numbers and booleans may still be texts."""
    if given.text and isinstance(given.value, str) and isinstance(row.default, tuple):
        return _list(given.value)
    return given.value


def _list(text: str) -> object:
    """A list in one text: JSON, or texts separated by commas."""
    if text.lstrip().startswith("["):
        return msgspec.json.decode(text)
    return [item.strip() for item in text.split(",") if item.strip()]


def _detail(row: Row, error: msgspec.MsgspecError) -> str:
    """Where in a list it is wrong. Of other types the kind says all; no value is repeated, who knows what is in it."""
    return f" ({error})" if isinstance(row.default, tuple) else ""


def _near(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """What was meant, perhaps. A prefix that all have makes nothing similar."""
    bare = name.removeprefix(prefix)
    near = get_close_matches(bare, [one.removeprefix(prefix) for one in known], n=1, cutoff=0.75)
    return f"; did you mean {prefix}{near[0]}?" if near else ""


def _built(rows: tuple[Row, ...], values: Mapping[str, object]) -> Settings:
    """The tree with these values; they are converted already, and what is missing is the default."""
    sections: dict[str, dict[str, object]] = {}
    for row in rows:
        if row.name in values:
            sections.setdefault(row.section, {})[row.key] = values[row.name]
    default = Settings()
    kinds = {name: type(getattr(default, name)) for name in sections}
    return Settings(**{name: kinds[name](**given) for name, given in sections.items()})


def _contradictions(settings: Settings) -> Iterator[str]:
    """What is right by itself and wrong together."""
    if settings.intake.drain_s >= settings.kafka.rebalance_timeout_s:
        yield "intake.drain_s must be below kafka.rebalance_timeout_s: who drains longer is thrown out of the group"
    if settings.kafka.session_timeout_s > settings.kafka.rebalance_timeout_s:
        yield "kafka.session_timeout_s must not be above kafka.rebalance_timeout_s"
    if 0 < settings.overload.lateness_s <= settings.overload.first_keyframe_s:
        yield "overload.first_keyframe_s must be below overload.lateness_s: what is older than that is shed"
    yield from link.mistakes(settings.kafka)
    yield from exposure.mistakes(settings.web)
    yield from collector.mistakes(settings.telemetry)
    topics = settings.topics
    names = [topics.segments, topics.escalations, topics.dead_letters, topics.risk, topics.assessments]
    for name in sorted({name for name in names if name and names.count(name) > 1}):
        yield f"topics.*: {name} is named twice; every topic needs a name of its own"
