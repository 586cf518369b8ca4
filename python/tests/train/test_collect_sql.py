"""Queries become a dataset: streamed, typed by their values, and no password is ever seen."""

from __future__ import annotations

import sqlite3
import traceback
from contextlib import closing
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest
import sqlalchemy

from shoal import train
from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    PathError,
    SourceError,
)
from shoal.train._collect import _sql_reader

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.postgres import Postgres

pytest_plugins = ["tests.services.postgres"]

WRONG = "wr?ng/p@ss word"


@pytest.fixture
def shop(tmp_path: Path) -> str:
    """The address of a small database of SQLite."""
    place = tmp_path / "shop.db"
    with closing(sqlite3.connect(place)) as connection:
        connection.execute("create table customers (id integer, name text, spent real)")
        rows = [(n, None if n % 5 == 0 else f"name {n}", n / 4) for n in range(30_000)]
        connection.executemany("insert into customers values (?, ?, ?)", rows)
        connection.commit()
    return f"sqlite:///{place}"


def address(server: Postgres, password: str) -> str:
    return f"postgresql://shoal:{quote(password, '')}@127.0.0.1:{server.port}/postgres"


def kinds(dataset: train.Dataset) -> list[str]:
    return [column.kind for column in dataset.schema.columns]


def everything_said(error: BaseException) -> str:
    """The error as a user, a log or a debugger may show it, its causes included."""
    return "".join(traceback.format_exception(error)) + repr(error) + repr(error.__cause__)


def test_a_query_of_sqlite_becomes_a_dataset(shop: str, tmp_path: Path) -> None:
    source = train.Sql(shop, "select * from customers where id >= :least", {"least": 10})
    dataset = train.collect(source, tmp_path / "out")
    dataset.verify()
    assert dataset.rows == 29_990
    assert kinds(dataset) == ["integer", "text", "float"]
    assert dataset.to_table().slice(0, 2).to_pylist() == [
        {"id": 10, "name": None, "spent": 2.5},
        {"id": 11, "name": "name 11", "spent": 2.75},
    ]
    (about,) = dataset.lineage["inputs"]
    assert about["query"] == "select * from customers where id >= :least"
    assert about["parameters"] == ["least"]
    assert about["rows"] == 29_990


def test_an_engine_is_used_and_left_open(shop: str, tmp_path: Path) -> None:
    engine = sqlalchemy.create_engine(shop)
    source = train.Sql(engine, "select id from customers")
    assert train.collect(source, tmp_path / "out").rows == 30_000
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("select 1")).scalar() == 1
    engine.dispose()


def test_a_query_of_postgres_becomes_a_dataset(postgres: Postgres, tmp_path: Path) -> None:
    query = """
        select n, n::numeric / 4 as share, n % 2 = 0 as even, 'word ' || n % 3 as word,
            date '2026-01-01' + n as day, timestamptz '2026-01-01 12:00+02' as at,
            case when n > 20000 then n end as late, null as nothing
        from generate_series(0, 39999) as n order by n
    """
    source = train.Sql(address(postgres, postgres.password), query)
    dataset = train.collect(source, tmp_path / "out")
    dataset.verify()
    assert dataset.rows == 40_000
    assert kinds(dataset) == [
        *("integer", "float", "boolean", "categorical", "date", "datetime", "integer", "empty")
    ]
    first = dataset.to_table().slice(0, 1).to_pylist()[0]
    assert first["day"] == date(2026, 1, 1)
    assert first["at"] == datetime(2026, 1, 1, 10, tzinfo=UTC).replace(tzinfo=None)
    assert dataset.counts["late"].missing == 20_001
    about = dataset.lineage["inputs"][0]
    assert about["database"] == f"postgresql://127.0.0.1:{postgres.port}/postgres"
    files = [path for path in dataset.path.rglob("*") if path.is_file()]
    assert not any(postgres.password.encode() in path.read_bytes() for path in files)


def test_rows_of_postgres_are_fetched_as_they_are_needed(postgres: Postgres) -> None:
    """A query that would take the server minutes gives its first rows at once."""
    query = "select generate_series(1, 2000000000) as n, repeat('x', 1000) as text"
    source = train.Sql(address(postgres, postgres.password), query)
    batches = _sql_reader.SqlReader(train.Input(source)).batches()
    sizes_bytes = [next(batches)[1].nbytes for _ in range(4)]
    assert max(sizes_bytes) < 2 * _sql_reader.BATCH_BYTES
    batches.close()  # type: ignore[attr-defined]  # a generator


def test_a_query_cannot_change_a_database(shop: str, postgres: Postgres, tmp_path: Path) -> None:
    postgres.query("create sequence kept")
    for source, query in (
        (shop, "delete from customers returning 1 as n"),
        (address(postgres, postgres.password), "select nextval('kept') as n"),
    ):
        with pytest.raises(SourceError, match=r"(readonly|read-only)"):
            train.collect(train.Sql(source, query), tmp_path / "out")
    assert postgres.query("select is_called from kept") == [(False,)]


def test_what_the_database_says_is_passed_on(shop: str, postgres: Postgres, tmp_path: Path) -> None:
    for source, said in (
        (shop, "the query cannot be read: no such table: nowhere"),
        (address(postgres, postgres.password), 'relation "nowhere" does not exist'),
    ):
        with pytest.raises(SourceError, match=said) as caught:
            train.collect(train.Sql(source, "select * from nowhere"), tmp_path / "out")
        assert postgres.password not in everything_said(caught.value)
    late = "select 1 / (5000 - n) as x from generate_series(1, 10000) as n"
    named = train.Input(train.Sql(address(postgres, postgres.password), late), name="shares")
    with pytest.raises(SourceError, match="shares cannot be read: division by zero"):
        train.collect(named, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_wrong_password_is_never_printed(postgres: Postgres, tmp_path: Path) -> None:
    source = train.Sql(address(postgres, WRONG), "select 1 as n")
    described = train.Input(source)
    with pytest.raises(SourceError, match="password authentication failed") as caught:
        train.collect(described, tmp_path / "out")
    said = everything_said(caught.value) + repr(source) + repr(described)
    for form in (WRONG, quote(WRONG, "")):
        assert form not in said


@pytest.mark.parametrize(
    "wrong",
    [
        f"postgresql://shoal:{quote(WRONG, '')}@127.0.0.1:port/postgres",
        f"nosuch://shoal:{quote(WRONG, '')}@127.0.0.1/postgres",
        f"{quote(WRONG, '')}",
        7,
    ],
)
def test_an_address_that_cannot_be_read_is_not_repeated(tmp_path: Path, wrong: Any) -> None:
    with pytest.raises(InvalidRequestError, match="the address of the database") as caught:
        train.collect(train.Sql(wrong, "select 1"), tmp_path / "out")
    said = everything_said(caught.value)
    assert WRONG not in said
    assert quote(WRONG, "") not in said


def test_a_database_of_sqlite_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"there is no database at .*typo\.db"):
        train.collect(train.Sql(f"sqlite:///{tmp_path}/typo.db", "select 1"), tmp_path / "out")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("query", "kind", "said"),
    [
        ("select 1 as x, 2 as x", DuplicateColumnError, "two columns 'x'"),
        ("select 1 as x where 1 = 0", SourceError, "the query holds no records"),
        ("select 1 as x union all select 'one'", DtypeError, "row 1: column 'x' is 'one', where"),
        ("select x'00' as x", DtypeError, "row 0: column 'x' is of type bytes"),
        ("pragma foreign_keys = on", InvalidRequestError, "gives no rows"),
        ("select :unbound as x", SourceError, "unbound"),
    ],
)
def test_what_a_query_cannot_give_is_refused(
    tmp_path: Path, query: str, kind: type[Exception], said: str
) -> None:
    with pytest.raises(kind, match=said):
        train.collect(train.Sql("sqlite://", query), tmp_path / "out")


def test_a_kind_that_changes_late_is_named_or_widened(tmp_path: Path) -> None:
    rows = "with recursive r(n) as (select 1 union all select n + 1 from r where n < 20000) "
    wider = rows + "select case when n = 15000 then 0.5 else n end as x from r"
    dataset = train.collect(train.Sql("sqlite://", wider), tmp_path / "out")
    assert kinds(dataset) == ["float"]
    assert dataset.rows == 20_000
    mixed = rows + "select case when n = 15000 then 'x' else n end as x from r"
    with pytest.raises(DtypeError, match=r"row 14999: column 'x' is .*'x'"):
        train.collect(train.Sql("sqlite://", mixed), tmp_path / "mixed")


def test_a_query_is_joined_to_files(shop: str, tmp_path: Path) -> None:
    (tmp_path / "visits.csv").write_text("customer,visits\n7,3\n99999,1\n")
    customers = train.Input(
        train.Sql(shop, "select id, spent from customers"), rename={"id": "customer"}
    )
    dataset = train.collect(
        [tmp_path / "visits.csv", customers], tmp_path / "out", join=train.Join("customer")
    )
    assert dataset.to_table().to_pylist() == [
        {"customer": 7, "visits": 3, "spent": 1.75},
        {"customer": 99999, "visits": 1, "spent": None},
    ]
