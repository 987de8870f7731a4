"""The chart's values: what they can be, what becomes of them, and what the documents say of them."""

from __future__ import annotations

import json
import os
import re
from typing import Any

import msgspec
import pytest
import yaml
from support.generated import compare
from support.helm import CHART, only, pods

from worker.settings.load import load
from worker.settings.rows import describe, sections

LEAST = CHART / "ci" / "least-values.yaml"
SCHEMA = CHART / "values.schema.json"
DECIDED_ELSEWHERE = {
    "kafka.instance_id",  # the pod's name
    "scoring.model",  # model
    "matching.lists",  # lists
    "policy.file",  # policy
    "web.host",  # the probes' and Prometheus'
    "web.port",  # port
}
"""Settings that other values decide."""
KUBERNETES_OWN = {"resources", "seccompProfile"}
"""Values whose inside is Kubernetes' own."""


def settings_schema() -> dict[str, Any]:
    """What ``settings`` can be, made from the worker's own tree."""
    by_section: dict[str, Any] = {}
    for row in describe():
        if row.name in DECIDED_ELSEWHERE:
            continue
        (kind,), parts = msgspec.json.schema_components([row.type])
        for part in parts.values():
            part.update(additionalProperties=False)
        made = _inlined(kind, parts)
        by_section.setdefault(row.section, {})[row.key] = {"description": row.meaning, **made}
    return {
        "type": "object",
        "additionalProperties": False,
        "properties": {
            name: {"type": "object", "description": meaning, "additionalProperties": False, "properties": keys}
            for name, meaning in sections().items()
            if (keys := by_section.get(name))
        },
    }


def _inlined(kind: Any, parts: dict[str, Any]) -> Any:
    """A schema without references, defaults and Python's own spelling of an end."""
    if isinstance(kind, list):
        return [_inlined(one, parts) for one in kind]
    if not isinstance(kind, dict):
        return kind
    if "$ref" in kind:
        return _inlined(parts[kind["$ref"].rpartition("/")[2]], parts)
    made = {key: _inlined(value, parts) for key, value in kind.items() if key not in ("default", "title")}
    if isinstance(made.get("pattern"), str):
        made["pattern"] = made["pattern"].replace(r"\Z", "$")
    return made


def values_table() -> str:
    """Every value with what stands above it in values.yaml, as Markdown."""
    found = yaml.safe_load((CHART / "values.yaml").read_text())
    rows = ["| value | default | meaning |", "| --- | --- | --- |"]
    path: list[tuple[int, str]] = []
    said: list[str] = []
    for line in (CHART / "values.yaml").read_text().splitlines():
        comment, key = re.match(r"\s*# (.*)", line), re.match(r"( *)([A-Za-z]+):", line)
        if comment:
            said.append(comment[1])
        elif key:
            path = [*(one for one in path if one[0] < len(key[1])), (len(key[1]), key[2])]
            names = [name for _, name in path]
            if said and names:
                rows.append(f"| `{'.'.join(names)}` | {_shown(found, names)} | {' '.join(said)} |")
            said = []
        else:
            said = []
    return "\n".join(rows)


def _shown(found: Any, names: list[str]) -> str:
    for name in names:
        found = found[name]
    text = json.dumps(found)
    return "" if found in ("", None, [], {}) else f"`{text}`" if len(text) <= 60 else "see values.yaml"


def test_the_schema_of_settings_is_the_workers_own():
    """Every setting that the worker knows can be given, with the worker's own ranges, and no other."""
    schema = json.loads(SCHEMA.read_text())
    if os.environ.get("FRAMEWATCH_TEST_WRITE_DOCS"):
        schema["definitions"]["settings"] = settings_schema()
        SCHEMA.write_text(json.dumps(schema, indent=2) + "\n")
    assert schema["definitions"]["settings"] == settings_schema(), "values.schema.json is not of this tree: make docs"


def test_the_documents_table_is_the_charts_values():
    """docs/kubernetes.md says what values.yaml says."""
    compare("kubernetes.md", "values", values_table())


def test_every_value_has_a_meaning_and_a_schema():
    """Nothing in values.yaml is unexplained, and nothing in it is unknown to the schema, or the other way round."""
    schema = json.loads(SCHEMA.read_text())["properties"]
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values.keys() | {"global"} == schema.keys()
    table = values_table()
    for name, value in values.items():
        inner = value if "properties" in schema[name] and name not in KUBERNETES_OWN else {}
        for key in inner:
            assert f"| `{name}.{key}" in table, f"{name}.{key} has no comment"
        assert inner.keys() <= schema[name].get("properties", {}).keys()
        assert inner or f"| `{name}`" in table, f"{name} has no comment"


# --- what the values become ---


def environment(container: dict[str, Any]) -> dict[str, str]:
    """A container's environment in a pod named framewatch-0."""
    known = {"metadata.name": "framewatch-0"}
    return {
        one["name"]: one["value"] if "value" in one else known[one["valueFrom"]["fieldRef"]["fieldPath"]]
        for one in container.get("env", [])
    }


def loaded(documents: list[dict[str, Any]], tmp_path: Any, *, more: dict[str, str] | None = None) -> Any:
    """The settings as the worker itself reads them from what was rendered."""
    [name] = [d["metadata"]["name"] for d in documents if d["kind"] == "StatefulSet"]
    file = tmp_path / "config.toml"
    file.write_text(only(documents, "ConfigMap", name)["data"]["config.toml"])
    [container] = pods(documents)[f"StatefulSet/{name}"]["containers"]
    return load(flags={}, environ=environment(container) | (more or {}), config=file)


def test_the_worker_takes_the_settings_of_every_example(helm, example, tmp_path):
    """No name, type, range or combination that it does not know; each value arrives as it was given."""
    found = loaded(helm.render(example), tmp_path)
    given = yaml.safe_load(example.read_text())
    for section, keys in given["settings"].items():
        for key, value in keys.items():
            if not isinstance(value, list):
                assert getattr(getattr(found, section), key) == value
    assert found.kafka.instance_id == "framewatch-0"
    assert (found.web.host, found.web.port) == ("0.0.0.0", given.get("port", 8080))  # noqa: S104 - in the pod


def test_texts_numbers_and_tables_arrive_as_they_were_given(helm, tmp_path):
    """Quotes, backslashes, markup and other alphabets; large integers; a root's table beside a plain one."""
    odd = 'https://x/{stream_id}?a="1"&b=<\\2>\'ü\t\u2028'
    roots = ["s3://a/", {"uri": "https://b/c/", "private": True, "header_file": "/run/secrets/framewatch/h/line"}]
    values = {
        "settings": {
            "links": {"watch": odd},
            "intake": {"max_bytes": 1234567890, "resume_below": 0.25, "window": 1000000},
            "fetch": {"roots": roots},
            "dead_letters": {"payload": True},
        },
        "secrets": ["h"],
        "networkPolicy": {"stores": {"to": [{"ipBlock": {"cidr": "10.0.0.0/8"}}]}},
    }
    found = loaded(helm.render(LEAST, values=values), tmp_path)
    assert found.links.watch == odd
    assert (found.intake.max_bytes, found.intake.resume_below, found.intake.window) == (1234567890, 0.25, 1000000)
    assert found.fetch.roots[0] == "s3://a/"
    assert (found.fetch.roots[1].private, found.fetch.roots[1].header_file) == (True, "/run/secrets/framewatch/h/line")
    assert found.dead_letters.payload is True


@pytest.mark.parametrize(
    ("limit", "decoders"), [("2", 2), (3, 3), ("3500m", 3), ("500m", 1), ("0.5", 1), (2.5, 2), ("16", 16)]
)
def test_the_cpu_limit_is_the_number_of_decoders_and_model_threads(helm, tmp_path, limit, decoders):
    """Rounded down, at least one."""
    values = {"resources": {"limits": {"cpu": limit}, "requests": {"cpu": "100m"}}}
    found = loaded(helm.render(LEAST, values=values), tmp_path)
    assert (found.jail.processes, found.scoring.threads) == (decoders, decoders)


def test_who_sets_decoders_or_threads_is_obeyed(helm4, tmp_path):
    """The limit fills in what was left open only."""
    found = loaded(helm4.render(LEAST, values={"settings": {"jail": {"processes": 7}}}), tmp_path)
    assert (found.jail.processes, found.scoring.threads) == (7, 2)


def test_every_variable_of_the_chart_is_a_setting(helm4, example):
    """No FRAMEWATCH_ in any pod that the worker would refuse to know."""
    known = {row.variable for row in describe()}
    named = [one["name"] for pod in pods(helm4.render(example)).values() for c in pod["containers"] for one in c["env"]]
    assert {name for name in named if name.startswith("FRAMEWATCH_")} <= known


def links_of(service: str, address: str = "tcp://10.0.0.1:8080") -> dict[str, str]:
    """What the kubelet tells a pod with service links of a Service with port 8080."""
    stem = service.upper().replace("-", "_")
    return {f"{stem}_PORT": address, f"{stem}_SERVICE_HOST": "10.0.0.1", f"{stem}_PORT_8080_TCP_PORT": "8080"}


def test_a_service_named_like_a_setting_changes_nothing(helm4, tmp_path):
    """Beside a Service framewatch-web: the pod is told nothing of it, and a worker that is told does not heed it."""
    documents = helm4.render(LEAST)
    links = links_of("framewatch-web") | links_of("framewatch")
    assert links["FRAMEWATCH_WEB_PORT"] == "tcp://10.0.0.1:8080"
    assert "FRAMEWATCH_WEB_PORT" in {row.variable for row in describe()}, "or there is nothing to mistake it for"
    for pod in pods(documents).values():
        assert pod["enableServiceLinks"] is False
    assert loaded(documents, tmp_path, more=links) == loaded(documents, tmp_path)
    assert loaded(documents, tmp_path, more=links).web.port == 8080


@pytest.mark.parametrize(("grace_s", "seconds"), [(None, 30), (40, 45), (12.5, 18)])
def test_kubernetes_waits_longer_than_the_worker_takes(helm4, tmp_path, grace_s, seconds):
    """SIGKILL comes 5 s after the worker's own grace period."""
    values = {"settings": {"shutdown": {"grace_s": grace_s}}} if grace_s else {}
    documents = helm4.render(LEAST, values=values)
    assert pods(documents)["StatefulSet/framewatch"]["terminationGracePeriodSeconds"] == seconds
    assert seconds - loaded(documents, tmp_path).shutdown.grace_s >= 5


def test_no_value_holds_a_secret():
    """Neither a value nor a setting is a password or a key: they are files of Secrets."""
    schema = json.loads(SCHEMA.read_text())
    names = set(re.findall(r'"(\w+)": \{', json.dumps(schema)))
    assert {name for name in names if re.search(r"password|secret|token|key", name, re.IGNORECASE)} == {
        "secrets",  # names of Secrets
        "pullSecrets",
        "password_file",
        "token_file",
        "key_file",
        "key_password_file",
        "token_provider",
        "topologyKey",
        "max_keyframes",
        "first_keyframe_s",
    }
