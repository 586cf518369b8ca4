"""A folder of JSON lines is read by others as what was written; epochs are as in Parquet."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa
import pytest

from shoal.errors import ConflictError
from shoal.source import Files, JsonLinesSink, Limit, LocalFolder, ParquetSink, SinkState, listing

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema({"n": pa.int64(), "text": pa.string(), "at": pa.timestamp("us", "UTC")})
MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC)


def batch(*numbers: int) -> pa.RecordBatch:
    columns = [list(numbers), [f'said "{n}"\n' for n in numbers], [MOMENT] * len(numbers)]
    return pa.record_batch(columns, SCHEMA)


def opened(path: Path) -> JsonLinesSink:
    sink = JsonLinesSink(LocalFolder(path))
    sink.open("p", SCHEMA)
    return sink


def test_another_program_reads_what_was_committed(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    tokens = [sink.write(1, iter([batch(1, 2), batch(3)])), sink.write(1, iter([batch(4)]))]
    assert not list(tmp_path.glob("*.jsonl"))
    sink.commit(1, {"at": 0}, {"at": 4}, tokens)
    sink.commit(1, {"at": 0}, {"at": 4}, tokens)
    sink.close()
    query = f"select n, text, \"at\"::timestamptz as moment from '{tmp_path}/*.jsonl' order by n"
    with duckdb.connect() as connection:
        connection.execute("set timezone='UTC'")
        rows = connection.execute(query).fetchall()
    assert rows == [(n, f'said "{n}"\n', MOMENT) for n in (1, 2, 3, 4)]
    again = JsonLinesSink(LocalFolder(tmp_path))
    assert again.open("p", SCHEMA) == SinkState(1, {"at": 4})
    again.close()


def test_it_is_read_back_as_files(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.commit(1, {"at": 0}, {"at": 5000}, [sink.write(1, iter([batch(*range(5000))]))])
    sink.close()
    source = Files(listing(str(tmp_path)), types=dict(zip(SCHEMA.names, SCHEMA.types, strict=True)))
    end = source.latest(source.initial(), Limit(1 << 20, 1 << 30))
    (split,) = source.splits(source.initial(), end)
    assert pa.Table.from_batches(source.read(split)).equals(
        pa.Table.from_batches([batch(*range(5000))])
    )


def test_every_kind_of_value_has_a_form_in_json(tmp_path: Path) -> None:
    columns = {
        "nanoseconds": pa.array([1_000_000_001], pa.timestamp("ns")),
        "time": pa.array([1_000_001], pa.time64("us")),
        "day": pa.array([date(2026, 1, 2)]),
        "decimal": pa.array([Decimal("1.10")]),
        "bytes": pa.array([b"\x00\xff"]),
        "nan": pa.array([float("nan")]),
        "missing": pa.array([None], pa.int64()),
        "list": pa.array([[1, None]]),
        "record": pa.array([{"a": 1}]),
        "word": pa.array(["x"]).dictionary_encode(),
        "large": pa.array([2**63 - 1]),
        "matrix": pa.FixedShapeTensorArray.from_numpy_ndarray(
            pa.array([1.0, 2.0]).to_numpy().reshape(1, 1, 2)
        ),
    }
    written = pa.record_batch(columns)
    sink = JsonLinesSink(LocalFolder(tmp_path))
    sink.open("p", written.schema)
    sink.commit(1, {"at": 0}, {"at": 1}, [sink.write(1, iter([written]))])
    sink.close()
    (part,) = tmp_path.glob("*.jsonl")
    assert json.loads(part.read_text("utf-8")) == {
        "nanoseconds": "1970-01-01T00:00:01.000000001",
        "time": "00:00:01.000001",
        "day": "2026-01-02",
        "decimal": "1.10",
        "bytes": "AP8=",
        "nan": None,
        "missing": None,
        "list": [1, None],
        "record": {"a": 1},
        "word": "x",
        "large": 2**63 - 1,
        "matrix": [1.0, 2.0],
    }


def test_a_folder_of_another_format_is_refused(tmp_path: Path) -> None:
    other = ParquetSink(LocalFolder(tmp_path))
    other.open("p", SCHEMA)
    other.close()
    with pytest.raises(ConflictError, match="its files are parquet, not jsonl"):
        opened(tmp_path)


def test_what_a_killed_run_had_decided_is_finished(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    token = sink.write(1, iter([batch(1)]))
    sink.commit(1, {"at": 0}, {"at": 1}, [token])
    sink.close()
    (part,) = tmp_path.glob("*.jsonl")
    part.rename(tmp_path / token["staged"])  # as if it had ended between the two steps
    again = opened(tmp_path)
    assert [path.name for path in tmp_path.glob("*.jsonl")] == ["part-000000000001-000.jsonl"]
    again.close()
