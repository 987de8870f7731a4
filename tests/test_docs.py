"""The documentation says what is so: its examples work, its links lead somewhere."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from worker.lists.read import read_list
from worker.settings.load import load

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])


def block(page: str, language: str, number: int = 0) -> str:
    """A fenced block of a page."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / page).read_text(), re.MULTILINE | re.DOTALL)[number]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_to_a_file_leads_somewhere(page):
    """A relative link names a file that is there."""
    links = re.findall(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)", page.read_text())
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_hash_list_of_the_documentation_is_one(tmp_path):
    """Its list.toml and its CSV are read without a mistake."""
    (tmp_path / "list.toml").write_text(block("docs/hash-lists.md", "toml"))
    (tmp_path / "clips.csv").write_text(block("docs/hash-lists.md", "csv"))
    known = read_list(tmp_path)
    assert (known.name, known.radius, len(known.hashes)) == ("national", 31, 1)


def test_the_settings_of_the_readme_are_settings(tmp_path):
    """Every key of its example is known and of the right type."""
    file = tmp_path / "framewatch.toml"
    file.write_text(block("README.md", "toml"))
    settings = load(flags={}, environ={}, config=file)
    assert settings.matching.lists == ("/lists/national",)
