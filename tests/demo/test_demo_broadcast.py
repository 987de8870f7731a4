"""The make-believe platform by itself: what it prepares, and that its stories are of different streams."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from worker.demo import broadcast
from worker.demo.encode import Cmaf
from worker.demo.library import Library
from worker.demo.streams import cast
from worker.errors import Stopped
from worker.lists.read import read_lists
from worker.settings.tree import Kafka, Settings

if TYPE_CHECKING:
    from pathlib import Path


def test_the_list_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    """A worker that waits for it reads all of it; one that is there already is left alone."""
    (tmp_path / "list.part").mkdir()
    (tmp_path / "list.part" / "clips.csv").write_text("cut off")
    broadcast.prepare(tmp_path)
    [made] = read_lists((str(tmp_path / "list"),))
    assert len(made.hashes) > 0
    assert not (tmp_path / "list.part").exists()
    before = (tmp_path / "list" / "clips.csv").stat()
    broadcast.prepare(tmp_path)
    assert (tmp_path / "list" / "clips.csv").stat() == before


def test_each_story_has_streams_of_its_own() -> None:
    """Else its segments would be repeats of the last story's, and nothing new would be found."""
    streams = cast(broadcast.STREAMS)
    footage = Library(
        harmless={one.stream_id: () for one in streams},
        card=(),
        clip=(),
        sound=b"",
        cmaf={one.stream_id: Cmaf(init=b"", segments=()) for one in streams},
    )
    first, of_first = broadcast.renamed_as(streams, footage, "ab-1")
    second, _ = broadcast.renamed_as(streams, footage, "ab-2")
    ids = [one.stream_id for one in (*first, *second)]
    assert len(set(ids)) == 2 * broadcast.STREAMS
    assert set(of_first.harmless) == set(of_first.cmaf) == {one.stream_id for one in first}
    assert [one.kind for one in first] == [one.kind for one in streams]


async def test_a_broker_that_is_away_ends_it_in_one_line(tmp_path: Path) -> None:
    """Compose starts it again."""
    settings = Settings(kafka=Kafka(bootstrap_servers="127.0.0.1:1"))
    with pytest.raises(Stopped, match=r"127\.0\.0\.1:1"):
        await broadcast.broadcast(settings, tmp_path, asyncio.Event())
