"""The operator's policy file: what it means, and how its mistakes are told."""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.assessments import START, a_look, a_segment, an_assessment

from worker import risk
from worker.errors import UsageError
from worker.policy import keys, read
from worker.policy.records import LabelRule, ListRule, RiskRule, SeverityRule
from worker.records import Placed, StreamRisk
from worker.toml_lines import line_numbers

if TYPE_CHECKING:
    from collections.abc import Callable

    import msgspec

    from worker.policy.records import Policy

DOCS = Path(__file__).parents[1] / "docs" / "policy.md"
WHOLE = """
name = "whole"

[risk]
base_rate = 1e-5
open_above = 14
quiet_s = 300

[labels."*"]
trust = "route"
category = "other"

[labels.card]
severity = "critical"
weight = 1.5
category = "cards"
policy_ref = "7.2"

[lists.national]
severity = "critical"

[lists.seen]
weight = 5.0
trust = "route"

[severity.critical]
respond_within_s = 120
action = "pause"

[tenants."kids-*"]
risk = { open_above = 10.0 }

[tenants."kids-*".labels.card]
weight = 2.0

[tenants."*"]
severity.high = { action = "stop" }
"""


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[..., Policy]:
    """Load a policy's text from a file, with a model and lists that it may speak of."""

    def load(text: str, **changes: object) -> Policy:
        file = tmp_path / "policy.toml"
        file.write_text(text, encoding="utf-8")
        known = {
            "labels": ["harmless", "card", "dots"],
            "harmless": ["harmless"],
            "lists": {"national": "block", "seen": "review", "slates": "allow"},
        }
        return read.load(file, **{**known, **changes})

    return load


@pytest.fixture
def mistakes(loaded: Callable[..., Policy]) -> Callable[..., list[str]]:
    """Load a policy's text that has mistakes; return them without the file's folder."""

    def told(text: str, **changes: object) -> list[str]:
        with pytest.raises(UsageError) as refused:
            loaded(text, **changes)
        lines = str(refused.value).splitlines()
        assert all("policy.toml" in line for line in lines)
        return [line.partition("policy.toml:")[2] for line in lines]

    return told


# --- what holds -------------------------------------------------------------------------------------------------------


def test_without_a_file_every_label_that_is_not_harmless_counts_as_high() -> None:
    """As the contract has it, and known material opens whatever it is called."""
    policy = read.default(harmless=["harmless"]).for_tenant("any")
    assert policy.label("card") == LabelRule(severity="high", weight=1.0, trust="act")
    assert policy.label("harmless") is None
    assert policy.list_("national") == ListRule()
    assert policy.severities["critical"] == SeverityRule(respond_within_s=300.0, action="stop")


def test_the_default_policy_has_a_digest_of_what_it_says() -> None:
    """The same for every worker, whatever its model calls harmless."""
    ref = read.default().ref
    assert ref.name == "default"
    assert re.fullmatch("[0-9a-f]{64}", ref.sha256)
    assert read.default(harmless=["harmless"]).ref == ref


def test_a_policy_is_named_and_known_by_its_files_digest(loaded: Callable[..., Policy]) -> None:
    """So that an incident says which policy decided."""
    ref = loaded(WHOLE).ref
    assert (ref.name, ref.sha256) == ("whole", hashlib.sha256(WHOLE.encode()).hexdigest())


def test_what_a_file_does_not_say_keeps_its_default(loaded: Callable[..., Policy]) -> None:
    """Key by key: a table with one key does not forget the others."""
    policy = loaded(WHOLE).for_tenant(None)
    assert policy.risk == RiskRule(base_rate=1e-5, open_above=14.0, quiet_s=300.0)
    assert policy.severities["critical"] == SeverityRule(respond_within_s=120.0, action="pause")
    assert policy.severities["low"] == read.default().everybody.severities["low"]
    assert loaded('name = "short"').everybody == read.default(harmless=["harmless"]).everybody


def test_a_label_takes_what_its_table_lacks_from_the_star(loaded: Callable[..., Policy]) -> None:
    """And a label without a table is one of the others."""
    policy = loaded(WHOLE).for_tenant(None)
    assert policy.label("card") == LabelRule(
        severity="critical", weight=1.5, trust="route", category="cards", policy_ref="7.2"
    )
    assert policy.label("dots") == LabelRule(trust="route", category="other")


def test_a_tenants_tables_lie_over_everybodys(loaded: Callable[..., Policy]) -> None:
    """Key by key; other tenants and streams without one are not touched."""
    policy = loaded(WHOLE)
    kids = policy.for_tenant("kids-2")
    assert (kids.risk.open_above, kids.risk.quiet_s) == (10.0, 300.0)
    assert kids.label("card") == LabelRule(
        severity="critical", weight=2.0, trust="route", category="cards", policy_ref="7.2"
    )
    assert policy.for_tenant(None).risk.open_above == 14.0


def test_the_first_glob_that_fits_holds(loaded: Callable[..., Policy]) -> None:
    """In the order of the file; letters' case counts; a stream without a tenant fits no glob."""
    policy = loaded(WHOLE)
    actions = {
        tenant: policy.for_tenant(tenant).severities["high"].action for tenant in ("kids-2", "KIDS-2", "x", None)
    }
    assert actions == {"kids-2": "limit", "KIDS-2": "stop", "x": "stop", None: "limit"}


def test_names_from_outside_fill_no_memory(loaded: Callable[..., Policy]) -> None:
    """Every tenant that fits a glob has the very same policy."""
    policy = loaded(WHOLE)
    assert len({id(policy.for_tenant(f"kids-{n}")) for n in range(1000)}) == 1


# --- mistakes ---------------------------------------------------------------------------------------------------------


def test_every_mistake_is_told_with_its_line(mistakes: Callable[..., list[str]]) -> None:
    """All at once, in the order of the lines, with a near match where there is one."""
    text = """name = "bad"
colour = "red"
[risk]
base_rate = 2.0
half_live_s = 30
open_above = nan
[labels.crad]
severity = "crtical"
weight = "heavy"
[labels.harmless]
[lists.natinal]
trust = "act"
[severity.urgent]
action = "stop"
[severity.high]
action = "kill"
respond_within_s = true
[tenants."kids-*".risk]
quiet_s = -1
[tenants."kids-*".lists.national]
weight = 3
"""
    assert mistakes(text) == [
        "2: colour: no policy has this",
        "4: risk.base_rate: must be 1e-09 to 0.1, not 2.0",
        "5: risk.half_live_s: no such key (did you mean half_life_s?)",
        "6: risk.open_above: must be 1 to 100 nats, not nan",
        "7: labels.crad: the model has no such label (did you mean card?)",
        "8: labels.crad.severity: must be one of critical, high, medium, low, not 'crtical' (did you mean critical?)",
        "9: labels.crad.weight: must be a number, not 'heavy'",
        "10: labels.harmless: the model calls this label harmless: it never counts",
        "11: lists.natinal: there is no such hash list (did you mean national?)",
        "13: severity.urgent: there is no such severity",
        "16: severity.high.action: must be one of none, warn, limit, pause, stop, not 'kill'",
        "17: severity.high.respond_within_s: must be a number, not True",
        '19: tenants."kids-*".risk.quiet_s: must be 1 to 86400 seconds, not -1',
        (
            '21: tenants."kids-*".lists.national.weight: only review lists have a weight; '
            "of a block list a match opens an incident at once"
        ),
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[risk]\nclose_below = 12\n", "2: risk.close_below: close_below (12) must be below open_above (12)"),
        (
            "[risk]\nclose_below = 12\n[tenants.a.risk]\nquiet_s = 9\n",
            "2: risk.close_below: close_below (12) must be below open_above (12)",
        ),
        ("[risk]\nopen_above = 30\n", "2: risk.open_above: open_above (30) must be below cap (24)"),
        ("[risk]\nbase_rate = 0.1\nshare = 0.1\n", "2: risk.base_rate: base_rate (0.1) must be below share (0.1)"),
        (
            "[risk]\nclose_below = 6\n[tenants.a.risk]\nopen_above = 5\n",
            "4: tenants.a.risk.open_above: close_below (6) must be below open_above (5)",
        ),
    ],
)
def test_thresholds_must_rise(mistakes: Callable[..., list[str]], text: str, told: str) -> None:
    """Also where a tenant changes one of a pair only; told once, at the line that somebody wrote."""
    assert mistakes(f'name = "x"\n{text}') == [f"{int(told[0]) + 1}{told[1:]}"]


@pytest.mark.parametrize(
    "value",
    ["inf", "-inf", "nan", "1e400", "true", '"12"', "[12]", "{ a = 1 }", "2024-01-01", "0xffffffffffffffffffff"],
)
def test_only_finite_numbers_are_numbers(mistakes: Callable[..., list[str]], value: str) -> None:
    """Whatever else TOML can write is one mistake."""
    assert len(mistakes(f'name = "x"\n[risk]\nhalf_life_s = {value}\n')) == 1


@pytest.mark.parametrize(
    "text",
    [
        "risk = 3",
        'labels = "card"',
        "labels.card = 3",
        "tenants = []",
        'tenants.kids = "x"',
        "[[risk]]",
        "severity.high = 1",
    ],
)
def test_what_is_no_table_is_told(mistakes: Callable[..., list[str]], text: str) -> None:
    """In place of a table, anything else is one mistake at its line."""
    (told,) = mistakes(f'name = "x"\n{text}\n')
    assert told.startswith("2: ")
    assert "must be" in told


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b'name = "x"\n[risk\n', ":2: not TOML"),
        (b'name = "x"\n[risk]\nshare = 0.5\nshare = 0.6\n', "not TOML"),
        (b'name = "x"\n# \xff\n', ":2: not UTF-8"),
        (b"[risk]\n", ":1: name: is missing"),
        (b'name = ""\n', ":1: name: must be one line"),
        (b"name = " + b"9" * 5000, "not TOML"),
        (b"a = " + b"[" * 5000, "not TOML"),
        (b"#" * (read.MAX_BYTES + 1), "at most"),
    ],
)
def test_what_is_no_policy_is_one_line(tmp_path: Path, data: bytes, told: str) -> None:
    """A file that can't be read as TOML is told in one line, whatever is in it."""
    file = tmp_path / "policy.toml"
    file.write_bytes(data)
    with pytest.raises(UsageError) as refused:
        read.load(file)
    assert told in str(refused.value)
    assert len(str(refused.value).splitlines()) == 1


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    """With its name and the system's reason."""
    with pytest.raises(UsageError, match=r"none\.toml: the policy can't be read: No such file"):
        read.load(tmp_path / "none.toml")


def test_labels_and_lists_are_checked_only_where_they_are_known(loaded: Callable[..., Policy]) -> None:
    """A worker without a classifier may share its policy with one that has one."""
    text = 'name = "x"\n[labels.any]\n[lists.any]\nweight = 2\n'
    assert loaded(text, labels=None, harmless=(), lists=None).everybody.list_("any").weight == 2.0


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_any_bytes_are_a_policy_or_a_mistake(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    """Nothing but a UsageError ever comes of a file."""
    file = tmp_path_factory.getbasetemp() / "any.toml"
    file.write_bytes(data)
    with suppress(UsageError):
        read.load(file)


# --- lines ------------------------------------------------------------------------------------------------------------


def test_lines_are_found_however_the_file_is_written() -> None:
    """Quoted and dotted keys, comments, strings and arrays over several lines, inline tables, other ends of lines."""
    text = (
        '# [not.a.table]\r\nname = """\r\n[nor.this]\r\nkey = 1"""\r\n\r\n[ a . "b.c" ]  # here\r\n'
        "d.e = [ # one\r\n  1,\r\n]\r\nf = { g = 1, h.i = 2 }\r\n's\u2028t' = '=]'\r\n[[k]]\r\nm = 1\r\n"
    )
    found = line_numbers(text)
    lines = {".".join(path): line for path, line in found.items()}
    assert lines == {
        "name": 2,
        "a": 6,
        "a.b.c": 6,
        "a.b.c.d": 7,
        "a.b.c.d.e": 7,
        "a.b.c.f": 10,
        "a.b.c.f.g": 10,
        "a.b.c.f.h": 10,
        "a.b.c.f.h.i": 10,
        "a.b.c.s\u2028t": 11,
        "k": 12,
        "k.m": 13,
    }


# --- its page ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("table", "allowed", "defaults"),
    [
        ("risk", keys.RISK, RiskRule()),
        ("labels", keys.LABEL, LabelRule()),
        ("lists", keys.LIST, ListRule()),
        ("severity", keys.SEVERITY, None),
    ],
)
def test_the_page_names_every_key_with_its_default(
    table: str, allowed: keys.Keys, defaults: msgspec.Struct | None
) -> None:
    """What the operator reads is what the program does."""
    rows = re.findall(rf"^\| `{table}\.(\w+)` \| ([^|]+) \|", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert [name for name, _ in rows] == list(allowed)
    if defaults is None:
        return
    for name, told in rows:
        default = getattr(defaults, name)
        shown = f"{default:g}" if isinstance(default, float) else f'"{default}"'
        assert told.strip().startswith(f"`{shown}`") or default is None


def test_the_pages_severities_are_the_defaults() -> None:
    """Times to respond and actions, from the gravest to the least."""
    rows = re.findall(r"^\| (\w+) \| (\d+) \| `(\w+)` \|", DOCS.read_text(encoding="utf-8"), flags=re.MULTILINE)
    severities = read.default().everybody.severities
    assert rows == [(name, f"{rule.respond_within_s:.0f}", rule.action) for name, rule in severities.items()]


def test_the_pages_example_is_a_policy_that_opens_sooner_for_kids(tmp_path: Path) -> None:
    """The file that the page shows can be copied as it stands."""
    example = re.search(r"```toml\n(.*?)```", DOCS.read_text(encoding="utf-8"), flags=re.DOTALL)
    assert example
    file = tmp_path / "policy.toml"
    file.write_text(example[1], encoding="utf-8")
    policy = read.load(file)
    after = {}
    for tenant in ("kids-1", "other"):
        state, effective = StreamRisk(), policy.for_tenant(tenant)
        for number in range(3):
            segment = an_assessment(a_segment(number), looks=(a_look(probability=0.99),))
            placed = Placed(
                assessment=segment,
                media_time_s=2.0 * number,
                media_time_from="counted",
                elapsed_s=2.0,
                watched_s=2.0,
                gap_s=0.0,
                discontinuity=False,
            )
            state, _ = risk.step(state, placed, START, effective)
        after[tenant] = state.incident is not None
    assert after == {"kids-1": True, "other": False}
