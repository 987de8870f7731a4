"""``framewatch check``: looks, before a worker starts, whether it can."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from worker.commands.checks import broker, decoder, files, telling, values
from worker.commands.checks.findings import Check, Finding, findings, in_thread
from worker.commands.terminal import safe

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from rich.console import Console

    from worker.commands.checks.findings import Level
    from worker.settings.tree import Settings

COLOURS: dict[Level, str] = {"pass": "green", "warning": "yellow", "failure": "bold red"}
LONG_FILES_S = 300.0
"""Lists of millions of rows take minutes to read."""


def check(settings: Settings) -> list[Finding]:
    """Return all that is right and wrong, whatever fails on the way."""
    return asyncio.run(everything(settings))


async def everything(settings: Settings) -> list[Finding]:
    """Do what ``check`` does, in a loop that runs already. Topics and transactions need a broker that answers."""
    found = await findings(_local(settings))
    reached = await findings([_of_broker("brokers", broker.reachable, settings)])
    asked: list[Finding] = []
    if all(finding.level != "failure" for finding in reached):
        asked = await findings(
            [
                _of_broker("link", broker.linked, settings),
                _of_broker("topics", broker.topics_right, settings),
                _of_broker("transactions", broker.transactions, settings),
            ]
        )
    return [*found, *reached, *asked]


def ok(found: Sequence[Finding]) -> bool:
    """Tell whether a worker can start."""
    return all(finding.level != "failure" for finding in found)


def show(found: Sequence[Finding], console: Console) -> None:
    """Write it for a person: a table on a terminal, else a line each."""
    if console.is_terminal:
        console.print(_table(found))
    else:
        for finding in found:
            console.print(Text(line(finding)), soft_wrap=True)
    counts = {level: sum(finding.level == level for finding in found) for level in COLOURS}
    summary = f"{counts['pass']} passed, {counts['warning']} warnings, {counts['failure']} failures"
    console.print(Text(summary), soft_wrap=True)


def line(finding: Finding) -> str:
    """Return a finding on one line."""
    remedy = "" if finding.remedy is None else f" → {safe(finding.remedy)}"
    return f"{finding.level:<8} {safe(finding.what)}: {safe(finding.detail)}{remedy}"


def _table(found: Sequence[Finding]) -> Table:
    table = Table("", "what", "found", "what to do")
    for finding in found:
        table.add_row(
            Text(finding.level, style=COLOURS[finding.level]),
            Text(safe(finding.what)),
            Text(safe(finding.detail)),
            Text(safe(finding.remedy or "")),
        )
    return table


def _local(settings: Settings) -> list[Check]:
    return [
        _of_files("settings", values.settings_agree, settings, "see docs/operators.md, Settings"),
        _of_files("looking for", files.anything_to_look_for, settings, "set scoring.model, matching.lists, or both"),
        _of_files("model", files.model, settings, "see docs/classifiers.md, What is refused; framewatch model check"),
        _of_files("hash lists", files.lists, settings, "mend the list's files, at the line named"),
        _of_files("policy", files.policy, settings, "mend the policy, at the line named; see docs/policy.md"),
        _of_files("links", files.links, settings, "mend the template; see docs/reviewers.md, Links"),
        _of_files("fetch roots", files.roots, settings, "mend fetch.roots; see docs/operators.md, Claim checks"),
        _of_files("metrics", telling.metrics, settings, "see docs/metrics.md"),
        _of_files("log", telling.lines, settings, "see docs/metrics.md, Lines"),
        _of_files("traces", telling.traces, settings, "see docs/metrics.md, Traces"),
        Check(
            what="decoder",
            run=partial(decoder.decodes, settings),
            remedy="look at memory limits and at what this machine lets processes do",
            within_s=90.0,
        ),
    ]


def _of_files(what: str, look: Callable[[Settings], Sequence[Finding]], settings: Settings, remedy: str) -> Check:
    return Check(what=what, run=lambda: in_thread(partial(look, settings)), remedy=remedy, within_s=LONG_FILES_S)


_REMEDIES = {
    "brokers": "is kafka.bootstrap_servers right, and can this machine reach it? see docs/kafka-security.md",
    "link": "see docs/kafka-security.md",
    "topics": "may this principal describe the topics? framewatch topics print writes its rights down",
    "transactions": (
        "grant the transactional id (framewatch topics print); on a small cluster look at the broker's "
        "transaction.state.log.replication.factor and .min.isr; or kafka.guarantee = at_least_once"
    ),
}


def _of_broker(what: str, look: Callable[[Settings], Awaitable[Sequence[Finding]]], settings: Settings) -> Check:
    return Check(what=what, run=partial(look, settings), remedy=_REMEDIES[what], within_s=45.0)
