"""Topics and rights as Strimzi's custom resources, for Kafka on Kubernetes. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING, Any

from worker.provisioning.rights import MEANINGS, account

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from worker.provisioning.rights import Grant, Principal
    from worker.topics import Topic

API = "kafka.strimzi.io/v1beta2"
LONGEST_NAME = 253
_TYPES = {"topic": "topic", "group": "group", "transactional_id": "transactionalId", "cluster": "cluster"}
_HEAD = """\
# Framewatch's topics and the least rights of each principal, for Strimzi's topic and user operators.
# Give each KafkaUser the spec.authentication of your listener; the cluster needs spec.kafka.authorization: simple."""


def manifests(
    topics: Iterable[Topic], rights: Mapping[Principal, Iterable[Grant]], *, replication: int, cluster: str
) -> str:
    """Return YAML documents: a KafkaTopic for each topic, a KafkaUser for each principal.

    Args:
        topics: As they should be.
        rights: What each principal may do.
        replication: Copies of each partition.
        cluster: Name of the Kafka resource that they belong to.
    """
    labels = {"strimzi.io/cluster": cluster}
    documents = [
        *(_block(_topic(topic, replication, labels)) for topic in topics),
        *(f"# {MEANINGS[who]}\n{_block(_user(account(who), granted, labels))}" for who, granted in rights.items()),
    ]
    return "\n---\n".join([_HEAD, *documents]) + "\n"


def resource_name(name: str) -> str:
    """Return a Kubernetes name for a topic: its own where that is one, else made like it, with a digest."""
    plain = re.sub(r"[^a-z0-9-]+", "-", name.lower()).strip("-")
    if plain == name:
        return name
    digest = hashlib.sha256(name.encode()).hexdigest()[:8]
    return f"{plain[: LONGEST_NAME - 9]}-{digest}".strip("-")


def _topic(topic: Topic, replication: int, labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "KafkaTopic",
        "metadata": {"name": resource_name(topic.name), "labels": dict(labels)},
        "spec": {
            "topicName": topic.name,
            "partitions": topic.partitions,
            "replicas": replication,
            "config": dict(topic.config),
        },
    }


def _user(name: str, granted: Iterable[Grant], labels: Mapping[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": API,
        "kind": "KafkaUser",
        "metadata": {"name": name, "labels": dict(labels)},
        "spec": {"authorization": {"type": "simple", "acls": [_acl(grant) for grant in granted]}},
    }


def _acl(grant: Grant) -> dict[str, Any]:
    resource = {"type": _TYPES[grant.resource]}
    if grant.name is not None:
        resource |= {"name": grant.name, "patternType": "prefix" if grant.prefixed else "literal"}
    return {"resource": resource, "operations": list(grant.operations), "host": "*"}


def _block(table: Mapping[str, Any], indent: str = "") -> str:
    """Return a table as a YAML block; a JSON string is a YAML string, whatever is in it."""
    return "\n".join(line for key, value in table.items() for line in _entry(key, value, indent))


def _entry(key: str, value: Any, indent: str) -> list[str]:
    if isinstance(value, dict):
        return [f"{indent}{_key(key)}:", _block(value, indent + "  ")]
    if isinstance(value, list):
        return [f"{indent}{_key(key)}:", *(f"{indent}  - {json.dumps(each, ensure_ascii=False)}" for each in value)]
    return [f"{indent}{_key(key)}: {json.dumps(value, ensure_ascii=False)}"]


def _key(key: str) -> str:
    return key if re.fullmatch(r"[A-Za-z][A-Za-z0-9./-]*", key) else json.dumps(key, ensure_ascii=False)
