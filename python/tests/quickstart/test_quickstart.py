"""`shoal quickstart` as a newcomer runs it: a process of its own, in an empty directory."""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from shoal import package, quickstart

if TYPE_CHECKING:
    from pathlib import Path
from tests.end_to_end.driver import DEADLINE_S, SHOAL

REQUESTS = 2_000
ARGUMENTS = ("quickstart", "--requests", str(REQUESTS))
WITHOUT_SKLEARN = """
import sys
sys.modules["sklearn"] = None
from shoal.cli import main
main()
"""


def run(*arguments: str, where: Path) -> subprocess.CompletedProcess[str]:
    # `uv run` in the environment would be echoed in the commands to paste, and would build anew.
    surroundings = {name: os.environ[name] for name in os.environ if not name.startswith("UV_")}
    return subprocess.run(
        [*SHOAL, *arguments],
        cwd=where,
        env=surroundings,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * DEADLINE_S,
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("newcomer")


@pytest.fixture(scope="module")
def first(place: Path) -> subprocess.CompletedProcess[str]:
    done = run(*ARGUMENTS, "--json", where=place)
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def report(first: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(first.stdout)
    return found


def test_public_surface_is_exactly_this() -> None:
    assert quickstart.__all__ == ["Progress", "Report", "run"]


def test_stdout_is_one_object_and_stderr_is_empty_without_a_terminal(
    first: subprocess.CompletedProcess[str],
) -> None:
    assert len(first.stdout.splitlines()) == 1
    assert first.stderr == ""


def test_every_answer_equals_the_original_models(report: dict[str, Any]) -> None:
    assert (report["requests"], report["mismatches"]) == (REQUESTS, 0)
    assert report["accuracy"] > 0.95
    assert report["held_out_rows"] >= 200


def test_figures_add_up(report: dict[str, Any]) -> None:
    rows = sum(int(size) * count for size, count in report["batch_rows"].items())
    assert rows == REQUESTS
    assert sum(report["batch_rows"].values()) == sum(report["release_reasons"].values())
    assert 0 < report["p50_ms"] <= report["p99_ms"]
    assert report["requests_per_s"] > 0


def test_package_stays_where_the_report_says(report: dict[str, Any], place: Path) -> None:
    assert report["package"] == "shoal-quickstart/digits"
    kept = package.open(place / report["package"])
    assert (kept.name, kept.digest) == ("digits", report["digest"])
    assert [column.shape for column in kept.signature.inputs] == [(64,)]
    assert [each.name for each in (place / "shoal-quickstart").iterdir()] == ["digits"]


def test_three_commands_work_when_pasted(report: dict[str, Any], place: Path) -> None:
    serve, ask, verify = report["next"]
    with subprocess.Popen(
        ["bash", "-c", f"exec {serve}"], cwd=place, stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout is not None
        try:
            assert json.loads(server.stdout.readline())["event"] == "ready"
            answer = subprocess.check_output(["bash", "-c", ask], cwd=place, timeout=DEADLINE_S)
        finally:
            server.terminate()
        assert server.wait(DEADLINE_S) == 0
    assert json.loads(answer)["prediction"][0] in range(10)
    done = subprocess.run(["bash", "-c", verify], cwd=place, check=True, capture_output=True)
    assert report["digest"] in done.stdout.decode()


def test_second_run_replaces_the_package_of_the_first(report: dict[str, Any], place: Path) -> None:
    shown, control = pty.openpty()
    try:
        with subprocess.Popen(
            [*SHOAL, *ARGUMENTS], cwd=place, stdout=subprocess.PIPE, stderr=control, text=True
        ) as again:
            os.close(control)
            bars = read_all(shown)
            text = again.stdout.read() if again.stdout else ""
        assert again.returncode == 0, bars
    finally:
        os.close(shown)
    assert all(step in bars for step in ("training", "sealing", "asking"))
    assert f"{REQUESTS:,} of {REQUESTS:,}" in text
    assert package.open(place / report["package"]).digest in text
    assert "█" in text


def read_all(terminal: int) -> str:
    """What a process wrote to its terminal, until it has closed it."""
    pieces = []
    try:
        while piece := os.read(terminal, 65536):
            pieces.append(piece)
    except OSError:  # Linux says EIO when the other side is gone
        pass
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", b"".join(pieces).decode())


def test_directory_with_anything_else_is_refused_and_untouched(tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("years of work")
    done = run("quickstart", "--output", str(mine), where=tmp_path)
    assert done.returncode == 2
    assert "mine holds something that is not a package" in done.stderr
    assert "hint: choose another directory with --output" in done.stderr
    assert [each.name for each in mine.iterdir()] == ["thesis.txt"]


def test_no_requests_are_refused(tmp_path: Path) -> None:
    done = run("quickstart", "--requests", "0", "--json", where=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert json.loads(done.stderr)["code"] == "invalid_request"


def test_missing_scikit_learn_is_named_with_the_remedy(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SKLEARN, "quickstart"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.splitlines() == [
        "error: the quickstart trains a model, and the module 'sklearn' is not installed",
        'hint: pip install "shoal[train]"',
    ]
