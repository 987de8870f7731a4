"""How many streams of a partition have an open incident."""

from __future__ import annotations

from typing import TYPE_CHECKING

from support.assessments import START

from worker.records import EventId, OpenIncident, StreamRisk
from worker.settings.tree import Streams
from worker.streams.state import StreamState
from worker.streams.store import Store

if TYPE_CHECKING:
    from collections.abc import Iterable

INCIDENT = OpenIncident(
    incident_id="i",
    revision=1,
    opened_by=EventId(source="s", id="e"),
    opened_at=START,
    severity="high",
    kinds=("label",),
    live=True,
    test=False,
)


def a_stream(name: str, *, incident: OpenIncident | None = INCIDENT) -> StreamState:
    """A stream with an open incident, or without."""
    return StreamState(stream_id=name, risk=StreamRisk(value=5.0, incident=incident))


def remembering(streams: Iterable[StreamState]) -> Store:
    """A store of these streams, as of a release."""
    store = Store(Streams())
    for stream in streams:
        store.put(stream)
    store.pack(())
    return store


def test_a_stream_counts_from_its_opening_to_its_closing() -> None:
    """However often it changes in between; the others do not count."""
    store = remembering([a_stream("a"), a_stream("b"), a_stream("c", incident=None)])
    counts = [store.census().open_incidents]
    for state in (a_stream("a"), a_stream("a", incident=None)):
        store.put(state)
        store.pack(())
        counts.append(store.census().open_incidents)
    assert counts == [2, 2, 1]


def test_a_stream_that_is_forgotten_counts_no_more() -> None:
    """Its incident is somebody else's now, or nobody's."""
    store = remembering([a_stream("a"), a_stream("b")])
    store.forget("a")
    assert store.census().open_incidents == 1
    store.forget_all()
    assert store.census().open_incidents == 0


def test_the_next_owner_counts_what_it_restores() -> None:
    """A worker that has just taken a partition knows at once."""
    before = remembering([a_stream("a"), a_stream("b", incident=None)])
    after = Store(Streams())
    for key, value in before.take():
        after.learn(key, value)
    after.settle()
    assert after.census().open_incidents == 1
