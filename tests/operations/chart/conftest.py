"""The chart through both helms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.helm import EXAMPLES, Helm, needed

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def helm3() -> Helm:
    """Helm 3."""
    return Helm(needed(3))


@pytest.fixture(scope="session")
def helm4() -> Helm:
    """Helm 4."""
    return Helm(needed(4))


@pytest.fixture(params=["helm3", "helm4"])
def helm(request: pytest.FixtureRequest) -> Helm:
    """Helm 3, then helm 4."""
    return request.getfixturevalue(request.param)


@pytest.fixture(params=EXAMPLES, ids=[path.name.removesuffix("-values.yaml") for path in EXAMPLES])
def example(request: pytest.FixtureRequest) -> Path:
    """Each of the chart's example values."""
    return request.param
