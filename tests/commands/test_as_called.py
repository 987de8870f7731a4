"""The commands as people and scripts call them: status, and what goes where."""

from __future__ import annotations

import asyncio
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import yaml
from support.deployment import deployed
from support.models import means

from worker.cli import main
from worker.commands import incident
from worker.commands.model import check as check_model

DOCS = Path(__file__).parents[2] / "docs"
DEMO = str(Path(__file__).parents[2] / "models" / "demo")


def servers(cluster) -> list[str]:
    """The flag that names the broker."""
    return ["--kafka.bootstrap-servers", cluster.bootstrap_servers]


def names(stem: str) -> list[str]:
    """The flags of four topics that nobody else has."""
    roles = ("segments", "escalations", "dead-letters", "risk")
    return [word for role in roles for word in (f"--topics.{role}", f"{stem}.{role}")]


def watched(command: list[str], until: str) -> tuple[int, str, str]:
    """Runs a command until it has written a text, presses Ctrl-C; its status, what it wrote and what it complained."""
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as watching:
        assert watching.stdout is not None
        text = ""
        while until not in text:
            line = watching.stdout.readline()
            assert line, "the watch has ended"
            text += line
        watching.send_signal(signal.SIGINT)
        _, complaints = watching.communicate(timeout=30)
    return watching.returncode, text, complaints


def test_topics_create_ends_well_when_all_are_right_and_else_not(broker, capsys):
    """Made, there already, refused."""
    assert main(["topics", "create", *servers(broker), *names("called")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "called.segments: created"
    assert main(["topics", "create", *servers(broker), *names("called")]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "called.segments: exists"
    assert main(["topics", "create", "--replication", "3", *servers(broker), *names("refused")]) == 1
    assert main(["topics", "create", "--kafka.bootstrap-servers", "127.0.0.1:1"]) == 1
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert main(["topics", "create", "--partitions", "0"]) == 2


def test_topics_print_writes_nothing_but_the_document(capsys):
    """It can be piped on."""
    assert main(["topics", "print", "--as", "strimzi", "--cluster", "live", "--partitions", "9"]) == 0
    documents = list(yaml.safe_load_all(capsys.readouterr().out))
    assert documents[0]["spec"]["partitions"] == 9
    assert main(["topics", "print", "--as", "xml"]) == 2


def test_check_ends_with_one_when_a_worker_would_not_start(capsys):
    """A line each, and the counts."""
    assert main(["check", "--scoring.model", DEMO, "--kafka.bootstrap-servers", "127.0.0.1:1"]) == 1
    told = capsys.readouterr()
    assert told.err == ""
    assert re.search(r"^failure  brokers: .* → ", told.out, re.MULTILINE)
    assert re.search(r"^pass     model: demo", told.out, re.MULTILINE)
    assert told.out.splitlines()[-1].endswith("1 failures")


def test_only_tests_can_be_sent(capsys):
    """Nobody opens an incident by hand."""
    assert main(["incident"]) == 2
    assert "--test" in capsys.readouterr().err


async def test_a_test_incident_is_sent_watched_and_ctrl_c_ends_the_watch_well(broker):
    """The id that was printed is the one that is shown."""
    async with deployed(broker) as deployment:
        settings = deployment.settings
        sent = await asyncio.to_thread(incident.send_test, settings, stream_id="s\x1b[2J")
        command = [sys.executable, "-m", "worker", "watch", "--since", "earliest", *servers(broker)]
        command += ["--topics.escalations", settings.topics.escalations]
        status, text, complaints = await asyncio.to_thread(watched, command, sent.incident_id)
    assert (status, complaints) == (0, "")
    assert "\x1b" not in text
    assert " TEST  LOW  opened  s\N{REPLACEMENT CHARACTER}[2J" in text


def test_the_pack_of_the_page_for_classifiers_is_understood(tmp_path, monkeypatch, capsys):
    """Every flag that it shows is one, and the folder that it makes passes."""
    monkeypatch.chdir(tmp_path)
    page = (DOCS / "classifiers.md").read_text(encoding="utf-8")
    [example] = re.findall(r"^ *framewatch (model pack .*?)^ *```", page, re.DOTALL | re.MULTILINE)
    (tmp_path / "model.onnx").write_bytes(means().SerializeToString())
    for name in ("one.jpg", "two.png"):
        cv2.imwrite(name, np.full((8, 8, 3), 127, np.uint8))
    words = shlex.split(example.replace("\\\n", " ").replace("224x224", "4x4"))
    assert main(words) == 0, capsys.readouterr().err
    assert "2 examples" in capsys.readouterr().out
    assert main(["model", "check", "OUT"]) == 0
    assert check_model(tmp_path / "OUT")[1] == "labels that count: weapon, nudity; harmless: neutral"


def test_a_model_folder_that_is_wrong_is_a_mistake_in_use(tmp_path, capsys):
    """Status 2 and its lines, no traceback."""
    assert main(["model", "check", str(tmp_path)]) == 2
    assert str(tmp_path) in capsys.readouterr().err
