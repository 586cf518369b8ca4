"""The commands a newcomer is told are the commands that exist, and the ones CI runs."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text("utf-8")
JUST = str(Path(sys.executable).with_name("just"))
MAX_RECIPES = 9
MAX_ROOT_ENTRIES = 20


def recipes() -> list[str]:
    environment = {**os.environ, "PATH": f"{Path(JUST).parent}:{os.environ['PATH']}"}
    answer = subprocess.run(
        [JUST], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    return [line.split()[0] for line in answer.stdout.splitlines() if line.startswith("    ")]


def test_just_lists_few_recipes() -> None:
    assert {"test", "prove", "bench", "doctor"} <= set(recipes())
    assert len(recipes()) <= MAX_RECIPES


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md"])
def test_a_page_names_recipes_that_exist(page: str) -> None:
    named = re.findall(r"\bjust ([a-z]+)\b", (ROOT / page).read_text("utf-8"))
    assert set(named) <= set(recipes())
    assert "test" in named


def test_readme_gives_the_two_commands() -> None:
    assert "pip install uv && uv run shoal quickstart\n" in README
    assert "\nuv run just test\n" in README
    assert "pipx install uv" in README


def test_ci_runs_exactly_the_test_command_of_the_readme() -> None:
    lines = (ROOT / ".ci" / "run").read_text("utf-8").splitlines()
    assert lines[-1] == "uv run just test"
    assert not any("uv run" in line for line in lines[:-1] if not line.startswith("#"))


def test_the_root_of_the_repository_is_read_at_a_glance() -> None:
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if answer.returncode != 0:
        pytest.skip("not a git checkout: ignored files cannot be told from others")
    entries = {line.partition("/")[0] for line in answer.stdout.splitlines()}
    assert len({entry for entry in entries if not entry.startswith(".")}) <= MAX_ROOT_ENTRIES
