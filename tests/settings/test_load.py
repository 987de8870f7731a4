"""Settings: who goes before whom, and that every mistake is told."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import TYPE_CHECKING

import hypothesis
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.generated import compare

from worker.errors import UsageError
from worker.settings.load import Loaded, load, read
from worker.settings.rows import describe, shown, table
from worker.settings.show import as_toml
from worker.settings.tree import Root, Settings

if TYPE_CHECKING:
    from pathlib import Path

    from worker.settings.rows import Row


def mistakes(
    *, flags: dict[str, str] | None = None, environ: dict[str, str] | None = None, config: Path | None = None
) -> list[str]:
    """The lines of the error that these lead to."""
    with pytest.raises(UsageError) as raised:
        load(flags=flags or {}, environ=environ or {}, config=config)
    return str(raised.value).splitlines()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file with one setting."""
    path = tmp_path / "framewatch.toml"
    path.write_text('[kafka]\ngroup_id = "from the file"\n')
    return path


def test_nothing_given_is_the_defaults() -> None:
    """Without flags, variables and file the tree's own defaults hold."""
    assert load(flags={}, environ={}, config=None) == Settings()


def test_a_flag_goes_before_a_variable_before_the_file(config: Path) -> None:
    """The strongest source wins, and is named as the origin."""
    environ = {"FRAMEWATCH_KAFKA_GROUP_ID": "from the environment"}
    flags = {"--kafka.group-id": "from the flag"}
    origins = []
    for given_flags, given_environ in ((flags, environ), ({}, environ), ({}, {})):
        loaded = read(flags=given_flags, environ=given_environ, config=config)
        origins.append((loaded.settings.kafka.group_id, loaded.origins["kafka.group_id"]))
    assert origins == [
        ("from the flag", "--kafka.group-id"),
        ("from the environment", "FRAMEWATCH_KAFKA_GROUP_ID"),
        ("from the file", f"{config}:2"),
    ]


@pytest.mark.parametrize("row", describe(), ids=lambda row: row.name)
def test_every_setting_can_be_given_as_flag_and_variable(row: Row) -> None:
    """Each setting's own default, written as text, is read back as that default from both."""
    text = shown(row.default)
    for loaded in (
        read(flags={row.flag: text}, environ={}, config=None),
        read(flags={}, environ={row.variable: text}, config=None),
    ):
        assert loaded.settings == Settings()
        assert row.name in loaded.origins


def test_every_setting_has_a_meaning_and_says_what_it_can_be() -> None:
    """Rows are complete, and neither names nor variables clash."""
    rows = describe()
    assert len(rows) == sum(len(fields(getattr(Settings(), one.name))) for one in fields(Settings))
    assert all(row.meaning and row.kind for row in rows)
    assert len({row.variable for row in rows}) == len(rows)


def test_all_mistakes_are_told_at_once_each_with_its_place(tmp_path: Path) -> None:
    """One error lists what is wrong in flags, environment and file, a line each, without repeating a value."""
    config = tmp_path / "c.toml"
    config.write_text('[web]\nport = "80"\n\n[kafka]\ngruppe = 1\nsession_timeout_s = -1\n')
    told = mistakes(
        flags={"--web.port": "99999"},
        environ={"FRAMEWATCH_LOG_LEVEL": "hunter2", "FRAMEWATCH_WEB_HOSTT": "x"},
        config=config,
    )
    assert sorted(told) == sorted(
        [
            f"{config}:2: web.port must be an integer from 0 to 65535",
            f"{config}:5: kafka.gruppe: no such setting; did you mean kafka.group_id?",
            f"{config}:6: kafka.session_timeout_s must be a number above 0, at most 86400",
            "FRAMEWATCH_LOG_LEVEL must be one of debug, error, info, warning",
            "FRAMEWATCH_WEB_HOSTT: no such setting; did you mean FRAMEWATCH_WEB_HOST?",
            "--web.port must be an integer from 0 to 65535",
        ]
    )


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("KAFKA_GROUP_ID", ""),
        ("KAFKA_SESSION_TIMEOUT_S", "nan"),
        ("KAFKA_SESSION_TIMEOUT_S", "inf"),
        ("KAFKA_SESSION_TIMEOUT_S", "45s"),
        ("INTAKE_MAX_SEGMENTS", "0"),
        ("INTAKE_MAX_SEGMENTS", "1.5"),
        ("INTAKE_RESUME_BELOW", "1.1"),
        ("TOPICS_SEGMENTS", ""),
        ("TOPICS_ASSESSMENTS", "a topic"),
        ("TOPICS_ASSESSMENTS", "topic\n"),
        ("DEAD_LETTERS_PAYLOAD", "perhaps"),
        ("FETCH_ROOTS", "[not json"),
        ("FETCH_ROOTS", '[{"region": "x"}]'),
        ("MATCHING_LISTS", "[1]"),
    ],
)
def test_a_value_that_cannot_be_is_one_mistake(name: str, text: str) -> None:
    """Wrong types and values out of range are told with the variable's name."""
    [line] = mistakes(environ={f"FRAMEWATCH_{name}": text})
    assert line.startswith(f"FRAMEWATCH_{name} must be ")


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("FRAMEWATCH_TEST_ANYTHING", "x"),
        ("FRAMEWATCH_SERVICE_HOST", "10.0.0.1"),
        ("FRAMEWATCH_METRICS_SERVICE_PORT_HTTP", "8080"),
        ("FRAMEWATCH_WEB_PORT", "tcp://10.0.0.1:80"),
        ("FRAMEWATCH_PORT", "udp://10.0.0.1:80"),
        ("FRAMEWATCH_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("FRAMEWATCH_WEB_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("FRAMEWORK_X", "x"),
        ("framewatch_web_port", "x"),
    ],
)
def test_variables_that_are_not_ours_are_left_alone(variable: str, value: str) -> None:
    """Tests' variables and Kubernetes' service links are no settings and no mistakes."""
    assert load(flags={}, environ={variable: value}, config=None) == Settings()


def test_the_port_of_the_web_can_still_be_set() -> None:
    """A variable that a service link could have is a setting when its value is none."""
    assert load(flags={}, environ={"FRAMEWATCH_WEB_PORT": "9"}, config=None).web.port == 9


@pytest.mark.parametrize("text", ["a.txt,lists/b", " a.txt , lists/b,", '["a.txt", "lists/b"]'])
def test_a_list_is_commas_or_json(text: str) -> None:
    """In a flag or variable a list is its elements separated by commas, or JSON."""
    assert load(flags={"--matching.lists": text}, environ={}, config=None).matching.lists == ("a.txt", "lists/b")


def test_roots_are_texts_or_tables(tmp_path: Path) -> None:
    """An element of fetch.roots may be a table, and a key that no root has is a mistake."""
    config = tmp_path / "c.toml"
    config.write_text('[fetch]\nroots = ["s3://a/", {uri = "https://b/", private = true}]\n')
    assert load(flags={}, environ={}, config=config).fetch.roots == ("s3://a/", Root(uri="https://b/", private=True))
    config.write_text('[fetch]\nroots = [{uri = "https://b/", privat = true}]\n')
    assert mistakes(config=config) == [f"{config}:2: fetch.roots: a table has no key privat; did you mean private?"]


def test_an_unknown_key_of_a_root_is_told_from_the_environment_too() -> None:
    """A root's table is as strict in a variable as in the file."""
    [line] = mistakes(environ={"FRAMEWATCH_FETCH_ROOTS": '[{"uri": "s3://a/", "regoin": "x"}]'})
    assert line == "FRAMEWATCH_FETCH_ROOTS: a table has no key regoin; did you mean region?"


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"[kafka\n", "is no TOML"),
        (b"\xff", "is no TOML"),
        (b"tpoics = 1\n", ":1: tpoics: no such setting; did you mean topics?"),
        (b"kafka = 1\n", ":1: kafka: no such setting"),
        (b"[kafka.more]\nx = 1\n", ":1: kafka.more: no such setting"),
    ],
)
def test_a_file_that_is_no_settings_file_is_told(tmp_path: Path, content: bytes, told: str) -> None:
    """Bad TOML, unknown tables and a value where a table belongs are lines with the file's name."""
    config = tmp_path / "c.toml"
    config.write_bytes(content)
    [line] = mistakes(config=config)
    assert line.startswith(str(config))
    assert told in line


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    """A missing file is one line."""
    assert mistakes(config=tmp_path / "none.toml") == [
        f"{tmp_path / 'none.toml'}: can't be read: No such file or directory"
    ]


@pytest.mark.parametrize(
    ("environ", "told"),
    [
        ({"FRAMEWATCH_INTAKE_DRAIN_S": "60"}, "intake.drain_s"),
        ({"FRAMEWATCH_KAFKA_SESSION_TIMEOUT_S": "61"}, "kafka.session_timeout_s"),
        (
            {"FRAMEWATCH_OVERLOAD_LATENESS_S": "5", "FRAMEWATCH_OVERLOAD_FIRST_KEYFRAME_S": "5"},
            "overload.first_keyframe_s",
        ),
        ({"FRAMEWATCH_TOPICS_RISK": "segments"}, "topics.*: segments is named twice"),
    ],
)
def test_settings_that_contradict_each_other_are_told(environ: dict[str, str], told: str) -> None:
    """Values that are right alone and wrong together are mistakes."""
    [line] = mistakes(environ=environ)
    assert line.startswith(told)


TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="@"), max_size=30)


@st.composite
def settings(draw: st.DrawFn) -> Settings:
    """Settings with a value of each kind changed."""
    default = Settings()
    root = Root(uri="s3://b/", region=draw(st.none() | TEXTS), private=draw(st.booleans()))
    return replace(
        default,
        scoring=replace(default.scoring, model=draw(TEXTS)),
        matching=replace(default.matching, lists=tuple(draw(st.lists(TEXTS, max_size=3)))),
        web=replace(default.web, port=draw(st.integers(0, 65535))),
        escalation=replace(default.escalation, preserve_before_s=draw(st.floats(0, 86400, allow_nan=False))),
        fetch=replace(default.fetch, roots=("s3://a/", root)),
    )


@given(wanted=settings())
@hypothesis.settings(max_examples=50, deadline=None)
def test_what_is_shown_can_be_read_again(tmp_path_factory: pytest.TempPathFactory, wanted: Settings) -> None:
    """`framewatch settings` writes TOML that leads to the same settings."""
    path = tmp_path_factory.getbasetemp() / "shown.toml"
    path.write_text(as_toml(Loaded(settings=wanted, origins={})), encoding="utf-8", newline="")
    assert load(flags={}, environ={}, config=path) == wanted


def test_credentials_in_an_address_are_not_shown() -> None:
    """A user and password that somebody wrote into a root do not leave."""
    loaded = read(flags={"--fetch.roots": "https://user:hunter2@host/a/"}, environ={}, config=None)
    assert "hunter2" not in as_toml(loaded)
    assert "https://***@host/a/" in as_toml(loaded)


def test_the_documents_table_is_the_tree() -> None:
    """docs/configuration.md has every setting as it is declared."""
    compare("configuration.md", "settings", table())
