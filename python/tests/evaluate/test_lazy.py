"""Importing the room is light, and what needs an extra that is missing says which."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("numpy", "pyarrow", "pandas", "sklearn", "scipy", "matplotlib", "jinja2", "fairlearn")


def answer_of(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_room_loads_none_of_its_libraries() -> None:
    program = "import json, sys, shoal.evaluate; print(json.dumps(sorted(sys.modules)))"
    assert not set(HEAVY) & set(json.loads(answer_of(program)))


def test_measuring_draws_nothing() -> None:
    program = """
import json, sys
import pyarrow as pa
from shoal import evaluate
evaluate.measure([1.0, 2.0], pa.table({"prediction": [1.0, 2.0]}), task=evaluate.Regression())
print(json.dumps(sorted(sys.modules)))
"""
    loaded = json.loads(answer_of(program))
    assert not {"matplotlib", "jinja2", "fairlearn", "sklearn", "scipy"} & set(loaded)


@pytest.mark.parametrize(
    ("asked", "library", "said"),
    [
        ("evaluate.compare", "scipy", "models are compared by the package scipy"),
        ("evaluate.to_html", "jinja2", "pages are made by the package jinja2"),
        ("evaluate.plot", "matplotlib", "plots are drawn by the package matplotlib"),
        (
            "import shoal.evaluate._slices",
            "fairlearn",
            "slices are compared by the package fairlearn",
        ),
    ],
)
def test_a_missing_library_is_named(asked: str, library: str, said: str) -> None:
    program = f"""
import sys
sys.modules[{library!r}] = None
from shoal import evaluate
from shoal.errors import RequirementError
try:
    {asked}
except RequirementError as error:
    print(error, "|", error.hint)
"""
    assert answer_of(program) == f"{said}, which is not installed | pip install 'shoal[train]'"
