"""Which settings of its topics a deployment asks for."""

from __future__ import annotations

from msgspec.structs import replace

from worker.settings.tree import Settings
from worker.topics import problems, wanted


def test_topics_as_they_are_made_are_right() -> None:
    """What ``topics create`` makes is nothing to complain of."""
    settings = Settings()
    assert problems(settings, {topic.name: topic for topic in wanted(settings, 3).values()}) == []


def test_a_risk_topic_with_kafkas_defaults_is_slow_to_restore() -> None:
    """It works, and a start says in one line which settings to change to what."""
    settings = Settings()
    found = {topic.name: topic for topic in wanted(settings, 3).values()}
    config = {"cleanup.policy": "compact", "segment.bytes": "1073741824", "segment.ms": "604800000"}
    found["risk"] = replace(found["risk"], config=config)
    [problem] = problems(settings, found)
    assert not problem.fatal
    assert str(problem) == (
        "topic risk: restoring will be slow: segment.bytes is 1073741824, segment.ms is 604800000; "
        "set segment.bytes=16777216, segment.ms=600000"
    )
