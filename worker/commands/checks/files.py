"""Checks of what is read from files: the classifier, the lists, the policy, the links' templates, the roots."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from worker.commands.checks.findings import Finding
from worker.errors import UsageError
from worker.escalation.links import NAMES, check_links
from worker.fetch import Fetcher
from worker.fetch.places import UnclearPlaceError, place_of
from worker.fetch.roots import exceptions
from worker.lists.read import read_lists
from worker.policy import read as policies
from worker.scoring import folder as model_folder
from worker.settings.tree import Root
from worker.uris import public_uri

if TYPE_CHECKING:
    from collections.abc import Iterator

    from worker.records import ListKind
    from worker.settings.tree import Settings

READABLE_BY_ALL = stat.S_IROTH
OFF = "not set"


def model(settings: Settings) -> list[Finding]:
    """Check the model folder as the worker does at start, its examples included. Raises UsageError."""
    folder = settings.scoring.model
    if not folder:
        return [Finding(level="pass", what="model", detail=OFF)]
    found = model_folder.read(Path(folder), settings.scoring)
    labels = len(found.manifest.output.labels)
    detail = f"{found.ref.name} {found.ref.version}: {labels} labels, {found.rehearsal.examples} examples agree"
    running = found.running
    where = f"on {running.used}" + (f", up to {running.batch} pictures a run" if running.batch > 1 else "")
    remedy = "see docs/classifiers.md, Execution providers; scoring.provider = cpu and scoring.batch = 1 need nothing"
    return [
        Finding(level="pass", what="model", detail=f"{detail} {where}"),
        *(Finding(level="warning", what="model", detail=note, remedy=remedy) for note in running.notes),
    ]


def lists(settings: Settings) -> list[Finding]:
    """Check the hash lists. Raises UsageError."""
    if not settings.matching.lists:
        return [Finding(level="pass", what="hash lists", detail=OFF)]
    return [
        Finding(
            level="pass",
            what=f"hash list {each.name}",
            detail=f"version {each.version}, {each.kind}, radius {each.radius}, {len(each.hashes)} hashes"
            + (f", {each.ignored} of low quality left out" if each.ignored else ""),
        )
        for each in read_lists(settings.matching.lists)
    ]


def anything_to_look_for(settings: Settings) -> list[Finding]:
    """Check that there is a classifier or a list; without both, nothing can ever be found. Raises UsageError."""
    if not settings.scoring.model and not settings.matching.lists:
        raise UsageError("neither scoring.model nor matching.lists is set: there is nothing to look for")
    return []


def policy(settings: Settings) -> list[Finding]:
    """Check the policy, against the model's labels and the lists' names where those can be read. Raises UsageError."""
    if not settings.policy.file:
        return [Finding(level="pass", what="policy", detail="the default policy")]
    labels, harmless = _labels(settings)
    found = policies.load(Path(settings.policy.file), labels=labels, harmless=harmless, lists=_kinds(settings))
    return [Finding(level="pass", what="policy", detail=f"{found.ref.name}, {len(found.tenants)} tenants of their own")]


def links(settings: Settings) -> list[Finding]:
    """Check the links' templates. Raises UsageError."""
    check_links(settings.links)
    there = [name for name in NAMES if getattr(settings.links, name)]
    if there:
        return [Finding(level="pass", what="links", detail=f"templates for {', '.join(there)}")]
    remedy = "set links.watch, links.clip and links.account, so that reviewers get there with one click"
    return [Finding(level="warning", what="links", detail="incidents carry no links", remedy=remedy)]


def roots(settings: Settings) -> list[Finding]:
    """Check the roots of claim checks, and tell every exception that they make. Raises UsageError."""
    Fetcher(settings.fetch)
    if not settings.fetch.roots:
        return [Finding(level="pass", what="fetch roots", detail="none: claim checks are refused")]
    return [finding for number, root in enumerate(settings.fetch.roots) for finding in _root(number, root)]


def _root(number: int, root: Root | str) -> Iterator[Finding]:
    what = f"fetch.roots[{number}]"
    options = Root(uri=root) if isinstance(root, str) else root
    folder = _folder(options.uri)
    if folder is not None and not os.access(folder, os.R_OK | os.X_OK):
        yield Finding(
            level="warning",
            what=what,
            detail=f"{public_uri(options.uri)}: no such folder, or it can't be read",
            remedy="mount it or allow this user to read it; until then its segments are held or dead-lettered",
        )
    else:
        yield Finding(level="pass", what=what, detail=public_uri(options.uri))
    for exception in exceptions(root):
        yield Finding(level="warning", what=what, detail=exception, remedy="an exception you made: is it still needed?")
    for path in (options.credentials_file, options.header_file):
        yield from _secret_file(what, path)


def _folder(uri: str) -> Path | None:
    try:
        place = place_of(uri)
    except UnclearPlaceError:
        return None
    return Path("/" + place.path) if place.scheme == "file" else None


def _secret_file(what: str, path: str | None) -> Iterator[Finding]:
    if path is None:
        return
    try:
        mode = Path(path).stat().st_mode
    except OSError as error:
        remedy = "mount the secret there"
        yield Finding(level="failure", what=what, detail=f"{path}: {error.strerror}", remedy=remedy)
        return
    if mode & READABLE_BY_ALL:
        remedy = f"chmod o-r {path}"
        yield Finding(level="warning", what=what, detail=f"{path} can be read by every user", remedy=remedy)


def _labels(settings: Settings) -> tuple[tuple[str, ...] | None, frozenset[str]]:
    """Return all labels and the harmless ones; a model that can't be read has a finding of its own already."""
    if not settings.scoring.model:
        return None, frozenset()
    try:
        output = model_folder.read(Path(settings.scoring.model), settings.scoring).manifest.output
    except UsageError:
        return None, frozenset()
    return output.labels, output.harmless


def _kinds(settings: Settings) -> dict[str, ListKind] | None:
    try:
        return {each.name: each.kind for each in read_lists(settings.matching.lists)}
    except UsageError:
        return None
