"""The benchmark of streams: what it prepares, what it asks, and how it tells what it saw."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import pyarrow.parquet as pq

from benchmarks.serve._processes import started
from benchmarks.streams._answers import ANSWERS, Oracle
from benchmarks.streams._engines import ENGINES, shoal_program
from benchmarks.streams._figures import TITLES, Result, Turn, cells, grids, markdown
from benchmarks.streams._places import prepare
from benchmarks.streams._queries import QUERIES
from benchmarks.streams._shape import Shape
from benchmarks.streams._spark_sql import SQL
from tools.machine import Machine

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.serve._figures import Spread

CORE = min(os.sched_getaffinity(0))
MACHINE = Machine("a processor", 2, 2**34, "a system", "3.11", "none")


def result(*rounds: list[Turn], is_changed: bool = False) -> Result:
    return Result(
        date="2026-11-26T10:00:00+00:00",
        commit="0123456789abcdef",
        is_changed=is_changed,
        machine=MACHINE,
        versions={"shoal": "0.1.0", "pyspark": "4.2.0"},
        suite="quick",
        events=1_000_000,
        files=4,
        rounds=list(rounds),
        memory_bytes={"shoal": 100_000_000, "spark": 900_000_000},
    )


def taken(own: float, stream: float, batch: float, others_share: float = 0.0) -> list[Turn]:
    seconds = dict(zip(ENGINES, (own, stream, batch), strict=True))
    return [Turn(name, "q0", each, 2 * each, others_share) for name, each in seconds.items()]


def ends(found: Spread) -> tuple[float, float, float]:
    return found.median, found.minimum, found.maximum


def test_each_query_is_said_in_every_language() -> None:
    assert set(QUERIES) == set(ANSWERS) == set(SQL) == set(TITLES)


def test_engines_are_compared_round_by_round() -> None:
    rounds = (taken(1.0, 4.0, 2.0), taken(2.0, 6.0, 2.0), taken(0.5, 4.0, 1.0))
    (query,) = cells(result(*rounds))
    assert ends(query.times("spark")) == (4.0, 3.0, 8.0)
    assert ends(query.times("spark batch")) == (2.0, 1.0, 2.0)
    speeds, costs = grids(result(*rounds))
    assert speeds.rows[0][1] == "1.00 (0.50 to 2.00)"
    assert costs.rows[0][1] == "2.00 (1.00 to 4.00)"


def test_a_page_says_where_it_was_measured_and_whether_it_may_be_quoted() -> None:
    page = markdown(result(taken(1.0, 4.0, 2.0)))
    for words in ("a processor", "0123456789", "pyspark 4.2.0", "1,000,000 events in 4 files"):
        assert words in page
    assert "do not quote" not in page
    assert "do not quote" in markdown(result(taken(1.0, 4.0, 2.0), is_changed=True))
    disturbed = markdown(result(taken(1.0, 4.0, 2.0, others_share=0.2)))
    assert "do not quote" in disturbed
    assert "Others used the machine during: q0, shoal;" in disturbed


def test_spark_gets_the_same_events_and_a_few_that_close_its_windows(tmp_path: Path) -> None:
    for events in prepare(tmp_path, Shape(2_000, files=2)).values():
        files = sorted(events.folder.iterdir())
        assert [path.name for path in files] == ["events-00000.parquet", "events-00001.parquet"]
        assert all((events.ended / path.name).samefile(path) for path in files)
        last = max(pq.read_table(files[-1])[events.time].to_pylist())
        later = pq.read_table(events.ended / "events-later.parquet")[events.time].to_pylist()
        assert len(later) == 50
        assert (min(later) - last).days >= 29


def test_the_process_of_shoal_answers_one_query_after_the_other(tmp_path: Path) -> None:
    events = prepare(tmp_path, Shape(5_000, files=2))["nexmark"]
    program = shoal_program(tmp_path)
    with (
        started(program, cores=(CORE,), log=tmp_path / "log") as running,
        Oracle(events.folder) as oracle,
    ):
        assert json.loads(running.first_line(30)) == {}
        for query in ("q2", "q5"):
            output = tmp_path / query
            task = {"query": query, "events": str(events.folder), "output": str(output)}
            assert json.loads(running.answer(json.dumps(task), 30))["seconds"] > 0
            assert oracle.differences(query, output) == []
    assert not list(tmp_path.glob("ledger-*"))
