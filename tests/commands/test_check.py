"""``framewatch check``: what is wrong before a worker starts, each with what to do about it."""

from __future__ import annotations

import asyncio
import io
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from support.deployment import deployed

from worker.commands import check
from worker.commands.checks import broker as broker_checks
from worker.commands.checks import decoder, files, values
from worker.commands.checks.findings import Check, Finding, findings, in_thread
from worker.errors import Stopped, UsageError
from worker.settings.tree import (
    DeadLetters,
    Fetch,
    Intake,
    Kafka,
    LinkTemplates,
    Matching,
    PolicyFile,
    Root,
    Scoring,
    Settings,
    Shutdown,
    Topics,
    Web,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

DEMO = str(Path(__file__).parents[2] / "models" / "demo")
NO_BROKER = Kafka(bootstrap_servers="127.0.0.1:1")
GOOD = Finding(level="pass", what="other", detail="fine")


def checked(run: Callable[[], Any], *, within_s: float = 30.0) -> list[Finding]:
    """What one check finds, beside another that is fine."""

    async def fine() -> Sequence[Finding]:
        return [GOOD]

    both = [
        Check(what="it", run=run, remedy="mend it", within_s=within_s),
        Check(what="other", run=fine, remedy="nothing"),
    ]
    *found, last = asyncio.run(findings(both))
    assert last == GOOD
    return found


def levels(found: Sequence[Finding]) -> set[str]:
    """Which levels are among them."""
    return {finding.level for finding in found}


def told(found: Sequence[Finding]) -> str:
    """All of it as a program reads it."""
    out = io.StringIO()
    check.show(found, Console(file=out, width=40))
    return out.getvalue()


# --- running ----------------------------------------------------------------------------------------------------------


def test_a_check_that_fails_has_a_line_for_each_mistake_and_stops_no_other():
    """Every line of its error is a failure with the remedy."""

    async def fails() -> Sequence[Finding]:
        raise UsageError("first\nsecond")

    found = checked(fails)
    assert [(f.level, f.detail, f.remedy) for f in found] == [
        ("failure", "first", "mend it"),
        ("failure", "second", "mend it"),
    ]


def test_a_check_that_breaks_is_a_failure_without_its_text():
    """A foreign error's text can hold anything: only its name is told."""

    async def breaks() -> Sequence[Finding]:
        raise ValueError("password=hunter2")

    [found] = checked(breaks)
    assert found.level == "failure"
    assert "ValueError" in found.detail
    assert "hunter2" not in told([found])


def test_a_check_that_hangs_is_given_up():
    """The others still run."""

    async def hangs() -> Sequence[Finding]:
        await asyncio.get_running_loop().create_future()
        return []

    [found] = checked(hangs, within_s=0.01)
    assert (found.level, found.remedy) == ("failure", "mend it")
    assert "0.01 s" in found.detail


def test_what_blocks_in_a_thread_gives_its_result_or_its_error():
    """As if it had been called."""

    def fails() -> None:
        raise Stopped("no")

    assert asyncio.run(in_thread(lambda: 7)) == 7
    [found] = checked(lambda: in_thread(fails))
    assert found.detail == "no"


# --- files ------------------------------------------------------------------------------------------------------------


def test_with_neither_a_model_nor_a_list_there_is_nothing_to_look_for():
    """A worker would refuse to start."""
    [found] = checked(lambda: in_thread(partial(files.anything_to_look_for, Settings())))
    assert found.level == "failure"
    assert "scoring.model" in found.detail


def test_a_model_that_runs_elsewhere_than_it_should_is_a_warning():
    """A worker would start with it, on the CPU: passed, but not without a word."""
    fine, warned = files.model(Settings(scoring=Scoring(model=DEMO, provider="cuda")))
    assert (fine.level, warned.level) == ("pass", "warning")
    assert fine.detail.endswith("on cpu")
    assert "scoring.provider is cuda, but the model runs on the cpu" in warned.detail
    assert "docs/classifiers.md" in str(warned.remedy)


def test_a_good_model_list_and_policy_pass(tmp_path):
    """Each is named with its version."""
    (tmp_path / "known.txt").write_text("0" * 63 + "1\n")
    (tmp_path / "policy.toml").write_text('name = "ours"\n[labels.card]\nseverity = "low"\n[lists.known]\n')
    settings = Settings(
        scoring=Scoring(model=DEMO),
        matching=Matching(lists=(str(tmp_path / "known.txt"),)),
        policy=PolicyFile(file=str(tmp_path / "policy.toml")),
        links=LinkTemplates(watch="https://x/{stream_id}"),
    )
    found = [f for look in (files.model, files.lists, files.policy, files.links) for f in look(settings)]
    assert levels(found) == {"pass"}
    assert "demo 1.0.0" in found[0].detail
    assert "1 hashes" in found[1].detail
    assert "ours" in found[2].detail


def test_a_policy_that_names_an_unknown_label_fails_with_its_line(tmp_path):
    """It is read against the model's labels, as the worker reads it."""
    policy = tmp_path / "policy.toml"
    policy.write_text('name = "ours"\n[labels.crad]\n')
    settings = Settings(scoring=Scoring(model=DEMO), policy=PolicyFile(file=str(policy)))
    [found] = checked(lambda: in_thread(partial(files.policy, settings)))
    assert f"{policy}:2" in found.detail


def test_a_bad_list_fails_and_shows_no_hash(tmp_path):
    """Where it is wrong is told, not what stands there."""
    secret = "f" * 63
    (tmp_path / "known.txt").write_text(f"{secret}\n")
    settings = Settings(matching=Matching(lists=(str(tmp_path / "known.txt"),)))
    found = checked(lambda: in_thread(partial(files.lists, settings)))
    assert levels(found) == {"failure"}
    assert secret not in told(found)


def test_links_are_wished_for_and_bad_templates_refused():
    """None is a warning; one that asks for what nobody knows is a failure."""
    assert levels(files.links(Settings())) == {"warning"}
    bad = Settings(links=LinkTemplates(clip="https://x/{nobody}"))
    assert levels(checked(lambda: in_thread(partial(files.links, bad)))) == {"failure"}


def test_every_exception_of_a_root_is_told_and_nothing_secret(tmp_path):
    """Private addresses, http://, credentials; a file that all may read; never what stands in it."""
    credentials = tmp_path / "credentials.toml"
    credentials.write_text('access_key_id = "AKIA"\nsecret_access_key = "hunter2"\n')
    credentials.chmod(0o644)
    root = Root(
        uri="s3://bucket/live/",
        endpoint="http://10.0.0.1:9000",
        region="eu",
        private=True,
        plaintext=True,
        credentials_file=str(credentials),
    )
    found = files.roots(Settings(fetch=Fetch(roots=(root, f"file://{tmp_path}/", "file:///no/such/folder/"))))
    text = told(found)
    assert sum(f.level == "warning" and f.what == "fetch.roots[0]" for f in found) == 4
    for expected in ("private addresses are allowed", "http:// is allowed", "own credentials", "read by every user"):
        assert expected in text
    assert [f.level for f in found if f.what == "fetch.roots[1]"] == ["pass"]
    assert [f.level for f in found if f.what == "fetch.roots[2]"] == ["warning"]
    assert "hunter2" not in text
    assert "AKIA" not in text


def test_a_root_that_is_wrong_fails():
    """A folder without the slash at its end."""
    settings = Settings(fetch=Fetch(roots=("file:///srv/live",)))
    assert levels(checked(lambda: in_thread(partial(files.roots, settings)))) == {"failure"}


# --- settings ---------------------------------------------------------------------------------------------------------


def test_settings_that_clash_fail_and_risky_ones_are_told():
    """Two topics of one name; draining longer than the grace period; imagery in dead letters; an open address."""
    clash = values.settings_agree(Settings(topics=Topics(escalations="segments")))
    assert any(f.level == "failure" and "both segments" in f.detail for f in clash)
    risky = values.settings_agree(
        Settings(
            intake=Intake(drain_s=30),
            shutdown=Shutdown(grace_s=25),
            dead_letters=DeadLetters(payload=True),
            web=Web(host="0.0.0.0"),  # noqa: S104 - what is to be warned of
        )
    )
    text = told(risky)
    assert "failure " not in text
    for expected in ("shutdown.grace_s", "imagery", "0.0.0.0", "assessments"):  # noqa: S104 - the same
        assert expected in text


def test_a_console_that_nobody_can_open_or_that_could_be_guessed_is_told(tmp_path):
    """Off because others reach it: said, and how to turn it on. A token that can't be used fails, unrepeated."""
    exposed = Web(host="0.0.0.0")  # noqa: S104 - what is to be told
    assert "web.token_file" in told(values.settings_agree(Settings(web=exposed)))
    (tmp_path / "token").write_text("hunter2")
    found = values.settings_agree(Settings(web=Web(token_file=str(tmp_path / "token"))))
    assert any(f.level == "failure" and "the token has 7 characters" in f.detail for f in found)
    assert "hunter2" not in told(found)


# --- the decoder ------------------------------------------------------------------------------------------------------


def test_a_decoder_starts_here_and_decodes_a_clip():
    """The real jail, with one process; and how well it is locked down."""
    found, locked = asyncio.run(decoder.decodes(Settings()))
    assert (found.level, locked.what) == ("pass", "lock-down")
    assert "1 keyframe" in found.detail
    assert "level " in locked.detail


def test_a_decoder_that_can_not_decode_is_a_failure():
    """A limit that refuses even a picture of 64x64."""
    settings = Settings()
    tiny = replace(settings, jail=replace(settings.jail, max_pixels=16))
    [found] = checked(lambda: decoder.decodes(tiny))
    assert found.level == "failure"
    assert "too_many_pixels" in found.detail


# --- the broker -------------------------------------------------------------------------------------------------------


async def test_a_right_deployment_passes_beside_a_worker(broker):
    """Brokers, topics, transactions, while a worker runs, which goes on with its work."""
    async with deployed(broker) as deployment, deployment.worker():
        await deployment.send(deployment.segment("a", b"no video", sequence=1))
        await deployment.assessments(1)
        found = await check.everything(deployment.settings)
        assert check.ok(found), told(found)
        assert {f.what for f in found if f.level == "pass"} >= {
            "brokers",
            "link",
            "transactions",
            "model",
            "decoder",
            f"topic {deployment.settings.topics.risk}",
        }
        await deployment.send(deployment.segment("a", b"no video", sequence=2))
        await deployment.assessments(2)


def test_the_probes_id_is_granted_and_no_partitions():
    """It begins as the worker's ids do, and does not end in a number as they all do."""
    probe_id = broker_checks.probe_id(Settings())
    assert probe_id.startswith("framewatch/segments/")
    assert not probe_id.rpartition("-")[2].isdigit()


async def test_missing_and_wrong_topics_fail_with_the_remedy(broker):
    """And checking made none of them."""
    names = Topics(segments="check.segments", escalations="check.e", dead_letters="check.d", risk="check.risk")
    broker.create_topics({"check.segments": 3, "check.risk": 2}, config={"check.risk": {"cleanup.policy": "delete"}})
    settings = Settings(kafka=Kafka(bootstrap_servers=broker.bootstrap_servers), topics=names)
    for _ in range(2):
        found = await broker_checks.topics_right(settings)
        text = told(found)
        assert "check.e: it does not exist, or may not be seen" in text
        assert "framewatch topics create" in text
        assert "cleanup.policy is delete" in text
        assert "2 partitions, check.segments has 3" in text


def test_without_a_broker_the_rest_is_checked_all_the_same():
    """One failure for the broker, none for each topic."""
    found = check.check(Settings(kafka=NO_BROKER, scoring=Scoring(model=DEMO)))
    assert [f.what for f in found if f.level == "failure"] == ["brokers"]
    assert not check.ok(found)
    assert {"model", "decoder"} <= {f.what for f in found if f.level == "pass"}


async def test_at_least_once_is_told_and_starts_no_transaction():
    """The embedded broker has none that hold."""
    [found] = await broker_checks.transactions(Settings(kafka=replace(NO_BROKER, guarantee="at_least_once")))
    assert found.level == "warning"


# --- showing ----------------------------------------------------------------------------------------------------------


def test_a_terminal_gets_a_table_and_a_program_lines():
    """The same words; a line is never broken, and nothing in it is taken for markup or an escape."""
    found = [
        GOOD,
        Finding(level="failure", what="a [bold]b[/bold]", detail="x\x1b[2Jy " * 20, remedy="do this"),
    ]
    text = told(found)
    assert len(text.splitlines()) == 3
    assert "failure  a [bold]b[/bold]: x" in text
    assert "→ do this" in text
    assert "1 passed, 0 warnings, 1 failures" in text
    assert "\x1b" not in text
    out = io.StringIO()
    check.show(found, Console(file=out, force_terminal=True, width=100))
    assert "\x1b[2J" not in out.getvalue()
    assert "┃" in out.getvalue()
