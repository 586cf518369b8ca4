"""The example of many tasks in one request prints what its page says, whichever client asks."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.clients.javascript import CLIENT
from tests.end_to_end.driver import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = pytest.mark.timeout(300)  # npm installs, and models are sealed

SIZE = re.compile(r", in a micro-batch of \d+")  # that of the other client may be another
PYTHON = (sys.executable, "-W", "error")


@pytest.fixture(scope="module")
def example(root: Path) -> Path:
    """The folder of the example."""
    return root / "examples" / "many_tasks"


@pytest.fixture(scope="module")
def server(example: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Serves the models of the example; gives the address."""
    folder = tmp_path_factory.mktemp("many_tasks")
    subprocess.run([*PYTHON, str(example / "models.py")], cwd=folder, check=True)
    packages = sorted((folder / "packages").iterdir())
    with serving(*packages, arguments=("--allow-code",)) as served:
        yield f"http://{served.http}"


def prints_what_its_page_says(example: Path, *command: str, cwd: Path) -> None:
    """Runs the example, and holds it to its page."""
    answer = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=True)
    page = (example / "README.md").read_text("utf-8")
    promised = page.partition("```text\n")[2].partition("```")[0]
    assert SIZE.sub("", answer.stdout) == SIZE.sub("", promised)


def test_the_example_from_python(example: Path, server: str, tmp_path: Path) -> None:
    asking = [*PYTHON, str(example / "many_tasks.py"), server]
    prints_what_its_page_says(example, *asking, cwd=tmp_path)


def test_the_example_from_javascript(node: str, example: Path, server: str, tmp_path: Path) -> None:
    (tmp_path / "node_modules").mkdir()
    (tmp_path / "node_modules" / "shoal-client").symlink_to(CLIENT)
    shutil.copy(example / "many_tasks.js", tmp_path)
    prints_what_its_page_says(example, node, "many_tasks.js", server, cwd=tmp_path)
