"""The settings as a list: one row for each, made from the tree. The loader, ``--help`` and the docs read it."""

from __future__ import annotations

import ast
import inspect
from dataclasses import fields
from typing import Any, get_type_hints

import msgspec
from msgspec import Struct
from msgspec import inspect as types

from worker.settings import tree

PREFIX = "FRAMEWATCH_"


class Row(Struct, frozen=True, kw_only=True):
    """One setting."""

    section: str
    """The TOML table it stands in."""
    key: str
    """Its key there."""
    meaning: str
    kind: str
    """What it can be, in words: it completes the sentence "must be …"."""
    type: Any
    """What msgspec converts it to."""
    default: Any

    @property
    def name(self) -> str:
        """``section.key``."""
        return f"{self.section}.{self.key}"

    @property
    def flag(self) -> str:
        """On the command line."""
        return f"--{self.name.replace('_', '-')}"

    @property
    def variable(self) -> str:
        """In the environment."""
        return f"{PREFIX}{self.name.replace('.', '_').upper()}"

    @property
    def shown_default(self) -> str:
        """The default as it would be written in the environment; empty for none."""
        return shown(self.default)


def describe() -> tuple[Row, ...]:
    """Return every setting, in the order of the tree."""
    hints = get_type_hints(tree.Settings)
    return tuple(row for section in fields(tree.Settings) for row in _rows(section.name, hints[section.name], _texts()))


def sections() -> dict[str, str]:
    """Return each section's name and what it is about."""
    hints = get_type_hints(tree.Settings)
    return {section.name: inspect.getdoc(hints[section.name]) or "" for section in fields(tree.Settings)}


def shown(value: object) -> str:
    """Return a value as it would be written in the environment."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return ",".join(item if isinstance(item, str) else msgspec.json.encode(item).decode() for item in value)
    return str(value)


def table() -> str:
    """Return all settings as Markdown, a table for each section."""
    parts = []
    for section, meaning in sections().items():
        parts += [
            f"## `{section}`",
            "",
            meaning,
            "",
            "| setting | default | can be | meaning |",
            "| --- | --- | --- | --- |",
        ]
        parts += [
            f"| `{row.name}` | {_code(row.shown_default)} | {_cell(row.kind)} | {_cell(row.meaning)} |"
            for row in describe()
            if row.section == section
        ]
        parts.append("")
    return "\n".join(parts)


def _rows(section: str, kind: type, texts: dict[tuple[str, str], str]) -> list[Row]:
    hints = get_type_hints(kind, include_extras=True)
    return [
        Row(
            section=section,
            key=one.name,
            meaning=texts[kind.__name__, one.name],
            kind=_words(types.type_info(hints[one.name])),
            type=hints[one.name],
            default=one.default,
        )
        for one in fields(kind)
    ]


def _texts() -> dict[tuple[str, str], str]:
    """The string under each field of each class of the tree."""
    found = {}
    for node in ast.parse(inspect.getsource(tree)).body:
        if isinstance(node, ast.ClassDef):
            for one, after in zip(node.body, node.body[1:], strict=False):
                text = _string(after)
                if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and text:
                    found[node.name, one.target.id] = text
    return found


def _string(node: ast.stmt) -> str | None:
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
        return inspect.cleandoc(node.value.value)
    return None


def _words(kind: types.Type) -> str:
    match kind:
        case types.BoolType():
            words = "true or false"
        case types.IntType():
            words = f"an integer{_range(kind)}"
        case types.FloatType():
            words = f"a number{_range(kind)}"
        case types.LiteralType():
            words = f"one of {', '.join(str(value) for value in kind.values)}"
        case types.StrType():
            words = _text_words(kind)
        case types.VarTupleType():
            words = f"a list of texts{' or tables' if isinstance(kind.item_type, types.UnionType) else ''}"
        case _:
            raise TypeError(f"the tree of settings has a type that nobody can describe: {kind}")
    return words


def _text_words(kind: types.StrType) -> str:
    if kind.pattern is not None:
        least = "1" if "{1," in kind.pattern else "0"
        return f"{least} to 249 of the characters A-Z a-z 0-9 . _ -"
    return "a text that is not empty" if kind.min_length else "a text"


def _range(kind: types.IntType | types.FloatType) -> str:
    if kind.ge is not None and kind.le is not None:
        return f" from {_number(kind.ge)} to {_number(kind.le)}"
    if kind.gt is not None and kind.le is not None:
        return f" above {_number(kind.gt)}, at most {_number(kind.le)}"
    return ""


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else str(value)


def _code(text: str) -> str:
    return f"`{text}`" if text else ""


def _cell(text: str) -> str:
    return " ".join(text.replace("|", "\\|").split())
