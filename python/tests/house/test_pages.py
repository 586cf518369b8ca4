"""What the pages show is run: see tools/blocks.py for how a block says so."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tools import blocks

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
PAGES = sorted({ROOT / "README.md", *(ROOT / "docs").rglob("*.md")})
PAGES_WITH_CODE = [
    page for page in PAGES if any(map(blocks.is_run, blocks.blocks_of(page.read_text("utf-8"))))
]


def run(page: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-W", "error", "-m", "tools.blocks", str(page)]
    environment = {"PYTHONPATH": str(ROOT), "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}
    return subprocess.run(
        command, cwd=directory, env=environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("page", PAGES_WITH_CODE, ids=lambda page: str(page.relative_to(ROOT)))
def test_the_code_of_a_page_runs(page: Path, tmp_path: Path, program: Callable[[str], str]) -> None:
    for needed in blocks.programs_of(page.read_text("utf-8")):
        program(needed)
    answer = run(page, tmp_path)
    assert answer.returncode == 0, answer.stderr


def test_the_front_page_has_code_that_runs() -> None:
    assert ROOT / "README.md" in PAGES_WITH_CODE


WORKS = """
```python
number = 20
```
text
```python
print(number + 1)
```
```text output
21
```
```console run
$ echo one > file
$ cat file
```
```text output
one
```
"""


def test_blocks_share_names_and_a_directory(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(WORKS, "utf-8")
    assert run(page, tmp_path).stdout == f"{page}: 5 blocks\n"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("```python\nprint(1)\n```\n```text output\n2\n```\n", "but what came is"),
        ("```python\nundefined\n```\n", "name 'undefined' is not defined"),
        ("```console run\n$ exit 3\n```\n", "ended with 3"),
    ],
)
def test_a_page_that_shows_something_false_is_refused(
    text: str, reason: str, tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text(text, "utf-8")
    answer = run(page, tmp_path)
    assert answer.returncode == 1
    assert reason in answer.stderr


def test_other_blocks_are_only_read(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ exit 3\n```\n```json\n{\n```\n", "utf-8")
    assert run(page, tmp_path).stdout == f"{page}: 0 blocks\n"
