"""Where the show takes place: the broker and its topics, the worker's settings, the hash list."""

from __future__ import annotations

import os
import secrets
import socket
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

from worker import topics
from worker.demo import encode
from worker.demo.processes import embedded_broker
from worker.errors import Stopped
from worker.kafka import admin
from worker.settings.tree import Escalation, Fetch, Jail, Kafka, Log, Matching, Scoring, Settings, Topics, Web

if TYPE_CHECKING:
    from contextlib import AsyncExitStack

PARTITIONS = 6
MOST_COPIES = 3
BROKER_VARIABLE = "KAFKA_BOOTSTRAP_SERVERS"
LIST_TOML = """\
name = "demo-clips"
version = "1"
algorithm = "pdq"
radius = 31
kind = "block"
severity = "critical"
source = "made by the demo of its own harmless clip"
"""


def topic_names() -> Topics:
    """The topics' names: plain ones on the embedded broker, on somebody's own such that they meet no others."""
    plain = Topics(assessments="assessments")
    if not os.environ.get(BROKER_VARIABLE):
        return plain
    prefix = f"demo-{secrets.token_hex(3)}-"
    return Topics(**{each.name: prefix + getattr(plain, each.name) for each in fields(Topics)})


async def open_broker(closing: AsyncExitStack, names: Topics) -> tuple[str, Settings]:
    """Start the embedded broker, or make the topics on the one that the environment names."""
    servers = os.environ.get(BROKER_VARIABLE)
    if servers:
        kafka = Kafka(bootstrap_servers=servers, group_id=names.segments.replace("segments", "group"))
        settings = Settings(kafka=kafka, topics=names)
        copies = min(MOST_COPIES, (await admin.cluster(kafka)).brokers)
        became = await admin.create(
            kafka, topics.wanted(settings, PARTITIONS, replication=copies).values(), replication=copies
        )
        if wrong := [f"topic {name}: {what}" for name, what in became.items() if what != "created"]:
            raise Stopped(" | ".join(wrong))
        return f"Kafka at {servers}", settings
    wanted = topics.wanted(Settings(topics=names), PARTITIONS).values()
    address = await closing.enter_async_context(embedded_broker({each.name: each.partitions for each in wanted}))
    kafka = Kafka(bootstrap_servers=address, group_id="demo", guarantee="at_least_once", session_timeout_s=10)
    return f"embedded broker at {address}", Settings(kafka=kafka, topics=names)


def worker_settings(base: Settings, folder: Path) -> Settings:
    """Return what the worker runs with; everything of it lies in the folder."""
    media = folder / "media"
    media.mkdir()
    return replace(
        base,
        fetch=Fetch(roots=(media.as_uri() + "/",)),
        matching=Matching(lists=(str(folder / "list"),)),
        scoring=Scoring(model=str(model_folder())),
        escalation=Escalation(source="framewatch-demo"),
        web=Web(port=_free_port()),
        jail=Jail(require="none"),  # a show runs wherever it can; its bytes are our own
        log=Log(format="json"),
    )


def model_folder() -> Path:
    """Return the demo classifier's folder: beside this file in the wheel, in models/ in a checkout."""
    packaged = Path(__file__).with_name("model")
    return packaged if packaged.exists() else Path(__file__).parents[2] / "models" / "demo"


def write_list(folder: Path) -> int:
    """Write the hash list of the demo's clip, and return how many frames it has."""
    folder.mkdir()
    (folder / "list.toml").write_text(LIST_TOML)
    rows = [
        f"{frame.pdq.hex()},{frame.quality},demo clip,rerun,{at_s:.3f}"
        for at_s, frame in encode.clip_hashes()
        if frame.pdq is not None
    ]
    (folder / "clips.csv").write_text("\n".join(["hash,quality,category,entry,time_s", *rows]) + "\n")
    return len(rows)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        port: int = one.getsockname()[1]
    return port
