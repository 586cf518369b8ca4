"""Sealed models and running servers, shared by every test that asks a server."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end import models
from tests.end_to_end.driver import Served, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.models import Sealed


@pytest.fixture(scope="session")
def tickets(places: Path) -> Sealed:
    return models.tickets(places)


@pytest.fixture(scope="session")
def gated(places: Path) -> Path:
    return models.story("gated", places)


@pytest.fixture(scope="module")
def one(digits: Sealed) -> Iterator[Served]:
    """A server of one model."""
    with serving(digits.path) as served:
        yield served


@pytest.fixture(scope="module")
def many(digits: Sealed, tickets: Sealed, fragile: Path) -> Iterator[Served]:
    """A server of three models, one of them python."""
    with serving(digits.path, tickets.path, fragile, arguments=("--allow-code",)) as served:
        yield served
