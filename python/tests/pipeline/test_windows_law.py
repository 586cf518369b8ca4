"""Any interleaving of partitions, any cuts, any number of workers: the answer that DuckDB gives."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import batch
from shoal.pipeline import Ledger, Options, Pipeline, session, sliding, tumbling
from tests.pipeline.parts import FakeClock, Memory, Partitions

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.pipeline import Window

SECOND = 1_000_000
KEYS = ("a", "b", None)


class Case(NamedTuple):
    """Records of two partitions, and how they are taken."""

    parts: dict[str, pa.RecordBatch]
    cuts: list[list[int]]
    rows_of_a_batch: int
    workers: int


def records(seed: int, rows: int, disorder_us: int) -> pa.RecordBatch:
    random = np.random.default_rng(seed)
    times = np.sort(random.integers(0, 60 * SECOND, rows)) // 1000 * 1000
    times += random.integers(0, disorder_us + 1, rows)
    return pa.RecordBatch.from_pydict(
        {
            "time": pa.array(times, pa.timestamp("us", "UTC")),
            "key": pa.array([KEYS[at] for at in random.integers(0, 3, rows)], pa.string()),
            "value": random.integers(0, 100, rows),
            "id": random.permutation(rows) + seed * 1_000_000,
        }
    )


@st.composite
def cases(draw: st.DrawFn, disorder_us: int) -> Case:
    sizes = draw(st.lists(st.integers(0, 60), min_size=2, max_size=2))
    seeds = draw(st.lists(st.integers(1, 1000), min_size=2, max_size=2, unique=True))
    parts = {
        f"p{number}": records(seed, size, disorder_us)
        for number, (seed, size) in enumerate(zip(seeds, sizes, strict=True))
    }
    cuts = draw(st.lists(st.lists(st.integers(0, 30), min_size=2, max_size=2), max_size=8))
    cuts = [cut for cut in cuts if any(cut)]
    return Case(parts, cuts, draw(st.integers(1, 40)), draw(st.integers(1, 3)))


def run(case: Case, pipeline: Pipeline, ledger: Path | None = None) -> list[dict[str, Any]]:
    sink = Memory()
    options = Options(workers=case.workers, clock=FakeClock(), idle_after_seconds=None)
    pipeline.to(sink).run(ledger, options=options)
    return sink.rows()


def source(case: Case) -> Partitions:
    return Partitions(case.parts, case.cuts, case.rows_of_a_batch)


def gathered(case: Case, window: Window, lateness: str) -> Pipeline:
    keyed = Pipeline(source(case)).key_by("key").window(window, on="time", lateness=lateness)
    return keyed.aggregate(batch.count(), batch.sum("value"))


def table(case: Case) -> pa.Table:
    return pa.Table.from_batches(case.parts.values())


def asked(case: Case, query: str) -> Counter[tuple[Any, ...]]:
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'")
    connection.register("records", table(case))
    return Counter(connection.execute(query).fetchall())


def counted(rows: list[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    names = ("key", "window_start", "window_end", "count", "sum_value")
    return Counter(tuple(row[name] for name in names) for row in rows)


HOPPING = """
WITH hops AS (
    SELECT unnest(range(
        ((epoch_us(time) - {size} + 99 * {every}) // {every} - 98) * {every},
        epoch_us(time) + 1, {every}
    )) AS start, * FROM records
)
SELECT key, make_timestamptz(start), make_timestamptz(start + {size}), count(*), sum(value)::BIGINT
FROM hops WHERE start <= epoch_us(time) AND start + {size} > epoch_us(time) GROUP BY ALL
"""
SESSIONS = """
WITH marked AS (
    SELECT *, epoch_us(time) AS moment,
        lag(moment) OVER (PARTITION BY key ORDER BY moment) AS before,
        coalesce(moment - before > {gap}, true) AS is_new
    FROM records
), numbered AS (
    SELECT *, sum(is_new::INT) OVER (PARTITION BY key ORDER BY moment) AS n
    FROM marked
)
SELECT key, make_timestamptz(min(moment)), make_timestamptz(max(moment) + {gap}), count(*),
    sum(value)::BIGINT
FROM numbered GROUP BY key, n
"""


def hopping(size_us: int, every_us: int) -> str:
    return HOPPING.format(size=size_us, every=every_us)


QUERIES = [
    pytest.param(tumbling("10s"), hopping(10 * SECOND, 10 * SECOND), id="tumbling"),
    pytest.param(sliding("10s", "4s"), hopping(10 * SECOND, 4 * SECOND), id="sliding"),
    pytest.param(session("3s"), SESSIONS.format(gap=3 * SECOND), id="session"),
]


@pytest.mark.parametrize(("window", "query"), QUERIES)
@given(case=cases(disorder_us=2 * SECOND))
def test_windows_answer_as_duckdb_does(window: Window, query: str, case: Case) -> None:
    rows = run(case, gathered(case, window, "2s"))
    assert counted(rows) == asked(case, query)


@given(case=cases(disorder_us=0))
def test_the_most_of_each_sliding_window_is_found_by_a_window_over_windows(case: Case) -> None:
    first = Pipeline(source(case)).key_by("key").window(sliding("6s", "2s"), on="time")
    second = first.aggregate(batch.count()).window(tumbling("2s")).aggregate(batch.max("count"))
    query = (
        f'SELECT max(n) FROM (SELECT key, "end", n FROM ({hopping(6 * SECOND, 2 * SECOND)}) '
        'AS windows(key, start, "end", n, total)) GROUP BY "end"'
    )
    found = Counter((row["max_count"],) for row in run(case, second))
    assert found == asked(case, query)


@given(case=cases(disorder_us=0))
def test_without_a_window_all_records_of_a_key_are_one_answer(case: Case) -> None:
    rows = run(case, Pipeline(source(case)).key_by("key").aggregate(batch.sum("value")))
    query = "SELECT key, sum(value)::BIGINT FROM records GROUP BY key"
    assert Counter((row["key"], row["sum_value"]) for row in rows) == asked(case, query)


@pytest.mark.parametrize("window", [tumbling("5s"), session("1s")], ids=["tumbling", "session"])
@given(case=cases(disorder_us=20 * SECOND))
def test_answers_and_late_records_account_for_every_record(
    window: Window, tmp_path_factory: pytest.TempPathFactory, case: Case
) -> None:
    ledger = tmp_path_factory.mktemp("ledger")
    rows = run(case, gathered(case, window, "1s"), ledger)
    with Ledger.read(ledger) as opened:
        late = opened.dead(limit=10_000)
    assert {letter.reason for letter in late} <= {"late"}
    dead = sum(letter.rows for letter in late)
    assert sum(row["count"] for row in rows) + dead == table(case).num_rows


@pytest.mark.parametrize("window", [tumbling("5s"), session("1s")], ids=["tumbling", "session"])
@given(case=cases(disorder_us=20 * SECOND), workers=st.integers(2, 5))
def test_one_worker_gives_what_many_give(window: Window, case: Case, workers: int) -> None:
    one = run(case._replace(workers=1), gathered(case, window, "1s"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "shoal.pipeline._event_time._state.SHARED_ROWS", 2
        )  # workers share the state at once
        many = run(case._replace(workers=workers), gathered(case, window, "1s"))
    assert one == many
