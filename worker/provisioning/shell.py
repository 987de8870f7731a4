"""Topics and rights as a shell script around Kafka's own tools. Pure."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

from worker.provisioning.rights import MEANINGS, account

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from worker.provisioning.rights import Grant, Principal
    from worker.topics import Topic

_FLAG = {"topic": "--topic", "group": "--group", "transactional_id": "--transactional-id"}


def script(
    topics: Iterable[Topic],
    rights: Mapping[Principal, Iterable[Grant]],
    *,
    replication: int,
    bootstrap_servers: str,
) -> str:
    """Return a POSIX shell script that makes topics and rights; running it twice is running it once."""
    head = [
        "#!/bin/sh",
        "# Framewatch's topics and the least rights of each principal, by kafka-topics.sh and kafka-acls.sh on PATH.",
        "# KAFKA_COMMAND_CONFIG names the administrator's client properties, if the broker wants any.",
        "set -eu",
        f"default={shlex.quote(bootstrap_servers)}",
        'BOOTSTRAP="${BOOTSTRAP:-$default}"',
    ]
    made = (_topic(topic, replication) for topic in topics)
    return "\n".join([*head, "", *made, *_rights(rights)]) + "\n"


def _call(tool: str, *words: str) -> str:
    to_broker = '--bootstrap-server "$BOOTSTRAP" ${KAFKA_COMMAND_CONFIG:+--command-config "$KAFKA_COMMAND_CONFIG"}'
    return f"{tool} {to_broker} {shlex.join(words)}"


def _topic(topic: Topic, replication: int) -> str:
    settings = [word for key, value in topic.config.items() for word in ("--config", f"{key}={value}")]
    counts = ("--partitions", str(topic.partitions), "--replication-factor", str(replication))
    return _call("kafka-topics.sh", "--create", "--if-not-exists", "--topic", topic.name, *counts, *settings)


def _rights(rights: Mapping[Principal, Iterable[Grant]]) -> Iterator[str]:
    for principal, granted in rights.items():
        yield ""
        yield f"# {principal}: {MEANINGS[principal]}"
        yield from (_grant(account(principal), grant) for grant in granted)


def _grant(user: str, grant: Grant) -> str:
    operations = [word for operation in grant.operations for word in ("--operation", operation)]
    return _call("kafka-acls.sh", "--add", "--allow-principal", f"User:{user}", *operations, *_resource(grant))


def _resource(grant: Grant) -> list[str]:
    if grant.name is None:
        return ["--cluster"]
    pattern = "prefixed" if grant.prefixed else "literal"
    return [_FLAG[grant.resource], grant.name, "--resource-pattern-type", pattern]
