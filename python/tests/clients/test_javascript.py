"""The client of JavaScript: its own tests, and the stories, in Node and in a browser."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.driver import serving
from tests.services import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.services.chromium import Browser

pytestmark = pytest.mark.timeout(300)  # npm installs, and servers start anew

ROOT = Path(__file__).parents[3]
CLIENT = ROOT / "clients" / "javascript"
EXAMPLE = ROOT / "examples" / "many_tasks"
SIZE = re.compile(r", in a micro-batch of \d+")
MADE = CLIENT / "build" / "made-of"
NOT_OURS = {"node_modules", "build", "dist"}
STORIES = tomllib.loads((ROOT / "protocol" / "stories.toml").read_text("utf-8"))
BROWSER_STORIES = [name for name, story in STORIES.items() if story.get("browser")]
PAGE = "test/stories/page.html"
STORY_LIMIT_S = 120.0


def run(*command: str, **environment: str) -> None:
    """Runs a command of the client's; what it printed is told when it fails."""
    answer = subprocess.run(
        command,
        cwd=CLIENT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, f"{' '.join(command)}\n{answer.stdout}\n{answer.stderr}"


def made_of() -> str:
    """What the client is made of, as a digest."""
    digest = hashlib.sha256()
    for path in sorted(CLIENT.rglob("*")):
        if path.is_file() and not NOT_OURS.intersection(path.relative_to(CLIENT).parts):
            digest.update(str(path).encode() + path.read_bytes())
    return digest.hexdigest()


@pytest.fixture(scope="session")
def node(program: Callable[[str], str]) -> str:
    """Node, and the client installed and compiled: by the first who comes."""
    path, npm = program("node"), program("npm")
    with (CLIENT / "package.json").open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not MADE.exists() or MADE.read_text("utf-8") != made_of():
            run(npm, "ci")
            run(npm, "run", "build")
            MADE.write_text(made_of(), "utf-8")
    return path


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


@pytest.fixture(scope="module")
def server(places: Path) -> Iterator[str]:
    """The server of the stories; gives what it says of where it listens."""
    command = [sys.executable, "-m", "tests.services.stories", str(places / "stories")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    process = subprocess.Popen(
        command, cwd=ROOT, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdout.readline()
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()


def test_the_example_of_many_tasks_prints_what_its_page_says(node: str, tmp_path: Path) -> None:
    command = [sys.executable, "-W", "error", str(EXAMPLE / "models.py")]
    subprocess.run(command, cwd=tmp_path, check=True)
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "shoal-client").symlink_to(CLIENT)
    shutil.copy(EXAMPLE / "many_tasks.js", tmp_path)
    packages = sorted((tmp_path / "packages").iterdir())
    with serving(*packages, arguments=("--allow-code",)) as served:
        asking = [node, "many_tasks.js", f"http://{served.http}"]
        answer = subprocess.run(asking, cwd=tmp_path, capture_output=True, text=True, check=True)
    page = (EXAMPLE / "README.md").read_text("utf-8")
    promised = page.partition("```text\n")[2].partition("```")[0]
    assert SIZE.sub("", answer.stdout) == SIZE.sub("", promised)


def test_the_stories_are_played_in_node(node: str, server: str) -> None:
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
    node: str, server: str, browser: Browser
) -> None:
    assert len(BROWSER_STORIES) >= 15
    with pages() as origin:
        assert browser.visit(f"{origin}/{PAGE}").errors == []
        outcomes = {name: played(name, server, browser) for name in BROWSER_STORIES}
    assert {name: why for name, why in outcomes.items() if why} == {}
