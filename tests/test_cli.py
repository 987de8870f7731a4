"""The command line: what people see of it, and how each way to end looks."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from worker import __version__
from worker.cli import main
from worker.cli.main import COMMANDS
from worker.settings.rows import describe, sections


def told(capsys: pytest.CaptureFixture[str]) -> list[str]:
    """The lines on standard error."""
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err.splitlines()


def test_the_version_is_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    """`framewatch --version` prints it."""
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == __version__


def test_help_lists_every_command_and_imports_none(capsys: pytest.CaptureFixture[str]) -> None:
    """`framewatch --help` names each command with its line, quickly: no command's module is imported."""
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    for command in COMMANDS:
        assert command.name in out
        assert command.meaning in " ".join(out.replace("│", " ").split())
    heavy = "{'av', 'aiokafka', 'onnxruntime'}"
    code = f"import sys; from worker.cli import main; main(['--help']); sys.exit(bool({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-P", "-c", code], check=False, capture_output=True).returncode == 0


def test_help_of_run_lists_every_setting_by_section(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`framewatch run --help` has each setting's flag, meaning and default under its section."""
    monkeypatch.setenv("COLUMNS", "160")  # narrow terminals break long flags over lines
    assert main(["run", "--help"]) == 0
    out = " ".join(re.sub(r"[│─╭╮╰╯]", " ", capsys.readouterr().out).split())
    for section in sections():
        assert f"{section}: " in out
    for row in describe():
        assert row.flag in out
        assert row.shown_default in out


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (["rum"], 'Unknown command "rum". Did you mean "run"?'),
        (["settings", "--kafka.groupid", "x"], "Unknown option: --kafka.groupid. Did you mean --kafka.group-id?"),
        (["settings", "stray"], "not understood: stray"),
        (["settings", "--web.port"], "--web.port requires an argument"),
        (["settings", "--web.port", "eighty"], "--web.port must be an integer from 0 to 65535"),
        (["settings", "--web.port=-1"], "--web.port must be an integer from 0 to 65535"),
        (["settings", "--config", "/nonexistent.toml"], "/nonexistent.toml: can't be read"),
    ],
)
def test_a_mistake_in_use_is_one_line_and_status_2(
    arguments: list[str], line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No traceback, no help text: a line that says what is wrong."""
    assert main(arguments) == 2
    [only] = told(capsys)
    assert line in only


def test_all_mistakes_are_told_a_line_each(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Two wrong flags and a wrong file are three lines."""
    config = tmp_path / "c.toml"
    config.write_text("[kafka]\nx = 1\n")
    assert main(["settings", "--web.port", "x", "--log.level", "loud", "--config", str(config)]) == 2
    assert len(told(capsys)) == 3


def test_run_with_nothing_to_look_for_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    """Without a model and a list there is no worker."""
    assert main(["run"]) == 2
    [line] = told(capsys)
    assert "scoring.model" in line
    assert "matching.lists" in line


def test_settings_are_shown_with_their_origin(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`framewatch settings` prints TOML; each line says where its value came from."""
    config = tmp_path / "c.toml"
    config.write_text("[web]\nport = 9\n")
    assert main(["settings", "--config", str(config), "--kafka.group-id", "mine"]) == 0
    out = capsys.readouterr().out
    assert 'group_id = "mine"  # --kafka.group-id\n' in out
    assert f"port = 9  # {config}:2\n" in out
    assert 'host = "127.0.0.1"  # default\n' in out
    assert tomllib.loads(out)["kafka"]["group_id"] == "mine"


def test_schema_writes_the_contract_into_a_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`framewatch schema OUT` writes the schemas and the AsyncAPI document and names the files."""
    assert main(["schema", str(tmp_path)]) == 0
    written = capsys.readouterr().out.split()
    assert str(tmp_path / "asyncapi.json") in written
    assert all(json.loads(Path(path).read_text()) for path in written)


def test_the_module_is_the_command() -> None:
    """`python -m worker` does the same, with the same exit status, and leaves no traceback."""
    environ = {**os.environ, "FRAMEWATCH_NO_SUCH": "1"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker", "settings"], check=False, capture_output=True, text=True, env=environ
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "FRAMEWATCH_NO_SUCH: no such setting\n"


def test_a_reader_that_leaves_is_no_error() -> None:
    """When who reads the output has gone, the command ends without a word."""
    read_end, write_end = os.pipe()
    os.close(read_end)
    try:
        command = [sys.executable, "-P", "-m", "worker", "schema"]
        done = subprocess.run(command, check=False, stdout=write_end, stderr=subprocess.PIPE, text=True)
    finally:
        os.close(write_end)
    assert (done.returncode, done.stderr) == (1, "")
