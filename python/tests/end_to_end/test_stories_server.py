"""The server of `protocol/stories.toml` does what is said there, so that clients can rely on it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.client import HTTPException
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.driver import DEADLINE_S, ask, poll
from tests.services.stories.__main__ import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Reply


@contextmanager
def told(directory: Path) -> Iterator[dict[str, str]]:
    """The server as clients start it: a program that says where it listens."""
    command = [sys.executable, "-m", "tests.services.stories", str(directory)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, text=True, stdin=pipe, stdout=pipe) as process:
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            assert process.wait(DEADLINE_S) == 0


@pytest.fixture(scope="module")
def stage(places: Path) -> Iterator[dict[str, str]]:
    with told(places / "told") as addresses:
        yield addresses


def say(stage: dict[str, str], word: str) -> Any:
    reply = ask(stage["control"], "POST", f"/{word}")
    assert reply.status == 200, reply.body.decode()
    return reply.json()


def double(address: str, model: str = "double", value: float = 2.0) -> Reply:
    return ask(address, "POST", f"/v1/models/{model}:predict", {"instances": [value]})


def test_every_story_says_what_is_done_and_seen(root: Path) -> None:
    stories = tomllib.loads((root / "protocol" / "stories.toml").read_text("utf-8"))
    assert len(stories) >= 30
    for name, story in stories.items():
        assert re.fullmatch(r"[a-z0-9]+(_[a-z0-9]+)*", name), name
        assert set(story) <= {"does", "sees", "browser"}, name
        assert story["does"].endswith("."), name
        assert story["sees"].endswith("."), name
        assert set(re.findall(r"(?<!\S)/([a-z]+)", story["does"] + story["sees"])) <= set(WORDS)


def test_a_held_model_answers_when_it_may(stage: dict[str, str]) -> None:
    say(stage, "hold")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(double, stage["http"], "held")
        poll(lambda: say(stage, "waiting")["reached"], "held is at work")
        assert not first.done()
        say(stage, "open")
        assert first.result(DEADLINE_S).json() == {"predictions": [4.0]}


def test_a_full_queue_refuses_until_it_is_opened(stage: dict[str, str]) -> None:
    say(stage, "fill")
    refused = double(stage["http"], "held")
    assert (refused.status, refused.code) == (429, "queue_full")
    assert say(stage, "waiting") == {"rows": 100_000, "reached": True}
    say(stage, "open")
    assert double(stage["http"], "held").json() == {"predictions": [4.0]}


def test_the_relay_counts_and_cuts_and_loses(stage: dict[str, str]) -> None:
    say(stage, "forget")
    assert double(stage["relay"], value=3.5).json() == {"predictions": [7.0]}
    assert ask(stage["relay"], "POST", "/v1/tasks", {}).status >= 400
    assert say(stage, "seen") == {"connections": 2, "envelopes": 1, "calls": [3.5]}
    say(stage, "lose")
    assert double(stage["relay"]).status == 200
    with pytest.raises((HTTPException, OSError)):
        ask(stage["relay"], "POST", "/v1/tasks", {})
    assert double(stage["relay"]).status == 200
    say(stage, "hold")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(double, stage["relay"], "held")
        poll(lambda: say(stage, "waiting")["reached"], "held is at work")
        say(stage, "cut")
        assert isinstance(waiting.exception(DEADLINE_S), HTTPException | OSError)
    say(stage, "open")


def test_it_comes_back_at_the_same_addresses(stage: dict[str, str]) -> None:
    say(stage, "kill")
    with pytest.raises(OSError, match="refused"):
        double(stage["http"])
    say(stage, "start")
    assert double(stage["http"]).status == double(stage["relay"]).status == 200


def test_a_word_that_nobody_knows_is_refused(stage: dict[str, str]) -> None:
    reply = ask(stage["control"], "POST", "/sing")
    assert (reply.status, list(reply.json())) == (404, ["error"])
