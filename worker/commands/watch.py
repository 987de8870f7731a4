"""``framewatch watch``: escalations as they come, for a person to read."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.text import Text

from worker.commands.terminal import safe
from worker.errors import Unreadable, UsageError
from worker.escalation.words import reason_words
from worker.kafka.follower import following
from worker.wire import read

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from rich.console import Console

    from worker.kafka.follower import Since
    from worker.records import Incident, Received, Severity
    from worker.settings.tree import Settings

COLOURS: dict[Severity, str] = {"critical": "bold white on red", "high": "bold red", "medium": "yellow", "low": "cyan"}
REMEMBERED = 100_000
"""So many ids are remembered to tell repeats."""
MOST_REASONS = 8
MOST_LINE = 400
HOUR_S = 3600
MINUTE_S = 60


class Repeats:
    """Tells which events were there before, by their ids, among the last ones."""

    def __init__(self, most: int = REMEMBERED) -> None:
        """Remember ``most`` of them."""
        self._most = most
        self._seen: OrderedDict[str, None] = OrderedDict()

    def seen(self, event_id: str) -> bool:
        """Tell whether it was there before, and remember it."""
        if event_id in self._seen:
            self._seen.move_to_end(event_id)
            return True
        self._seen[event_id] = None
        if len(self._seen) > self._most:
            self._seen.popitem(last=False)
        return False


def watch(settings: Settings, *, since: Since, count: int | None, show: Callable[[Received], None]) -> None:
    """Give each escalation to ``show``, until there were ``count`` or somebody presses Ctrl-C.

    Raises:
        UsageError: ``count`` is below 1.
        Stopped: There is no broker or no topic.
    """
    if count is not None and count < 1:
        raise UsageError(f"--count must be at least 1, not {count}")
    with suppress(KeyboardInterrupt):
        asyncio.run(follow(settings, since=since, count=count, show=show))


async def follow(settings: Settings, *, since: Since, count: int | None, show: Callable[[Received], None]) -> None:
    """Do what ``watch`` does, in a loop that runs already. What can't be read is shown too, and not counted."""
    repeats = Repeats()
    shown = 0
    async with following(settings.kafka, settings.topics.escalations, since=since) as records:
        async for received in records:
            event_id = read.identify(received).event_id
            if event_id is not None and repeats.seen(event_id):
                continue
            show(received)
            shown += event_id is not None
            if shown == count:
                return


def shower(console: Console, complaints: Console, *, as_json: bool) -> Callable[[Received], None]:
    """Return what shows one record on ``console``; what can't be read goes to ``complaints``, in one line."""

    def show(received: Received) -> None:
        try:
            incident = read.read_incident(received)
        except Unreadable as error:
            complaints.print(Text(safe(str(error))), soft_wrap=True)
            return
        if as_json:
            console.print(Text(json_line(received)), soft_wrap=True)
        else:
            change = (read.event_type(received) or "").split(".")[-2]
            for line in lines(incident, change, datetime.now(UTC)):
                # Not wrapped where it is read by programs; a terminal wraps whole words.
                console.print(line, soft_wrap=not console.is_terminal)

    return show


def json_line(received: Received) -> str:
    """Return an escalation's body on one line, as it came but in ASCII: a terminal obeys nothing in it."""
    return json.dumps(json.loads(received.value or b"null"), separators=(",", ":"))


# --- in words ----------------------------------------------------------------------------------------------------


def lines(incident: Incident, change: str, now: datetime) -> Iterator[Text]:
    """Return an incident for a person. No text in it is taken for markup or for a terminal's escape."""
    yield Text()
    yield _headline(incident, change, now)
    yield Text(f"  {safe(incident.explanation)}")
    for reason in incident.reasons[:MOST_REASONS]:
        yield Text(f"  · {safe(reason_words(reason), MOST_LINE)}")
    if len(incident.reasons) > MOST_REASONS:
        yield Text(f"  · and {len(incident.reasons) - MOST_REASONS} more reasons")
    yield Text(f"  {_circumstances(incident)}", style="dim")
    for name in ("watch", "clip", "account"):
        if (link := getattr(incident.links, name)) is not None:
            yield Text(f"  {name}: {safe(link, MOST_LINE)}")
    if incident.group.material is not None:
        yield Text(f"  group: material {safe(incident.group.material, MOST_LINE)}")
    yield Text(f"  incident {safe(incident.incident_id, MOST_LINE)}", style="dim")


def _headline(incident: Incident, change: str, now: datetime) -> Text:
    line = Text()
    if incident.test:
        line.append(" TEST ", style="black on white").append(" ")
    line.append(incident.severity.upper(), style=COLOURS[incident.severity])
    line.append(f"  {change}").append(f"  {safe(incident.stream_id, MOST_LINE)}", style="bold")
    line.append(f"  revision {incident.revision}, {incident.state}")
    if incident.closed_why is not None:
        line.append(f" ({incident.closed_why})")
    if incident.state == "open" and incident.respond_by is not None:
        late = incident.respond_by <= now
        line.append(f"  {_respond_by(incident.respond_by, now)}", style="bold red" if late else "bold")
    return line


def _respond_by(respond_by: datetime, now: datetime) -> str:
    left_s = (respond_by - now).total_seconds()
    how = f"in {_duration(left_s)}" if left_s > 0 else f"{_duration(-left_s)} ago"
    return f"respond by {respond_by.astimezone(UTC):%Y-%m-%d %H:%M:%S}Z ({how})"


def _duration(seconds: float) -> str:
    if seconds >= HOUR_S:
        return f"{seconds / HOUR_S:.1f} h"
    return f"{seconds / MINUTE_S:.0f} min" if seconds >= MINUTE_S else f"{seconds:.0f} s"


def _circumstances(incident: Incident) -> str:
    told = {
        "suggested action": None if incident.action == "none" else incident.action,
        "stream": {True: "live", False: "over", None: None}[incident.live],
        "at": f"{incident.media_time_s:.1f} s",
        "viewers": incident.viewers,
        "tenant": incident.tenant,
        "account": incident.group.account or incident.account,
        "model": None if incident.model is None else f"{incident.model.name} {incident.model.version}",
    }
    return ", ".join(f"{name} {safe(str(value), MOST_LINE)}" for name, value in told.items() if value is not None)
