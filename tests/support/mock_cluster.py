"""The embedded broker of the demo, in a process of its own, for tests that need some broker but not a real one."""

from __future__ import annotations

import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


@contextmanager
def mock_cluster(topics: Mapping[str, int]) -> Iterator[str]:
    """Serves the topics (name to partitions) and gives the bootstrap address; what it can't do stands in its module."""
    pairs = ",".join(f"{name}:{partitions}" for name, partitions in topics.items())
    command = [sys.executable, "-P", "-m", "worker.demo.broker", "--topics", pairs]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        # On leaving, Popen closes standard input, which ends the broker, and waits for it.
        yield process.stdout.readline().strip()
