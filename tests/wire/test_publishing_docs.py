"""The page for publishers says what the code does."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from worker.records import Position, Received, Reference, Segment
from worker.wire import schema
from worker.wire.read import read

PAGE = (Path(__file__).parents[2] / "docs" / "publishing.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    """Return the page's code in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_the_table_names_every_header_that_is_read() -> None:
    """None is missing, none is made up."""
    rows = [line.split("|")[1] for line in PAGE.splitlines() if line.startswith(("| `ce_", "| `content", "| `trace"))]
    named = {name for row in rows for name in re.findall(r"`([a-z_0-9-]+)`", row)}
    assert named == set(schema.json_schemas()["segment.headers"]["properties"])


def test_the_python_example_sends_the_required_headers() -> None:
    """It is whole Python, and its headers are those that a segment needs and a sequence."""
    (example,) = blocks("python")
    dicts = [node for node in ast.walk(ast.parse(example)) if isinstance(node, ast.Dict)]
    (names,) = ({key.value for key in node.keys if isinstance(key, ast.Constant)} for node in dicts)
    assert names == {*schema.json_schemas()["segment.headers"]["required"], "ce_sequence"}


def test_the_structured_example_is_read() -> None:
    """As it stands on the page."""
    (example,) = blocks("json")
    received = Received(
        position=Position(topic="segments", partition=0, offset=0, timestamp_ms=0),
        key=b"stream-1",
        value=example.encode(),
        headers=(("content-type", b"application/cloudevents+json"),),
    )
    segment = read(received, max_message_bytes=8 * 1024 * 1024)
    assert isinstance(segment, Segment)
    assert segment.payload == Reference(uri="s3://live-segments/eu/stream-1/000118.m4s")


def test_the_page_tells_every_error_of_the_contract() -> None:
    """Each with what to do about it."""
    rows = [
        line.split("|")[2:5] for line in PAGE.splitlines() if line.startswith(("| `wire`", "| `fetch`", "| `decode`"))
    ]
    assert [row[0].strip() for row in rows] == ["`missing_header`", "`outside_roots`", "`container_mismatch`"]
    wire = "missing_header bad_header bad_key unknown_type no_body body_and_dataref too_large"
    fetch = "outside_roots not_found refused bad_digest bad_size too_large no_init"
    decode = "container_mismatch unsupported_codec encrypted corrupt too_many_pixels too_many_streams timeout crashed"
    for error in f"{wire} {fetch} {decode} out_of_memory model_failed".split():
        assert re.search(rf"^\|[^|]*\| `{error}` \| [^|]+ \| [^|]+ \|$", PAGE, re.MULTILINE), error
