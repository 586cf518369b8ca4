"""Records in PostgreSQL are there exactly once, whatever is lost on the way to a commit."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
import uuid
from contextlib import closing, suppress
from datetime import UTC, date, datetime, timedelta
from datetime import time as clock_time
from decimal import Decimal
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any

import psycopg
import pyarrow as pa
import pytest

from shoal.errors import ConflictError, InvalidRequestError, SinkError
from shoal.source import Guarantee, PostgresSink, SinkState
from tests.services import free_port, until
from tests.services.losing import LosingTheAnswer

if TYPE_CHECKING:
    from tests.services.postgres import Postgres

pytest_plugins = ["tests.services.postgres"]

SCHEMA = pa.schema({"n": pa.int64(), "text": pa.string()})
KILLS = 5
PYTHON = str(Path(__file__).parents[2])


@pytest.fixture
def table() -> str:
    """The name of a table that is not there."""
    return f"t {uuid.uuid4().hex}"


def batch(*numbers: int, text: str = "x") -> pa.RecordBatch:
    return pa.record_batch([list(numbers), [text] * len(numbers)], SCHEMA)


def opened(server: Postgres, table: str, **options: Any) -> PostgresSink:
    sink = PostgresSink(options.pop("conninfo", server.conninfo), table, **options)
    sink.open(table, SCHEMA)
    return sink


def numbers_in(server: Postgres, table: str) -> list[object]:
    return [n for (n,) in server.query(f'select n from "{table}" order by n')]


def test_nothing_is_seen_before_the_commit_and_all_after(postgres: Postgres, table: str) -> None:
    sink = opened(postgres, table)
    assert sink.guarantee is Guarantee.TRANSACTIONAL
    tokens = [sink.write(1, iter([batch(1, 2), batch(3)])), sink.write(1, iter([]))]
    assert numbers_in(postgres, table) == []
    sink.commit(1, {"at": 0}, {"at": 3}, tokens)
    assert numbers_in(postgres, table) == [1, 2, 3]
    sink.close()
    again = PostgresSink(postgres.conninfo, table)
    assert again.open(table, SCHEMA) == SinkState(1, {"at": 3})
    again.close()
    other_pipeline = PostgresSink(postgres.conninfo, table)
    assert other_pipeline.open(f"{table} 2", SCHEMA) is None
    other_pipeline.close()


def test_an_epoch_is_stored_once_however_often_it_is_committed(
    postgres: Postgres, table: str
) -> None:
    sink, other = opened(postgres, table), opened(postgres, table)
    token = sink.write(1, iter([batch(1)]))
    for _ in range(2):
        sink.commit(1, {"at": 0}, {"at": 1}, [token])
    other.commit(1, {"at": 0}, {"at": 1}, [other.write(1, iter([batch(1)]))])
    given_up = sink.write(2, iter([batch(2)]))
    sink.abort(2, [given_up])
    sink.abort(1, [token])
    assert numbers_in(postgres, table) == [1]
    other.commit(2, {"at": 1}, {"at": 2}, [other.write(2, iter([batch(2)]))])
    for epoch, start in ((2, {"at": 1}), (3, {"at": 1}), (4, {"at": 2})):
        wrong = sink.write(epoch, iter([batch(9)]))
        with pytest.raises(ConflictError, match="ended with epoch 2"):
            sink.commit(epoch, start, {"at": 9}, [wrong])
    assert numbers_in(postgres, table) == [1, 2]
    sink.close()
    other.close()


def test_records_of_a_key_are_replaced_by_later_ones(postgres: Postgres, table: str) -> None:
    sink = opened(postgres, table, keys=["n"])
    first = sink.write(1, iter([batch(1, 2, text="a"), batch(2, 3, text="b")]))
    sink.commit(1, {"at": 0}, {"at": 1}, [first])
    sink.commit(2, {"at": 1}, {"at": 2}, [sink.write(2, iter([batch(3, 4, text="c")]))])
    found = postgres.query(f'select n, text from "{table}" order by n')
    assert found == [(1, "a"), (2, "b"), (3, "c"), (4, "c")]
    sink.close()
    only_keys = opened(postgres, f"{table} 2", keys=["n", "text"])
    for epoch in (1, 2):
        token = only_keys.write(epoch, iter([batch(1, 1)]))
        only_keys.commit(epoch, {"at": epoch - 1}, {"at": epoch}, [token])
    assert numbers_in(postgres, f"{table} 2") == [1]
    only_keys.close()


DAY, MOMENT = date(2026, 1, 2), datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)
TEXTS = ["", 'q"uo,te', "\\.", "line\r\nbreak", "{}", None]
KINDS: dict[str, tuple[pa.Array, list[Any]]] = {
    "text": (pa.array(TEXTS), TEXTS),
    "large": (pa.array(["a", None], pa.large_string()), ["a", None]),
    "whole": (pa.array([-(2**63), None]), [-(2**63), None]),
    "unsigned": (pa.array([2**64 - 1], pa.uint64()), [Decimal(2**64 - 1)]),
    "small": (pa.array([255], pa.uint8()), [255]),
    "half": (pa.array([1.5], pa.float32()).cast(pa.float16()), [1.5]),
    "float": (pa.array([0.1, float("inf"), 1e-300]), [0.1, float("inf"), 1e-300]),
    "truth": (pa.array([True, False, None]), [True, False, None]),
    "bytes": (pa.array([b"\x00\xff", b"", None]), [b"\x00\xff", b"", None]),
    "day": (pa.array([DAY]), [DAY]),
    "moment": (pa.array([MOMENT], pa.timestamp("us", "Europe/Berlin")), [MOMENT]),
    "local": (pa.array([MOMENT.replace(tzinfo=None)]), [MOMENT.replace(tzinfo=None)]),
    "nanoseconds": (pa.array([2_000], pa.timestamp("ns")), [datetime(1970, 1, 1, 0, 0, 0, 2)]),  # noqa: DTZ001 - has none
    "hour": (pa.array([clock_time(1, 2, 3, 4)]), [clock_time(1, 2, 3, 4)]),
    "span": (pa.array([timedelta(days=1, microseconds=5)]), [timedelta(days=1, microseconds=5)]),
    "exact": (pa.array([Decimal("1.10")]), [Decimal("1.10")]),
    "word": (pa.array(["a", "b", "a"]).dictionary_encode(), ["a", "b", "a"]),
    "numbers": (pa.array([[1, None], [], None]), [[1, None], [], None]),
    "words": (pa.array([['a"b\\', ",{}", "NULL", ""]]), [['a"b\\', ",{}", "NULL", ""]]),
    "moments": (pa.array([[MOMENT]]), [[MOMENT]]),
    "record": (pa.array([{"a": [1], "b": None}, None]), [{"a": [1], "b": None}, None]),
    "nested": (pa.array([[[1], [2, 3]]]), [[[1], [2, 3]]]),
    "pair": (pa.array([[1.0, 2.0]], pa.list_(pa.float64(), 2)), [[1.0, 2.0]]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_value_arrives(kind: str, postgres: Postgres, table: str) -> None:
    values, expected = KINDS[kind]
    # Alone in its row: a record that is nothing but a missing value is one, too.
    records = pa.record_batch([values], [kind])
    sink = PostgresSink(postgres.conninfo, table)
    sink.open(table, records.schema)
    sink.commit(1, {"at": 0}, {"at": 1}, [sink.write(1, iter([records]))])
    sink.close()
    found = [row[0] for row in postgres.query(f'select "{kind}" from "{table}"')]
    assert found == expected
    again = PostgresSink(postgres.conninfo, table)
    assert again.open(table, records.schema) == SinkState(1, {"at": 1})
    again.close()


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ("n bigint", "column 'text' is missing there and text in the records"),
        ("n integer, text text", "column 'n' is integer there and bigint in the records"),
        ("n bigint, text text, more int", "column 'more' is integer there and missing"),
        ("n bigint, text text", r"no unique index is on \(n\)"),
        ("n bigint, text text, unique (n, text)", r"no unique index is on \(n\)"),
    ],
)
def test_a_table_that_does_not_fit_is_refused(
    columns: str, reason: str, postgres: Postgres, table: str
) -> None:
    postgres.query(f'create table "{table}" ({columns})')
    with pytest.raises(ConflictError, match=reason):
        opened(postgres, table, keys=["n"])


def test_a_table_of_someone_else_that_fits_is_written_to(postgres: Postgres, table: str) -> None:
    postgres.query(f'create table "{table}" (text text, n bigint unique)')
    sink = opened(postgres, table, keys=["n"])
    sink.commit(1, {"at": 0}, {"at": 1}, [sink.write(1, iter([batch(1, 1)]))])
    assert numbers_in(postgres, table) == [1]
    sink.close()


def test_what_the_server_refuses_is_said_without_the_values(postgres: Postgres, table: str) -> None:
    sink = opened(postgres, table)
    token = sink.write(1, iter([batch(1), batch(2, text="my secret\x00")]))
    with pytest.raises(SinkError, match="invalid byte sequence") as caught:
        sink.commit(1, {"at": 0}, {"at": 1}, [token])
    assert "my secret" not in str(caught.value)
    assert numbers_in(postgres, table) == []
    good = sink.write(1, iter([batch(3)]))
    sink.commit(1, {"at": 0}, {"at": 1}, [good])
    assert numbers_in(postgres, table) == [3]
    lost = {"spool": "of another process", "rows": 5}
    with pytest.raises(SinkError, match="5 records are not held here"):
        sink.commit(2, {"at": 1}, {"at": 2}, [lost])
    sink.close()


def test_no_message_holds_a_password(postgres: Postgres, table: str) -> None:
    wrong = postgres.conninfo.replace(postgres.password, "battery staple")
    places = (wrong, f"postgresql://shoal:battery%20staple@127.0.0.1:{free_port()}/postgres")
    for conninfo in places:
        sink = PostgresSink(conninfo, table)
        with pytest.raises(SinkError, match="cannot be written") as caught:
            sink.open(table, SCHEMA)
        assert "staple" not in str(caught.value) + repr(sink)
    with pytest.raises(InvalidRequestError, match="conninfo is none") as refused:
        PostgresSink("password battery staple", table)
    assert "staple" not in str(refused.value)


@pytest.mark.parametrize(
    ("schema", "reason"),
    [
        (pa.schema({"n": pa.null()}), "PostgreSQL has no type for"),
        (pa.schema({"n" * 64: pa.int64()}), "more than 63 bytes"),
        (pa.schema([("n", pa.int64()), ("n", pa.int64())]), "two columns have one name"),
        (pa.schema({"m": pa.int64()}), "key 'n' is no column"),
    ],
)
def test_columns_that_cannot_be_stored_are_named(
    schema: pa.Schema, reason: str, postgres: Postgres, table: str
) -> None:
    sink = PostgresSink(postgres.conninfo, table, keys=["n"])
    with pytest.raises(SinkError, match=reason):
        sink.open(table, schema)


@pytest.mark.parametrize("keys", [(), ("n",)])
def test_a_server_that_is_restarted_in_the_middle_of_a_commit_is_waited_for(
    keys: tuple[str, ...], postgres: Postgres, table: str
) -> None:
    sink = opened(postgres, table, keys=keys)
    token = sink.write(1, iter([batch(*range(100_000))]))
    with closing(psycopg.connect(postgres.conninfo)) as blocking:
        blocking.execute(f'lock table "{table}" in exclusive mode'.encode())
        thread = Thread(target=sink.commit, args=(1, {"at": 0}, {"at": 1}, [token]))
        thread.start()
        waiting = "select 1 from pg_stat_activity where wait_event_type = 'Lock'"
        until(lambda: postgres.query(waiting), "the commit waits for the lock")
        postgres.stop(signal.SIGQUIT)
    postgres.start()
    thread.join()
    assert postgres.query(f'select count(*), sum(n) from "{table}"') == [(100_000, 4999950000)]
    sink.commit(2, {"at": 1}, {"at": 2}, [sink.write(2, iter([batch(-1)]))])
    sink.close()


def test_a_commit_gives_up_in_the_end_and_may_be_repeated(postgres: Postgres, table: str) -> None:
    sink = opened(postgres, table, retry_seconds=0.3)
    token = sink.write(1, iter([batch(1)]))
    postgres.stop()
    began = time.monotonic()
    with pytest.raises(SinkError, match="cannot be written"):
        sink.commit(1, {"at": 0}, {"at": 1}, [token])
    assert 0.2 < time.monotonic() - began < 10
    postgres.start()
    sink.commit(1, {"at": 0}, {"at": 1}, [token])
    assert numbers_in(postgres, table) == [1]
    sink.close()


def test_a_commit_whose_answer_was_lost_is_not_made_twice(postgres: Postgres, table: str) -> None:
    opened(postgres, table).close()
    with closing(LosingTheAnswer(postgres.port, b"COMMIT")) as way:
        conninfo = postgres.conninfo.replace(f"port={postgres.port}", f"port={way.port}")
        sink = PostgresSink(f"{conninfo} sslmode=disable", table)
        # Its own first commit is the one of `open`: that is lost, and said to be.
        with pytest.raises(SinkError, match="cannot be written"):
            sink.open(table, SCHEMA)
        assert way.has_lost
        way.has_lost = False
        sink.commit(1, {"at": 0}, {"at": 1}, [sink.write(1, iter([batch(1)]))])
        assert way.has_lost
        sink.close()
    assert numbers_in(postgres, table) == [1]


WRITER = """
import sys
import pyarrow as pa
from shoal.source import PostgresSink

schema = pa.schema({"n": pa.int64(), "text": pa.string()})
sink = PostgresSink(sys.argv[1], sys.argv[2])
state = sink.open("killed", schema)
epoch, at = (state.epoch, state.end["at"]) if state else (0, 0)
while True:
    epoch, end = epoch + 1, at + 500
    batch = pa.record_batch([range(at, end), ["x"] * 500], schema)
    token = sink.write(epoch, iter([batch]))
    print(epoch, flush=True)
    sink.commit(epoch, {"at": at}, {"at": end}, [token])
    at = end
"""


OTHERS = "select 1 from pg_stat_activity where application_name = 'shoal'"


def test_a_process_that_is_killed_in_a_commit_loses_and_repeats_nothing(
    postgres: Postgres, table: str, prove_scale: int
) -> None:
    draw = random.Random(11)
    epoch = 0
    for _ in range(KILLS * prove_scale):
        command = [sys.executable, "-c", WRITER, postgres.conninfo, table]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": PYTHON}
        ) as child:
            assert child.stdout is not None
            for _ in range(draw.randrange(1, 20)):
                begun = int(child.stdout.readline())
            with suppress(subprocess.TimeoutExpired):
                child.wait(draw.random() * 0.02)
            child.kill()
        until(lambda: not postgres.query(OTHERS), "what the killed process had sent is decided")
        ((stored,),) = postgres.query("select epoch from shoal_epochs where pipeline = 'killed'")
        assert isinstance(stored, int)
        assert stored >= begun - 1 >= epoch
        assert numbers_in(postgres, table) == list(range(stored * 500))
        epoch = stored
