"""A real Apache Kafka for the parts that need one, started once a run."""

from __future__ import annotations

import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from support import kafka

if TYPE_CHECKING:
    from collections.abc import Iterator


def why_not() -> str | None:
    """Why there is none here, in one line; None where there is."""
    reason = kafka.why_not()
    if reason is not None:
        return reason
    try:
        kafka.jars()
    except subprocess.CalledProcessError as error:
        return f"Maven could not fetch Apache Kafka (status {error.returncode})"
    return None


def version() -> dict[str, str]:
    """Its version, where there is one."""
    return {} if why_not() else {"Apache Kafka": kafka.jars().name}


@contextmanager
def started() -> Iterator[kafka.Cluster]:
    """Give a broker that ends with the block."""
    with tempfile.TemporaryDirectory() as folder, kafka.Cluster(Path(folder) / "kafka") as cluster:
        yield cluster
