"""The server of `protocol/stories.toml`, for all tests of this folder."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.client.stage import Stage
from tests.end_to_end.driver import DEADLINE_S
from tests.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def running(places: Path) -> Iterator[dict[str, Any]]:
    """The server, as clients of any language start it."""
    command = [sys.executable, "-m", "tests.services.stories", str(places / "stories")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe) as process:
        SERVICES.add(process.pid)
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            assert process.wait(DEADLINE_S) == 0
            SERVICES.discard(process.pid)


@pytest.fixture
def stage(running: dict[str, Any]) -> Iterator[Stage]:
    """The server at the beginning of a story."""
    stage = Stage(running)
    stage.say("forget")
    yield stage
    stage.say("open")
