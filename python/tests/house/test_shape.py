"""The check of the code's shape finds what it is there to find (the code itself: `just check`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tools import house

if TYPE_CHECKING:
    from pathlib import Path

ROOM = house.ROOT / "python" / "shoal" / "edge" / "_agent.py"
TEST = house.ROOT / "python" / "tests" / "edge" / "test_agent.py"
LATER = "TODO"
LONG = "def long() -> None:\n" + "    print()\n" * 41
DOCUMENTED = 'def documented() -> None:\n    """Say."""\n' + "    # why\n\n    print()\n" * 40


@pytest.mark.parametrize(
    ("path", "source", "rule"),
    [
        (ROOM, LONG, "long has 41 lines"),
        (ROOM, "def fetch(url: str, *, timeout: float) -> None: ...\n", "'timeout' needs a unit"),
        (ROOM, "class Policy:\n    max_wait: int\n", "'max_wait' needs a unit"),
        (ROOM, "class DeviceManager: ...\n", "'DeviceManager' says nothing"),
        (ROOM, "def helper() -> None: ...\n", "'helper' says nothing"),
        (ROOM, "from shoal import _native\n", "edge does not use the Rust core"),
        (ROOM, "import shoal._native\n", "edge does not use the Rust core"),
        (ROOM, "x = f()  # type: ignore[arg-type]\n", "type: ignore[code]  # reason"),
        (ROOM, "type Name = str | \n", "no Python 3."),
        (TEST, "time.sleep(1)\n", "a test never sleeps"),
    ],
)
def test_a_broken_rule_is_found(path: Path, source: str, rule: str) -> None:
    findings = [str(finding) for finding in house.check_python(path, source)]
    assert len(findings) == 1
    assert rule in findings[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        (ROOM, DOCUMENTED),
        (ROOM, "def fetch(url: str, *, timeout_s: float) -> None: ...\n"),
        (ROOM, "x = f()  # type: ignore[arg-type]  # the stub is wrong\n"),
        (house.ROOT / "python" / "shoal" / "serve" / "_server.py", "from shoal import _native\n"),
        (TEST, "while not ready():\n    time.sleep(0.01)\n"),
    ],
)
def test_a_kept_rule_is_not_found(path: Path, source: str) -> None:
    assert list(house.check_python(path, source)) == []


@pytest.mark.parametrize(
    ("path", "text", "rule"),
    [
        (ROOM, "x\n" * 501, "501 lines; a file has at most 500"),
        (ROOM.with_name("_utils.py"), "", "'utils' says nothing"),
        (ROOM.parent / "common" / "_a.py", "", "'common' says nothing"),
        (ROOM.with_suffix(".rs"), f"// {LATER}: faster\n", "do it now"),
    ],
)
def test_a_file_out_of_shape_is_found(path: Path, text: str, rule: str) -> None:
    findings = [str(finding) for finding in house.check_text(path, text)]
    assert len(findings) == 1
    assert rule in findings[0]


def test_the_check_reads_python_and_rust() -> None:
    suffixes = {path.suffix for path in house.source_files()}
    assert suffixes >= {".py", ".rs"}
