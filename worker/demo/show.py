"""What a person sees: the streams, the incidents and the rates while it runs, and the summary at the end."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING

from msgspec import Struct
from rich import box
from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console, Group
from rich.padding import Padding
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from worker.commands.terminal import safe
from worker.demo.ledger import RISKS_KEPT
from worker.demo.streams import ABOUT
from worker.policy.records import RiskRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from rich.console import RenderableType

    from worker.demo.ledger import Course, Escalated, Ledger
    from worker.demo.streams import Stream
    from worker.demo.summary import Latency, StreamRow, Summary
    from worker.records import Severity

COLOURS: dict[Severity, str] = {
    "critical": "bold white on red",
    "high": "bold red",
    "medium": "yellow",
    "low": "cyan",
}
BARS = "▁▂▃▄▅▆▇█"
NARROW_SPARKS = 10
RISK = RiskRule()
"""The default policy's rule: the demo's worker runs with it."""
SVG_SIZE = (116, 48)
"""Columns and rows of the saved picture."""
WIDE = 110
"""From so many columns on the table says what each stream is."""
ROWS_AROUND = 8
"""Rows of the screen that are neither a stream nor an incident."""
ROWS_AN_INCIDENT = 4
LONGEST_EXPLANATION = 330
STATE_WIDTH = 10
OLD_LOOK_S = 6.0


class Moment(Struct, frozen=True, kw_only=True):
    """When it is, and what the head of the screen says."""

    at_s: float
    """On the monotonic clock."""
    elapsed_s: float
    seconds: float | None
    """How long the show goes on; None without end."""
    broker: str
    guarantee: str
    phase: str
    """What happens now, in a word or two."""


def screen(ledger: Ledger, streams: Sequence[Stream], moment: Moment, *, width: int, height: int) -> RenderableType:
    """Return the whole screen for a terminal of so many columns and rows."""
    left = height - len(streams) - ROWS_AROUND
    return Group(
        _head(moment),
        _table(ledger, streams, moment, wide=width >= WIDE),
        _incidents(ledger, max(1, left // ROWS_AN_INCIDENT), explained=left >= ROWS_AN_INCIDENT),
        _foot(ledger, moment),
    )


def plain(ledger: Ledger, streams: Sequence[Stream], moment: Moment) -> str:
    """Return the same in one line, for logs."""
    risks = {one.stream_id: ledger.course(one.stream_id).risk for one in streams}
    risky = (f"{stream_id} {risk:.1f}" for stream_id, risk in risks.items() if risk >= 1)
    told = ", ".join(risky) or "none"
    counts = _counts(ledger)
    return f"{moment.elapsed_s:5.1f} s  {counts}; incidents {_opened(ledger)}; risk above 1: {told}"


def news(one: Escalated) -> str:
    """Return one escalation in a line."""
    late = "" if one.latency_s is None else f" {one.latency_s * 1000:.0f} ms after its segment was appended"
    incident = one.incident
    said = safe(incident.explanation, LONGEST_EXPLANATION)
    return f"incident {one.change}: {safe(incident.stream_id)}, {incident.severity},{late}. {said}"


# --- while it runs ---------------------------------------------------------------------------------------------------


def _head(moment: Moment) -> Text:
    until = "until Ctrl-C" if moment.seconds is None else f"of {moment.seconds:.0f} s"
    line = Text("Framewatch demo", style="bold")
    line.append(f"   {moment.phase}, {moment.elapsed_s:.0f} s {until}", style="cyan")
    return line.append(f"   {moment.broker}, {moment.guarantee}   harmless synthetic pictures only", style="dim")


def _table(ledger: Ledger, streams: Sequence[Stream], moment: Moment, *, wide: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), collapse_padding=True, pad_edge=False)
    table.add_column("stream", no_wrap=True)
    if wide:
        table.add_column("what it is", no_wrap=True, style="dim")
    for name in ("sent", "looked", "skipped", "refused", "risk"):
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column("so far", no_wrap=True, min_width=RISKS_KEPT if wide else NARROW_SPARKS)
    table.add_column("seen", justify="right", no_wrap=True)
    table.add_column("state", no_wrap=True, min_width=STATE_WIDTH)
    for stream in streams:
        table.add_row(*_row(ledger, stream, moment, wide=wide))
    return table


def _row(ledger: Ledger, stream: Stream, moment: Moment, *, wide: bool) -> Iterator[RenderableType]:
    course = ledger.course(stream.stream_id)
    yield Text(stream.stream_id, style="bold")
    if wide:
        yield ABOUT[stream.kind]
    yield str(len(course.published))
    yield _count(course.outcomes["assessed"], "")
    yield _count(course.outcomes["skipped"], "blue")
    yield _count(course.outcomes["dead_lettered"], "magenta")
    yield Text(f"{course.risk:.1f}", style=_heat(course.risk))
    yield _spark(course, RISKS_KEPT if wide else NARROW_SPARKS)
    yield _age(course, moment)
    yield _state(course)


def _count(number: int, style: str) -> Text:
    return Text(str(number), style=style) if number else Text("·", style="dim")


def _spark(course: Course, length: int) -> Text:
    line = Text()
    for risk in list(course.risks)[-length:]:
        bar = BARS[min(len(BARS) - 1, int(risk / RISK.cap * len(BARS)))]
        line.append(bar, style=_heat(risk))
    return line


def _heat(risk: float) -> str:
    if risk >= RISK.open_above:
        return "bold red"
    return "yellow" if risk >= RISK.close_below else "green"


def _age(course: Course, moment: Moment) -> Text:
    if course.looked_at_s is None:
        return Text("never", style="dim")
    age_s = max(0.0, moment.at_s - course.looked_at_s)
    return Text(f"{age_s:.1f} s", style="yellow" if age_s > OLD_LOOK_S and not course.ended else "dim")


def _state(course: Course) -> Text:
    incident = course.incident
    if incident is not None and incident.state == "open":
        return Text(f" {incident.severity.upper()} ", style=COLOURS[incident.severity])
    if course.ended:
        return Text("ended", style="dim")
    return Text("on air", style="green") if course.published else Text("to come", style="dim")


def _incidents(ledger: Ledger, most: int, *, explained: bool) -> Panel:
    told = [part for one in ledger.escalations[-most:] for part in _escalation(one, explained=explained)]
    return Panel(
        Group(*told) if told else Text("none yet", style="dim"),
        title="incidents, as a reviewer's tool reads them",
        title_align="left",
        border_style="red" if told else "dim",
    )


def _escalation(one: Escalated, *, explained: bool) -> Iterator[RenderableType]:
    incident = one.incident
    line = Text(f" {incident.severity.upper()} ", style=COLOURS[incident.severity])
    line.append(f" {one.change} ", style="bold").append(safe(incident.stream_id), style="bold cyan")
    line.append(f"  suggested action {incident.action}")
    if one.latency_s is not None:
        line.append(f"  {one.latency_s * 1000:.0f} ms after its segment was appended", style="dim")
    yield line
    if explained:
        yield Padding(Text(safe(incident.explanation, LONGEST_EXPLANATION)), (0, 0, 0, 2))


def _foot(ledger: Ledger, moment: Moment) -> Text:
    rate = len(ledger.fates) / moment.elapsed_s if moment.elapsed_s > 0 else 0.0
    return Text(f"{_counts(ledger)}, {rate:.1f} a second; dead letters {len(ledger.letters)}", style="dim")


def _counts(ledger: Ledger) -> str:
    return f"segments published {len(ledger.published)}, with an outcome {len(ledger.fates)}"


def _opened(ledger: Ledger) -> int:
    return sum(one.change == "opened" for one in ledger.escalations)


# --- at the end ------------------------------------------------------------------------------------------------------


def summary_view(summary: Summary, closing: Sequence[str]) -> RenderableType:
    """Return the summary; ``closing`` are lines of what to do next."""
    return Group(
        Text(),
        Text("What it came to", style="bold"),
        _figures(summary),
        _against(summary),
        Text(),
        *(_verdict(summary)),
        Text(),
        *(Text(line, style="dim" if not line.startswith("  ") else "") for line in closing),
    )


def _figures(summary: Summary) -> Table:
    table = Table.grid(padding=(0, 2))
    outcomes = ", ".join(f"{count} {outcome.replace('_', '-')}" for outcome, count in summary.outcomes.items())
    whole = summary.accounted == summary.published
    adds_up = f"{summary.published} published, {summary.accounted} accounted for: {outcomes or 'none'}"
    table.add_row("segments", Text(adds_up, style="" if whole else "bold red"))
    table.add_row("append to escalation", _latency(summary.to_escalation))
    table.add_row("append to outcome", _latency(summary.to_outcome))
    table.add_row("speed", _speed(summary))
    return table


def _latency(latency: Latency | None) -> str:
    if latency is None:
        return "none"
    figures = f"p50 {latency.p50_s * 1000:.0f} ms, p99 {latency.p99_s * 1000:.0f} ms, n = {latency.count}"
    return f"{figures} (the record's timestamp until a read_committed reader had the answer)"


def _speed(summary: Summary) -> str:
    speed = summary.speed
    if speed is None:
        return "not measured: this system has no /proc"
    took = (
        f"{speed.segments} segments took the worker and its decoders {speed.cpu_s:.1f} s of CPU in {speed.wall_s:.0f} s"
    )
    return f"{speed.per_core_and_second:.0f} segments per core and second ({took}, idling included)"


def _against(summary: Summary) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1))
    for name in ("stream", "what it is", "incidents expected", "opened"):
        table.add_column(name, no_wrap=True)
    for row in summary.streams:
        if row.expected != "none" or row.opened:
            table.add_row(row.stream_id, ABOUT[row.kind], _expected(row), str(row.opened))
    calm = [row for row in summary.streams if row.expected == "none" and not row.opened]
    table.add_row(Text(f"{len(calm)} others", style="dim"), "", "0", "0")
    if summary.errors:
        table.add_section()
    for error in summary.errors:
        table.add_row(Text("dead letters", style="dim"), error.error, str(error.expected), str(error.found))
    return table


def _expected(row: StreamRow) -> str:
    return {"one": "1", "none": "0", "either": "0 or 1: stopped early"}[row.expected]


def _verdict(summary: Summary) -> Iterator[Text]:
    if not summary.problems:
        yield Text("As expected: every segment accounted for, every incident there, no other.", style="bold green")
    for problem in summary.problems:
        yield Text(f"Not as expected: {safe(problem)}", style="bold red")


def save_svg(path: Path, *shown: RenderableType) -> None:
    """Write what was shown as a picture that asks nobody for fonts."""
    console = Console(record=True, width=SVG_SIZE[0], file=io.StringIO(), force_terminal=True, color_system="truecolor")
    console.print(*shown, sep="\n")
    plain_fonts = re.sub(r"@font-face \{\{.*?\}\}", "", CONSOLE_SVG_FORMAT, flags=re.DOTALL)
    path.parent.mkdir(parents=True, exist_ok=True)
    console.save_svg(str(path), title="framewatch demo", code_format=plain_fonts, unique_id="framewatch")
