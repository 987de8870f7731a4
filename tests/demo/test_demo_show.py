"""The whole demo, shortened, in a process of its own."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

DEMO = [sys.executable, "-P", "-m", "worker", "demo", "--streams", "8"]
WELL = "As expected: every segment accounted for, every incident there, no other."
PATIENCE_S = 120


def play(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run it to its end."""
    return subprocess.run(
        [*DEMO, *arguments],
        env={name: value for name, value in os.environ.items() if name != "KAFKA_BOOTSTRAP_SERVERS"} | environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )


def test_the_demo_on_the_embedded_broker_is_as_expected(tmp_path):
    """It says so, ends with status 0, leaves nothing behind, saves its picture, and heeds no FRAMEWATCH_ variable."""
    picture = tmp_path / "images" / "demo.svg"
    shown = play("--seconds", "18", "--svg", str(picture), TMPDIR=str(tmp_path), FRAMEWATCH_SCORING_MODEL="/nowhere")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert WELL in shown.stdout
    assert shown.stderr == ""
    assert "at_least_once" in shown.stdout
    assert "incident opened: late-drawing" in shown.stdout
    assert picture.read_text().startswith("<svg")
    assert "font-face" not in picture.read_text()
    assert not list(tmp_path.glob("framewatch-*"))


def test_the_demo_on_a_real_broker_is_exactly_once(broker):
    """With KAFKA_BOOTSTRAP_SERVERS it makes topics of its own there, tells how to remove them, and ends as well."""
    shown = play("--seconds", "18", KAFKA_BOOTSTRAP_SERVERS=broker.bootstrap_servers)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert WELL in shown.stdout
    assert "exactly_once" in shown.stdout
    assert "--delete --topic 'demo-" in shown.stdout


def test_ctrl_c_ends_an_endless_show_with_its_summary():
    """No traceback, nothing unaccounted for, and the worker's process is gone."""
    with (
        tempfile.TemporaryDirectory() as folder,
        subprocess.Popen(
            [*DEMO, "--keep"],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"TMPDIR": folder},
        ) as process,
    ):
        for line in process.stdout:
            if "an outcome" in line and "an outcome 0;" not in line:
                break
        process.send_signal(signal.SIGINT)
        told, complaints = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0, told + complaints
        assert WELL in told
        assert complaints == ""
        assert not [each for each in Path("/proc").glob("[0-9]*/cmdline") if folder in read(each)]


def test_a_broker_that_is_not_there_ends_the_demo_in_a_line():
    """It names the broker; there is no traceback."""
    shown = play(KAFKA_BOOTSTRAP_SERVERS="127.0.0.1:9")
    assert shown.returncode == 1
    assert "127.0.0.1:9" in shown.stderr
    assert len(shown.stderr.splitlines()) == 1


def read(path: Path) -> str:
    """A process's command line; nothing when it has just ended."""
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
