"""Importing the room is light, and what needs an extra that is missing says which."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = ("pyarrow", "uvicorn", "httpx2", "aiomqtt", "paho", "psycopg", "obstore", "rich")


def answer_of(program: str) -> str:
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


def test_importing_the_room_loads_none_of_its_libraries() -> None:
    program = "import json, sys, shoal.source; print(json.dumps(sorted(sys.modules)))"
    assert not set(HEAVY) & set(json.loads(answer_of(program)))


@pytest.mark.parametrize(
    ("name", "library", "extra"),
    [
        ("HttpPushSource", "uvicorn", "http"),
        ("HttpPollSource", "httpx2", "http"),
        ("MqttSource", "aiomqtt", "mqtt"),
        ("PostgresSink", "psycopg", "postgres"),
    ],
)
def test_a_missing_extra_is_named(name: str, library: str, extra: str) -> None:
    program = f"""
import sys
sys.modules[{library!r}] = None
from shoal import source
from shoal.errors import RequirementError
try:
    source.{name}
except RequirementError as error:
    print(error, "|", error.hint)
"""
    said = f"{name} needs {library}, which is not installed | pip install 'shoal[{extra}]'"
    assert answer_of(program) == said
