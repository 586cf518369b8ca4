"""The example of many tasks in one request prints what its page says."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

from tests.end_to_end.driver import serving

if TYPE_CHECKING:
    from pathlib import Path

SIZE = re.compile(r", in a micro-batch of \d+")  # that of the other client may be another


def test_the_example_of_many_tasks_prints_what_its_page_says(root: Path, tmp_path: Path) -> None:
    example = root / "examples" / "many_tasks"
    python = [sys.executable, "-W", "error"]
    subprocess.run([*python, str(example / "models.py")], cwd=tmp_path, check=True)
    packages = sorted((tmp_path / "packages").iterdir())
    with serving(*packages, arguments=("--allow-code",)) as served:
        asking = [*python, str(example / "many_tasks.py"), f"http://{served.http}"]
        answer = subprocess.run(asking, capture_output=True, text=True, check=True)
    page = (example / "README.md").read_text("utf-8")
    promised = page.partition("```text\n")[2].partition("```")[0]
    assert SIZE.sub("", answer.stdout) == SIZE.sub("", promised)
