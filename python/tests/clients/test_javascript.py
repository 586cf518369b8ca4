"""The client of JavaScript: its own tests, and the stories, in Node and in a browser."""

from __future__ import annotations

import json
import tomllib
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import pytest

from tests.clients.javascript import CLIENT, run
from tests.services import until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.services.chromium import Browser

pytestmark = pytest.mark.timeout(300)  # npm installs, and servers start anew

ROOT = Path(__file__).parents[3]
STORIES = tomllib.loads((ROOT / "protocol" / "stories.toml").read_text("utf-8"))
BROWSER_STORIES = [name for name, story in STORIES.items() if story.get("browser")]
PAGE = "test/stories/page.html"
STORY_LIMIT_S = 120.0


def test_its_format_is_checked_and_its_own_tests_pass(node: str) -> None:
    for script in ("check", "unit"):
        run("npm", "run", script)


def test_the_lock_names_no_registry() -> None:
    lock = json.loads((CLIENT / "package-lock.json").read_text("utf-8"))
    assert not any("resolved" in package for package in lock["packages"].values())
    assert all("integrity" in package for name, package in lock["packages"].items() if name)


def test_what_it_is_built_with_has_an_allowed_licence() -> None:
    allowed = tomllib.loads((ROOT / "deny.toml").read_text("utf-8"))["licenses"]["allow"]
    lock = json.loads((CLIENT / "package-lock.json").read_text("utf-8"))
    licences = {name: package["license"] for name, package in lock["packages"].items()}
    assert {
        name: licence
        for name, licence in licences.items()
        if not set(licence.strip("()").split(" OR ")).intersection(allowed)
    } == {}


def test_it_needs_nothing_at_run_time() -> None:
    package = json.loads((CLIENT / "package.json").read_text("utf-8"))
    assert "dependencies" not in package
    assert package["peerDependenciesMeta"] == {"apache-arrow": {"optional": True}}


def test_the_stories_are_played_in_node(node: str, story_server: dict[str, Any]) -> None:
    server = json.dumps(story_server)
    run(node, "--test", "build/test/stories/play.test.js", SHOAL_STORIES_SERVER=server)


class Quiet(SimpleHTTPRequestHandler):
    """Gives files, and says nothing."""

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def pages() -> Iterator[str]:
    """The client's folder over HTTP, at an origin of its own."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=CLIENT))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def played(name: str, server: str, browser: Browser) -> str:
    """Plays a story; gives what went wrong, or nothing."""
    browser.evaluate(f"beginStory({json.dumps(name)}, {server})")
    outcome = f"outcomes[{json.dumps(name)}] ?? null"
    until(lambda: browser.evaluate(outcome) is not None, f"{name} ends", STORY_LIMIT_S)
    why: str = browser.evaluate(outcome)
    return why


def test_the_stories_are_played_in_a_browser_across_origins(
    node: str, story_server: dict[str, Any], browser: Browser
) -> None:
    server = json.dumps(story_server)
    assert len(BROWSER_STORIES) >= 15
    with pages() as origin:
        assert browser.visit(f"{origin}/{PAGE}").errors == []
        outcomes = {name: played(name, server, browser) for name in BROWSER_STORIES}
    assert {name: why for name, why in outcomes.items() if why} == {}
