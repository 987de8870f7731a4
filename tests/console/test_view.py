"""The console's parts as they are sent."""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec.structs import replace
from support.assessments import a_look, a_match
from support.consoles import ABOUT, Part, Stage


def part(stage: Stage, name: str, prefix: str = "") -> Any:
    """One part, decoded."""
    return msgspec.json.decode(stage.console().parts(prefix)[name])


def test_how_the_worker_is_says_why_not() -> None:
    """Live, ready and each partition's state, with what each waits for; lag is the sum of what is known."""
    stage = Stage()
    stage.health.idle = "partition 4 is held: s3 is away"
    stage.intake.partitions = {4: Part(held="s3 is away", load=7), 3: Part(load=2)}
    stage.intake.lags = {3: 10, 4: 5}
    stage.intake.restoring = frozenset({9})
    stage.intake.parked = {1: "somebody moved it"}
    now = part(stage, "now")
    assert (now["live"], now["ready"], now["lag"], now["in_work"]) == (None, "partition 4 is held: s3 is away", 15, 9)
    assert [(one["number"], one["state"], one["why"]) for one in now["partitions"]] == [
        (1, "parked", "somebody moved it"),
        (3, "working", None),
        (4, "held", "s3 is away"),
        (9, "restoring", None),
    ]
    stage.intake.lags = {}
    assert part(stage, "now")["lag"] is None


def test_fifty_streams_are_sent_of_five_thousand() -> None:
    """The worst, and how many there are; a search is answered from all of them."""
    stage = Stage()
    stage.calm(f"channel-{n:04}" for n in range(5000))
    stage.risky("zz-last", 3)
    streams = part(stage, "streams")
    assert len(streams["shown"]) == 50
    assert streams["matching"] == 5001
    assert streams["shown"][0]["id"] == "zz-last"
    found = part(stage, "streams", "channel-49")
    assert (found["matching"], len(found["shown"])) == (100, 50)
    assert len(stage.console().parts()["streams"]) < 20_000


def test_a_stream_says_what_became_of_its_last_segment_and_how_late() -> None:
    """With the reason in words, and against the threshold of its policy."""
    stage = Stage()
    stage.risky("s", 9)
    stage.play("s", looks=(), outcome="skipped", why="no_keyframe", behind_s=3.25)
    (shown,) = part(stage, "streams")["shown"]
    assert (shown["outcome"], shown["words"], shown["behind_s"]) == ("skipped", "has no keyframe in it", 3.2)
    assert shown["open_above"] == 12.0
    assert shown["incident"] is True
    assert len(shown["points"]) == 60


def test_incidents_are_sorted_by_gravity_and_say_why() -> None:
    """Critical before high, whatever came first; with sentences and reasons."""
    stage = Stage()
    stage.risky("high", 9)
    stage.known("critical")
    incidents = part(stage, "incidents")
    assert [one["stream"] for one in incidents["shown"]] == ["critical", "high"]
    first = incidents["shown"][0]
    assert "block list" in first["explanation"]
    assert first["reasons"]
    assert first["respond_by_s"] > stage.at_s()


def test_nothing_in_a_text_from_outside_is_invisible_or_turns_the_others_around() -> None:
    """Controls, escapes and direction marks are shown as what they are: not printable."""
    stage = Stage()
    stage.known("a\u202eb\x1b[31m\u200b\n")
    text = stage.console().parts()
    for name in ("streams", "incidents"):
        shown = msgspec.json.decode(text[name])["shown"][0]
        assert (shown.get("id") if name == "streams" else shown["stream"]) == "a\ufffdb\ufffd[31m\ufffd\ufffd"
    assert all(part.isprintable() for part in (data.decode() for data in text.values()))


def test_a_search_for_what_is_invisible_finds_it_all_the_same() -> None:
    """What is looked for is the id itself, not what is shown of it."""
    stage = Stage()
    stage.calm(["\u202eevil", "good"])
    assert part(stage, "streams", "\u202e")["matching"] == 1


def test_what_is_shown_of_people_is_the_stream_s_id_alone() -> None:
    """No account, no tenant, no picture; and no list entry's hash."""
    stage = Stage()
    segment = {"account": "account-of-a-person", "tenant": "tenant-1"}
    stage.play("s", looks=(a_look(0.0, a_match()),), of_segment=segment)
    sent = b"".join(stage.console().parts().values()).decode()
    assert "account-of-a-person" not in sent
    assert "tenant-1" not in sent
    assert "00" * 16 not in sent


def test_about_tells_versions_and_what_is_missing() -> None:
    """Model, policy, lists and the decoders' lock-down."""
    stage = Stage()
    stage.about = replace(ABOUT, model=None, jail="partial", jail_missing=("own_user",))
    about = part(stage, "about")
    assert about["model"] is None
    assert (about["model_on"], about["model_notes"]) == ("cpu", [])
    assert about["lists"][0] == {"name": "demo", "version": "2026-11-01", "kind": "block", "entries": 1234}
    assert (about["jail"], about["jail_missing"]) == ("partial", ["own_user"])
