"""Sealed models that the tests of this folder serve in this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.end_to_end import models

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.models import Sealed


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="session")
def digits(places: Path) -> Sealed:
    return models.digits(places)


@pytest.fixture(scope="session")
def fragile(places: Path) -> Path:
    return models.story("fragile", places)
