"""Topics and rights as Terraform's resources, for the provider Mongey/kafka. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from typing import TYPE_CHECKING

from worker.provisioning.rights import MEANINGS, account

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from worker.provisioning.rights import Grant, Principal
    from worker.topics import Role, Topic

_TYPES = {"topic": "Topic", "group": "Group", "transactional_id": "TransactionalID", "cluster": "Cluster"}
CLUSTER_NAME = "kafka-cluster"
"""The one name that Kafka knows the cluster resource by."""
_HEAD = """\
# Framewatch's topics and the least rights of each principal. The provider's own settings are yours.
terraform {
  required_providers {
    kafka = {
      source = "Mongey/kafka"
    }
  }
}"""


def configuration(
    topics: Mapping[Role, Topic], rights: Mapping[Principal, Iterable[Grant]], *, replication: int
) -> str:
    """Return a Terraform configuration: a kafka_topic for each topic, a kafka_acl for each right."""
    made = (_topic(role, topic, replication) for role, topic in topics.items())
    return "\n\n".join([_HEAD, *made, *_rights(rights)]) + "\n"


def _topic(role: str, topic: Topic, replication: int) -> str:
    config = [f"    {_text(key)} = {_text(value)}" for key, value in topic.config.items()]
    return "\n".join(
        [
            f'resource "kafka_topic" "{role}" {{',
            f"  name               = {_text(topic.name)}",
            f"  partitions         = {topic.partitions}",
            f"  replication_factor = {replication}",
            "  config = {",
            *config,
            "  }",
            "}",
        ]
    )


def _rights(rights: Mapping[Principal, Iterable[Grant]]) -> Iterator[str]:
    for principal, granted in rights.items():
        yield f"# {principal}: {MEANINGS[principal]}"
        for grant in granted:
            for operation in grant.operations:
                yield _acl(_label(principal, grant, operation), principal, grant, operation)


def _acl(label: str, principal: Principal, grant: Grant, operation: str) -> str:
    return "\n".join(
        [
            f'resource "kafka_acl" "{label}" {{',
            f"  resource_type                = {_text(_TYPES[grant.resource])}",
            f"  resource_name                = {_text(grant.name or CLUSTER_NAME)}",
            f"  resource_pattern_type_filter = {_text('Prefixed' if grant.prefixed else 'Literal')}",
            f"  acl_principal                = {_text(f'User:{account(principal)}')}",
            '  acl_host                     = "*"',
            f"  acl_operation                = {_text(operation)}",
            '  acl_permission_type          = "Allow"',
            "}",
        ]
    )


def _label(principal: Principal, grant: Grant, operation: str) -> str:
    """Return a name that does not change when other rights come or go; a digest keeps names apart that look alike."""
    name = grant.name or CLUSTER_NAME
    plain = re.sub(r"[^A-Za-z0-9-]", "_", name)
    digest = "" if plain == name else f"_{hashlib.sha256(name.encode()).hexdigest()[:8]}"
    return f"{principal}_{grant.resource}_{plain}{digest}_{_snake(operation)}"


def _snake(operation: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", operation).lower()


def _text(text: str) -> str:
    """Return an HCL string: JSON's escapes, and no templates."""
    return json.dumps(text, ensure_ascii=False).replace("${", "$${").replace("%{", "%%{")
