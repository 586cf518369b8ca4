"""The server of `protocol/stories.toml` at the beginning of a story, for tests of this folder."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.client.stage import Stage

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def stage(story_server: dict[str, Any]) -> Iterator[Stage]:
    """The server at the beginning of a story."""
    stage = Stage(story_server)
    stage.say("forget")
    yield stage
    stage.say("open")
