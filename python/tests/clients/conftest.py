"""The client of JavaScript for all tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.clients import javascript

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture(scope="session")
def node(program: Callable[[str], str]) -> str:
    """Node; the client is installed and compiled."""
    path, npm = program("node"), program("npm")
    javascript.make(npm)
    return path
