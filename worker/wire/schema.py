"""JSON Schemas (2020-12) of every body and of the published events' headers, made from the records themselves."""

from __future__ import annotations

import ast
import inspect
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

import msgspec

from worker import records
from worker.records import events, judged, known, seen, told
from worker.wire.asyncapi import document
from worker.wire.published import event_headers

if TYPE_CHECKING:
    from pathlib import Path

Schema = dict[str, Any]

DIALECT = "https://json-schema.org/draft/2020-12/schema"
BODIES: dict[str, type[msgspec.Struct]] = {
    "incident": records.Incident,
    "dead-letter": records.DeadLetter,
    "assessment": records.AssessmentReport,
    "config": records.ConfigReport,
}
"""The name of each body's schema and its record."""


def json_schemas() -> dict[str, Schema]:
    """Return a JSON Schema for each body and for each published event's headers, by the stem of its file."""
    schemas = {name: _standing_alone(record) for name, record in BODIES.items()}
    schemas |= {f"{name}.headers": schema for name, schema in event_headers().items()}
    return {
        name: {"$schema": DIALECT, "$id": f"urn:framewatch:schema:{name}:v1", **schema}
        for name, schema in schemas.items()
    }


def asyncapi() -> dict[str, Any]:
    """Return the AsyncAPI 3.0 document of all topics that other people's programs meet."""
    parts, components = _components(tuple(BODIES.values()), "#/components/schemas/{name}")
    return document(bodies=dict(zip(BODIES, parts, strict=True)), components=components)


def write(folder: Path) -> tuple[Path, ...]:
    """Write ``schemas/<name>.json`` and ``asyncapi.json`` into a folder, and return their paths."""
    documents = {f"schemas/{name}.json": schema for name, schema in json_schemas().items()}
    documents["asyncapi.json"] = asyncapi()
    (folder / "schemas").mkdir(parents=True, exist_ok=True)
    for name, content in documents.items():
        (folder / name).write_text(rendered(content), encoding="utf-8")
    return tuple(folder / name for name in documents)


def rendered(document: dict[str, Any]) -> str:
    """Return a document as it stands in its file."""
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def _standing_alone(record: type[msgspec.Struct]) -> Schema:
    (part,), components = _components((record,), "#/$defs/{name}")
    del part
    main = components.pop(record.__name__)
    return {**main, "$defs": components} if components else main


def _components(types: tuple[type[msgspec.Struct], ...], template: str) -> tuple[tuple[Schema, ...], dict[str, Schema]]:
    parts, components = msgspec.json.schema_components(types, ref_template=template)
    texts = _field_texts()
    return parts, {name: _finished(getattr(records, name), schema, texts) for name, schema in components.items()}


def _finished(record: type[msgspec.Struct], schema: Schema, texts: dict[tuple[str, str], str]) -> Schema:
    """Add what msgspec doesn't say: that no field is ever absent, what each means, and which texts are times."""
    properties = dict(schema["properties"])
    for field in msgspec.structs.fields(record):
        described = {key: value for key, value in properties[field.encode_name].items() if key != "default"}
        if datetime in {field.type, *get_args(field.type)}:
            described = _as_time(described)
        text = texts.get((record.__name__, field.name))
        properties[field.encode_name] = described if text is None else {**described, "description": text}
    finished = {**schema, "properties": properties, "required": list(properties)}
    return {**finished, "description": _plain(schema["description"])}


def _as_time(schema: Schema) -> Schema:
    if "anyOf" in schema:
        return {**schema, "anyOf": [_as_time(one) for one in schema["anyOf"]]}
    return {**schema, "format": "date-time"} if schema["type"] == "string" else schema


def _field_texts() -> dict[tuple[str, str], str]:
    """Return the string under each field of each record, by the record's and the field's name."""
    trees = [ast.parse(inspect.getsource(module)) for module in (events, judged, known, seen, told)]
    return {
        (record.name, field.target.id): _plain(text.value.value)
        for tree in trees
        for record in tree.body
        if isinstance(record, ast.ClassDef)
        for field, text in zip(record.body, record.body[1:], strict=False)
        if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name)
        if isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant) and isinstance(text.value.value, str)
    }


def _plain(docstring: str) -> str:
    """Return a docstring as a reader of JSON understands it."""
    return " ".join(docstring.replace("``", "`").replace("None", "null").replace("True", "true").split())
