"""Every example runs, alone, in an empty directory, and prints something.

Those that need a broker or a database are given the addresses of those of the tests.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.kafka import Broker
    from tests.services.mosquitto import Mosquitto
    from tests.services.postgres import Postgres

pytest_plugins = ["tests.services.mosquitto", "tests.services.postgres"]

ROOT = Path(__file__).parents[3]
EXAMPLES = {path.stem: path for path in sorted((ROOT / "examples").glob("*.py"))}
WITH_SERVERS = {"follow_kafka", "sensors_to_postgres"}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., str]:
    """Runs an example with these arguments; gives what it prints."""

    def run_example(name: str, *arguments: str) -> str:
        command = [sys.executable, "-W", "error", str(EXAMPLES[name]), *arguments]
        answer = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert answer.returncode == 0, answer.stderr
        return answer.stdout

    return run_example


@pytest.mark.parametrize("name", sorted(EXAMPLES.keys() - WITH_SERVERS))
def test_the_example_runs(name: str, run: Callable[..., str]) -> None:
    assert run(name)


def test_the_example_of_kafka_tells_the_rush(run: Callable[..., str], kafka: Broker) -> None:
    answers = run("follow_kafka", kafka.bootstrap).splitlines()
    rushes = [line for line in answers if "rush" in line]
    assert 3 <= len(rushes) < len(answers) // 2
    assert all("north" in line for line in rushes)


def test_the_example_of_sensors_fills_its_table(
    run: Callable[..., str], mosquitto: Mosquitto, postgres: Postgres
) -> None:
    shown = run("sensors_to_postgres", f"127.0.0.1:{mosquitto.port}", postgres.conninfo)
    assert "kitchen" in shown
    assert postgres.query("select max(hottest) < 85 from shoal_example") == [(True,)]
