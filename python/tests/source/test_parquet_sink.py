"""A folder of Parquet files shows whole epochs, each once, and refuses what does not follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from shoal.errors import ConflictError
from shoal.source import LocalFolder, ParquetSink, SinkState
from tests.pipeline.conftest import read

if TYPE_CHECKING:
    from pathlib import Path

SCHEMA = pa.schema({"n": pa.int64()})


def opened(path: Path, pipeline: str = "p") -> ParquetSink:
    sink = ParquetSink(LocalFolder(path))
    sink.open(pipeline, SCHEMA)
    return sink


def batches(*numbers: int) -> list[pa.RecordBatch]:
    return [pa.record_batch({"n": [number]}, SCHEMA) for number in numbers]


def test_nothing_is_seen_before_the_commit_and_all_after(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    tokens = [sink.write(1, iter(batches(1, 2))), sink.write(1, iter(batches(3)))]
    assert not list(tmp_path.glob("*.parquet"))
    sink.commit(1, {"at": 0}, {"at": 3}, tokens)
    assert read(tmp_path)["n"].to_pylist() == [1, 2, 3]
    sink.close()
    again = ParquetSink(LocalFolder(tmp_path))
    assert again.open("p", SCHEMA) == SinkState(1, {"at": 3})
    again.close()


def test_an_epoch_is_stored_once_however_often_it_is_committed(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    token = sink.write(1, iter(batches(1)))
    sink.commit(1, {"at": 0}, {"at": 1}, [token])
    sink.commit(1, {"at": 0}, {"at": 1}, [token])
    other = sink.write(1, iter(batches(1)))
    sink.commit(1, {"at": 0}, {"at": 1}, [other])
    sink.abort(1, [token, other])
    assert read(tmp_path)["n"].to_pylist() == [1]
    assert not list((tmp_path / "_shoal/staged").iterdir())
    sink.close()


def test_an_epoch_that_does_not_follow_is_refused(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.commit(1, {"at": 0}, {"at": 1}, [sink.write(1, iter(batches(1)))])
    for epoch, start in ((3, {"at": 1}), (2, {"at": 0}), (1, {"at": 5})):
        token = sink.write(epoch, iter(batches(9)))
        with pytest.raises(ConflictError, match="cannot be gone on with"):
            sink.commit(epoch, start, {"at": 9}, [token])
    assert read(tmp_path)["n"].to_pylist() == [1]
    sink.close()


def test_a_folder_belongs_to_one_pipeline_and_its_columns(tmp_path: Path) -> None:
    opened(tmp_path).close()
    with pytest.raises(ConflictError, match="another package"):
        opened(tmp_path, "other")
    with pytest.raises(ConflictError, match="columns"):
        ParquetSink(LocalFolder(tmp_path)).open("p", pa.schema({"n": pa.string()}))


def test_what_was_staged_and_not_committed_is_thrown_away(tmp_path: Path) -> None:
    sink = opened(tmp_path)
    sink.write(1, iter(batches(1)))
    sink.close()
    opened(tmp_path).close()
    assert not list((tmp_path / "_shoal/staged").iterdir())
