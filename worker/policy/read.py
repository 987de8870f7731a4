"""The operator's policy file to a Policy: checked whole, every mistake with its line."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from worker.errors import UsageError
from worker.policy import keys
from worker.policy.keys import SEVERITIES, Keys, short, suggestion
from worker.policy.records import (
    EVERY_OTHER,
    EffectivePolicy,
    LabelRule,
    ListRule,
    Policy,
    RiskRule,
    SeverityRule,
    TenantPolicy,
)
from worker.records import ListKind, PolicyRef, Severity
from worker.toml_lines import KeyPath, line_numbers

Table = dict[str, Any]
"""One table's keys and their checked values."""

MAX_BYTES = 1024 * 1024

_SEVERITIES: dict[Severity, Table] = {
    "critical": {"respond_within_s": 300.0, "action": "stop"},
    "high": {"respond_within_s": 900.0, "action": "limit"},
    "medium": {"respond_within_s": 3600.0, "action": "warn"},
    "low": {"respond_within_s": 14400.0, "action": "none"},
}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Tables:
    """The tables of one scope: of everybody, or of one glob of tenants."""

    risk: Table = field(default_factory=dict)
    labels: dict[str, Table] = field(default_factory=dict)
    lists: dict[str, Table] = field(default_factory=dict)
    severity: dict[str, Table] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What a policy may speak of; None where that is not known."""

    labels: Collection[str] | None
    harmless: Collection[str]
    lists: Mapping[str, ListKind] | None


@dataclass(slots=True, kw_only=True)
class _Mistakes:
    """All mistakes of one file."""

    file: Path
    lines: dict[KeyPath, int]
    found: list[tuple[int, str]] = field(default_factory=list)

    def add(self, at: KeyPath, problem: str) -> None:
        line = next((self.lines[at[:n]] for n in range(len(at), 0, -1) if at[:n] in self.lines), 1)
        self.found.append((line, f"{self.file}:{line}: {_dotted(at)}: {problem}"))

    def stop(self) -> None:
        """Raise what was found, in the order of the lines."""
        if self.found:
            raise UsageError("\n".join(text for _, text in sorted(self.found)))


def default(*, harmless: Collection[str] = ()) -> Policy:
    """The policy that holds without a file; its digest is that of its canonical form.

    Args:
        harmless: labels that the model's folder calls harmless.
    """
    canonical = msgspec.json.encode(_effective(_Tables(), ()), order="sorted")
    ref = PolicyRef(name="default", sha256=hashlib.sha256(canonical).hexdigest())
    return Policy(ref=ref, everybody=_effective(_Tables(), harmless))


def load(
    path: Path,
    *,
    labels: Collection[str] | None = None,
    harmless: Collection[str] = (),
    lists: Mapping[str, ListKind] | None = None,
) -> Policy:
    """Read and check a policy file.

    Args:
        path: the TOML file.
        labels: the model's labels, harmless ones included; None where there is no model, and nothing is checked.
        harmless: those that the model's folder calls harmless: they never count.
        lists: name and kind of each hash list; None where they are not known, and nothing is checked.

    Raises:
        UsageError: the file can't be read, or has mistakes: one a line, each with file and line number.
    """
    data = _bytes(path)
    text, document = _document(path, data)
    mistakes = _Mistakes(file=path, lines=line_numbers(text))
    known = _Known(labels=labels, harmless=harmless, lists=lists)
    name = _name(document, mistakes)
    everybody = _scope(document, (), known, mistakes)
    tenants = _tenants(document, known, mistakes)
    _rising((), everybody, mistakes)
    merged = {glob: _merged(everybody, own) for glob, own in tenants.items()}
    for glob, tables in merged.items():
        _rising(("tenants", glob), tables, mistakes, own=tenants[glob].risk)
    mistakes.stop()
    return Policy(
        ref=PolicyRef(name=name, sha256=hashlib.sha256(data).hexdigest()),
        everybody=_effective(everybody, harmless),
        tenants=tuple(TenantPolicy.of(glob, _effective(tables, harmless)) for glob, tables in merged.items()),
    )


# --- the file ---------------------------------------------------------------------------------------------------------


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"{path}: the policy can't be read: {error.strerror}") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path}: a policy is at most {MAX_BYTES} bytes")
    return data


def _document(path: Path, data: bytes) -> tuple[str, Table]:
    try:
        text = data.decode("utf-8")
        return text, tomllib.loads(text)
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise UsageError(f"{path}:{line}: not UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        at = re.search(r"\(at line (\d+), column \d+\)$", str(error))
        line = int(at[1]) if at else data.count(b"\n") + 1
        raise UsageError(f"{path}:{line}: not TOML: {error}") from error
    except (ValueError, RecursionError) as error:  # tomllib lets through what int() and the stack refuse
        raise UsageError(f"{path}: not TOML: {error}") from error


def _dotted(path: KeyPath) -> str:
    return ".".join(key if re.fullmatch(r"[A-Za-z0-9_-]+", key) else json.dumps(key) for key in path)


# --- its tables -------------------------------------------------------------------------------------------------------


def _name(document: Table, mistakes: _Mistakes) -> str:
    if "name" not in document:
        mistakes.add(("name",), "is missing")
        return ""
    problem = keys.NAME.problem(document["name"])
    if problem is not None:
        mistakes.add(("name",), problem)
    return str(document["name"])


def _tenants(document: Table, known: _Known, mistakes: _Mistakes) -> dict[str, _Tables]:
    scopes = _subtables(document, ("tenants",), mistakes)
    return {glob: _scope(tables, ("tenants", glob), known, mistakes) for glob, tables in scopes.items()}


def _scope(raw: Table, at: KeyPath, known: _Known, mistakes: _Mistakes) -> _Tables:
    """The tables of everybody (``at`` is empty) or of one glob of tenants."""
    tables = ("risk", "labels", "lists", "severity")
    allowed = tables if at else ("name", *tables, "tenants")
    for key in raw:
        if key not in allowed:
            mistakes.add((*at, key), f"no policy has this{suggestion(key, allowed)}")
    labels = _subtables(raw, (*at, "labels"), mistakes)
    lists = _subtables(raw, (*at, "lists"), mistakes)
    severity = _subtables(raw, (*at, "severity"), mistakes)
    _check_labels(labels, (*at, "labels"), known, mistakes)
    _check_lists(lists, (*at, "lists"), known, mistakes)
    _check_names(severity, (*at, "severity"), SEVERITIES, "there is no such severity", mistakes)
    return _Tables(
        risk=_checked(raw.get("risk", {}), (*at, "risk"), keys.RISK, mistakes),
        labels={k: _checked(v, (*at, "labels", k), keys.LABEL, mistakes) for k, v in labels.items()},
        lists={k: _checked(v, (*at, "lists", k), keys.LIST, mistakes) for k, v in lists.items()},
        severity={k: _checked(v, (*at, "severity", k), keys.SEVERITY, mistakes) for k, v in severity.items()},
    )


def _subtables(raw: Table, at: KeyPath, mistakes: _Mistakes) -> dict[str, Table]:
    """The tables below ``raw``'s last key of ``at``; what is no table is a mistake and left out."""
    outer = raw.get(at[-1], {})
    if not isinstance(outer, dict):
        mistakes.add(at, f"must be tables, [{_dotted(at)}.NAME], not {short(outer)}")
        return {}
    for key, inner in outer.items():
        if not isinstance(inner, dict):
            mistakes.add((*at, key), f"must be a table, [{_dotted((*at, key))}], not {short(inner)}")
    return {key: inner for key, inner in outer.items() if isinstance(inner, dict)}


def _checked(raw: object, at: KeyPath, allowed: Keys, mistakes: _Mistakes) -> Table:
    """The table's good keys; each bad one is a mistake."""
    if not isinstance(raw, dict):
        mistakes.add(at, f"must be a table, [{_dotted(at)}], not {short(raw)}")
        return {}
    good: Table = {}
    for key, value in raw.items():
        rule = allowed.get(key)
        problem = rule.problem(value) if rule else f"no such key{suggestion(key, tuple(allowed))}"
        if problem is None:
            good[key] = float(value) if isinstance(value, int) else value
        else:
            mistakes.add((*at, key), problem)
    return good


def _check_labels(labels: dict[str, Table], at: KeyPath, known: _Known, mistakes: _Mistakes) -> None:
    for label in labels:
        if label in known.harmless:
            mistakes.add((*at, label), "the model calls this label harmless: it never counts")
    if known.labels is not None:
        _check_names(labels, at, (*known.labels, EVERY_OTHER), "the model has no such label", mistakes)


def _check_lists(lists: dict[str, Table], at: KeyPath, known: _Known, mistakes: _Mistakes) -> None:
    if known.lists is None:
        return
    _check_names(lists, at, (*known.lists, EVERY_OTHER), "there is no such hash list", mistakes)
    for name, table in lists.items():
        kind = known.lists.get(name, "review")
        if "weight" in table and kind != "review":
            why = "a match opens an incident at once" if kind == "block" else "a match is never evidence"
            mistakes.add((*at, name, "weight"), f"only review lists have a weight; of a {kind} list {why}")


def _check_names(
    tables: dict[str, Table], at: KeyPath, allowed: tuple[str, ...], problem: str, mistakes: _Mistakes
) -> None:
    for name in tables:
        if name not in allowed:
            mistakes.add((*at, name), f"{problem}{suggestion(name, allowed)}")


def _rising(at: KeyPath, tables: _Tables, mistakes: _Mistakes, *, own: Table | None = None) -> None:
    """Check the pairs of ``[risk]`` that must rise; for tenants only pairs of which they set one themselves."""
    default_risk = msgspec.structs.asdict(RiskRule())
    for lower, upper in keys.RISING:
        low, high = ({**default_risk, **tables.risk}[key] for key in (lower, upper))
        named = [key for key in (lower, upper) if own is None or key in own]
        if low >= high and named:
            key = next((key for key in named if (*at, "risk", key) in mistakes.lines), named[0])
            mistakes.add((*at, "risk", key), f"{lower} ({low:g}) must be below {upper} ({high:g})")


# --- what holds -------------------------------------------------------------------------------------------------------


def _merged(below: _Tables, above: _Tables) -> _Tables:
    """One scope laid over another, key by key."""
    return _Tables(
        risk=below.risk | above.risk,
        labels=_overlaid(below.labels, above.labels),
        lists=_overlaid(below.lists, above.lists),
        severity=_overlaid(below.severity, above.severity),
    )


def _overlaid(below: Mapping[str, Table], above: Mapping[str, Table]) -> dict[str, Table]:
    return {name: below.get(name, {}) | above.get(name, {}) for name in (*below, *(n for n in above if n not in below))}


def _effective(tables: _Tables, harmless: Collection[str]) -> EffectivePolicy:
    """Tables over defaults: a named label or list takes the keys it lacks from ``"*"``, then from the default."""
    labels = {name: tables.labels.get(EVERY_OTHER, {}) | table for name, table in tables.labels.items()}
    lists = {name: tables.lists.get(EVERY_OTHER, {}) | table for name, table in tables.lists.items()}
    severity = _overlaid(dict(_SEVERITIES.items()), tables.severity)
    return EffectivePolicy(
        risk=RiskRule(**tables.risk),
        labels={name: LabelRule(**table) for name, table in labels.items() if name != EVERY_OTHER},
        other_labels=LabelRule(**labels.get(EVERY_OTHER, {})),
        harmless=frozenset(harmless),
        lists={name: ListRule(**table) for name, table in lists.items() if name != EVERY_OTHER},
        other_lists=ListRule(**lists.get(EVERY_OTHER, {})),
        severities={name: SeverityRule(**severity[name]) for name in SEVERITIES},
    )
