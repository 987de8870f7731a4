"""What a line of the log looks like, and what never gets into one."""

from __future__ import annotations

import io
import json
import logging
from typing import TYPE_CHECKING

import numpy as np
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from worker import logs
from worker.settings.tree import Log

if TYPE_CHECKING:
    from collections.abc import Iterator


class Terminal(io.StringIO):
    """A stream that a person looks at."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    yield
    structlog.reset_defaults()
    root.handlers[:], level = before
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    for name in logs.FOREIGN:
        logging.getLogger(name).setLevel(logging.NOTSET)


def fail(password: str) -> None:
    """Raises an error with a secret in its frame."""
    raise ValueError("something" if password else "")


def configured(stream: io.StringIO, **settings: str) -> structlog.typing.FilteringBoundLogger:
    """A logger that writes to the stream."""
    logs.configure(Log(**settings), stream)
    return structlog.get_logger()


def test_a_line_is_json_where_nobody_looks() -> None:
    """Off a terminal each event is one JSON object with time, level and what was bound."""
    stream = io.StringIO()
    configured(stream).bind(stream="s1", partition=3, offset=42).warning("dead letter", stage="decode")
    line = json.loads(stream.getvalue())
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "dead letter",
        "level": "warning",
        "stream": "s1",
        "partition": 3,
        "offset": 42,
        "stage": "decode",
    }


def test_a_line_is_readable_on_a_terminal() -> None:
    """On a terminal it is no JSON; unless JSON is asked for."""
    stream = Terminal()
    configured(stream).info("worker started")
    assert "worker started" in stream.getvalue()
    assert not stream.getvalue().startswith("{")
    stream = Terminal()
    configured(stream, format="json").info("worker started")
    assert json.loads(stream.getvalue())["event"] == "worker started"


def test_less_than_the_level_is_not_written() -> None:
    """The level holds for Framewatch's own events and its libraries'."""
    stream = io.StringIO()
    configured(stream, level="warning").info("quiet")
    logging.getLogger("some.library").info("quiet")
    assert stream.getvalue() == ""


def test_a_librarys_line_has_the_same_form() -> None:
    """What is logged by the standard library's logging comes as JSON too; aiokafka's chatter does not come."""
    stream = io.StringIO()
    configured(stream)
    logging.getLogger("aiokafka.consumer").info("joined group")
    logging.getLogger("aiokafka.consumer").warning("heartbeat %s", "failed")
    line = json.loads(stream.getvalue())
    assert (line["event"], line["level"]) == ("heartbeat failed", "warning")


def test_bytes_and_pictures_never_get_into_a_line() -> None:
    """Of bytes only the number is told, of anything foreign only its kind, however deep."""
    stream = io.StringIO()
    secret = b"\x89PNG secret"
    configured(stream).info("odd", body=secret, deep={"a": [secret]}, picture=np.zeros(3), path=memoryview(secret))
    line = json.loads(stream.getvalue())
    assert "secret" not in stream.getvalue()
    assert (line["body"], line["deep"], line["picture"]) == ("11 bytes", {"a": ["11 bytes"]}, "a ndarray")


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_variables(form: str) -> None:
    """An exception's lines are told, the values of its frames' variables are not."""
    stream = io.StringIO()
    log = configured(stream, format=form)
    try:
        fail("hunter" + "2")
    except ValueError:
        log.exception("failed")
    assert "ValueError: something" in stream.getvalue()
    assert "hunter2" not in stream.getvalue()


class Seconds:
    """A clock that the test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def bounded(clock: Seconds, lines_per_s: int) -> tuple[io.StringIO, structlog.typing.FilteringBoundLogger]:
    """A stream, and a logger that writes so many lines a second to it."""
    stream = io.StringIO()
    logs.configure(Log(lines_per_s=lines_per_s), stream, clock)
    return stream, structlog.get_logger()


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """What was written, a JSON object a line."""
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_flood_is_cut_and_a_line_says_how_much_was_kept_back() -> None:
    """Of a thousand lines in a second ten are written; the next second begins with what was missed, and goes on."""
    clock = Seconds()
    stream, log = bounded(clock, 10)
    for number in range(500):
        log.warning("decoder", number=number)
        logging.getLogger("some.library").warning("heartbeat failed")
    assert len(lines(stream)) == 10
    clock.now += 1
    log.warning("decoder", number=500)
    told, after = lines(stream)[10:]
    assert (told["event"], told["lines"], told["level"]) == ("lines kept back", 990, "warning")
    assert after["number"] == 500


def test_an_incident_has_its_line_however_many_there_are() -> None:
    """No flood of other lines, and none of incidents, keeps one back."""
    stream, log = bounded(Seconds(), 1)
    for number in range(100):
        log.info("assigned")
        log.warning("incident opened", incident=f"i{number}")
    assert [line["incident"] for line in lines(stream) if "incident" in line] == [f"i{n}" for n in range(100)]
    assert len(lines(stream)) == 101


def test_no_flood_of_warnings_hides_an_error() -> None:
    """Errors are few, and have lines of their own; a flood of them is cut as well."""
    stream, log = bounded(Seconds(), 3)
    for _ in range(20):
        log.warning("dead letter")
    for _ in range(20):
        log.error("expired")
    assert [line["level"] for line in lines(stream)] == ["warning"] * 3 + ["error"] * 3


def test_what_was_kept_back_last_is_told_at_the_end() -> None:
    """A process that ends in a flood still says what was missed."""
    stream, log = bounded(Seconds(), 1)
    for _ in range(5):
        log.warning("decoder")
    logging.getLogger().handlers[0].close()
    assert [line.get("lines") for line in lines(stream)] == [None, 4]


@given(text=st.text(max_size=3000))
def test_a_strangers_text_can_neither_break_a_line_nor_fill_the_log(text: str) -> None:
    """No control character survives, so no made-up line, no terminal escape; and the length is bounded."""
    tidied = logs.tidy(None, "info", {"event": text})["event"]
    assert tidied.isprintable()
    assert len(tidied) <= logs.LONGEST + 1
    if text.isprintable() and len(text) <= logs.LONGEST:
        assert tidied == text
