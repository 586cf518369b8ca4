"""Rules that hold for every test.

- Random tests are seeded: profile `default` draws the same modest sample every time; profile
  `prove` (`just prove`) draws many, anew each time, and prints how to repeat what fails.
- `prove_scale` multiplies the counts of tests without hypothesis (1 here, more in `just prove`).
- A test that leaves a process behind fails, also if the process has lost its parent; the servers
  that many tests share end with the session (`tests.services`).
- The user's cache is not written: `XDG_CACHE_HOME` is a folder of the session, for servers too; uv
  keeps its own cache.
- `program("skopeo")` finds a program the system may lack: the test is skipped with that reason, but
  fails where `CI` is set.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings

from tests.services import SERVICES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.end_to_end.models import Sealed
    from tests.services.chromium import Browser
    from tests.services.docker_registry import DockerRegistry
    from tests.services.go_registry import GoRegistry
    from tests.services.kafka import Broker

ROOT = Path(__file__).parents[2]
PROVE_SCALE = int(os.environ.get("SHOAL_PROVE_SCALE", "1"))
ENDING_PROCESSES_GRACE_S = 3.0

settings.register_profile(
    "default",
    derandomize=True,
    max_examples=50,
    deadline=None,
    database=None,
)
settings.register_profile(
    "prove",
    derandomize=False,
    max_examples=50 * PROVE_SCALE,
    deadline=None,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile(os.environ.get("SHOAL_HYPOTHESIS_PROFILE", "default"))


COUNTS = Counter({"tests": 0, "cases": 0})
FACTS: dict[str, object] = {}
PASSING_EXAMPLES = re.compile(r"- (\d+) passing")
PR_SET_CHILD_SUBREAPER = 36  # Source: Linux, include/uapi/linux/prctl.h


def pytest_configure() -> None:
    """Become the parent of orphans, so that none hides from `no_process_is_left_behind`."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Count the random cases of a test: hypothesis counts its own, others record "cases".

    What else a test records are facts for the result of `just prove`.
    """
    drawn = PASSING_EXAMPLES.findall(getattr(item, "hypothesis_statistics", ""))
    recorded = [value for name, value in item.user_properties if name == "cases"]
    COUNTS["cases"] += sum(int(str(count)) for count in (*drawn, *recorded))
    FACTS.update((name, value) for name, value in item.user_properties if name != "cases")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Count the tests that passed."""
    COUNTS["tests"] += report.when == "call" and report.passed


def pytest_sessionfinish() -> None:
    """Tell `just prove` the counts."""
    if path := os.environ.get("SHOAL_PROVE_COUNTS"):
        Path(path).write_text(json.dumps(COUNTS | {"facts": FACTS}), encoding="utf-8")


@pytest.fixture(scope="session", autouse=True)
def cache_of_the_session(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What servers keep for their next start is kept for this session only."""
    before = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("UV_CACHE_DIR", os.environ.get("UV_CACHE_DIR") or str(Path(before, "uv")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def program() -> Callable[[str], str]:
    """Finds the path of a program which the system may lack; `just doctor` names its package."""

    def find(name: str) -> str:
        path = shutil.which(name)
        if path is None and os.environ.get("CI"):
            pytest.fail(f"{name} is missing: see `just doctor`")
        if path is None:
            pytest.skip(f"{name} is not installed: see `just doctor`")
        return path

    return find


@pytest.fixture(scope="session")
def root() -> Path:
    """Where the repository lies."""
    return ROOT


@pytest.fixture(scope="session")
def prove_scale() -> int:
    """By how much a test may multiply its counts: 1 in `just test`."""
    return PROVE_SCALE


@pytest.fixture(scope="session")
def places(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the packages lie that many tests share."""
    return tmp_path_factory.mktemp("packages")


@pytest.fixture(scope="session")
def digits(places: Path) -> Sealed:
    """A classifier of handwritten digits, as an ONNX package."""
    from tests.end_to_end import models

    return models.digits(places)


@pytest.fixture(scope="session")
def fragile(places: Path) -> Path:
    """A python package that raises when a row is below zero."""
    from tests.end_to_end import models

    return models.story("fragile", places)


@pytest.fixture(scope="session")
def story_server(places: Path) -> Iterator[dict[str, Any]]:
    """The server of `protocol/stories.toml`, for clients of any language; says where it listens."""
    from tests.end_to_end.driver import DEADLINE_S

    command = [sys.executable, "-m", "tests.services.stories", str(places / "stories")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "python")}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, text=True, stdin=pipe, stdout=pipe
    ) as process:
        SERVICES.add(process.pid)
        assert process.stdout is not None
        assert process.stdin is not None
        try:
            yield json.loads(process.stdout.readline())
        finally:
            process.stdin.close()
            assert process.wait(DEADLINE_S) == 0
            SERVICES.discard(process.pid)


@pytest.fixture(scope="session")
def kafka(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """A broker of Apache Kafka; a test may start it anew."""
    from tests.services.kafka import running

    with running(program, tmp_path_factory.mktemp("kafka")) as broker:
        yield broker


@pytest.fixture
def browser(program: Callable[[str], str], tmp_path: Path) -> Iterator[Browser]:
    """A browser of this test."""
    from tests.services.chromium import running

    with running(program("chromium"), tmp_path / "browser") as started:
        yield started


@pytest.fixture(scope="session")
def docker_registry(program: Callable[[str], str]) -> Iterator[DockerRegistry]:
    """A registry that lists no referrers, and lets in everyone."""
    from tests.services.docker_registry import running

    with running(program) as server:
        yield server


@pytest.fixture(scope="session")
def go_registry(program: Callable[[str], str]) -> Iterator[GoRegistry]:
    """A registry that lists referrers, and lets in everyone."""
    from tests.services.go_registry import running

    with running(program) as server:
        yield server


def _children() -> dict[int, str]:
    """Command lines of the live processes started by this one, by process id; no zombies."""
    found = {}
    for task in Path("/proc/self/task").glob("*/children"):
        with suppress(FileNotFoundError, ProcessLookupError):  # a thread that ended meanwhile
            for child in task.read_text().split():
                found.update(_living(Path("/proc", child)))
    return found


def _living(process: Path) -> dict[int, str]:
    """The process by its id, unless it ended or is none that a test starts."""
    with suppress(FileNotFoundError, ProcessLookupError):
        state = (process / "stat").read_text().rpartition(")")[2].split()[0]
        command = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode()
        if state != "Z" and "multiprocessing.resource_tracker" not in command:
            return {int(process.name): command.strip()}
    return {}


@pytest.fixture(autouse=True)
def no_process_is_left_behind() -> Iterator[None]:
    """Fails the test that leaves a child process running, and ends the process."""
    before = _children()
    yield
    ends_at = time.monotonic() + ENDING_PROCESSES_GRACE_S
    while left := {
        pid: command
        for pid, command in _children().items()
        if pid not in before and pid not in SERVICES
    }:
        if time.monotonic() > ends_at:
            for pid in left:
                os.kill(pid, signal.SIGKILL)
            pytest.fail(f"processes left behind: {left}")
        time.sleep(0.02)
