"""A folder of Parquet files shows whole epochs, each once, and refuses what does not follow."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
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


def test_columns_of_any_type_come_back_as_they_were(tmp_path: Path) -> None:
    numbers = list(range(5000))
    columns = {
        "repeating": pa.array([float(n % 3) for n in numbers]),
        "distinct": pa.array([n / 7 for n in numbers]),
        "pair": pa.array([{"a": n / 3, "b": [n, n % 2]} for n in numbers]),
        "map": pa.array([[("k", n)] for n in numbers], pa.map_(pa.string(), pa.int64())),
        "vector": pa.array([[n / 9, n / 8] for n in numbers], pa.list_(pa.float32(), 2)),
        "tensor": pa.FixedShapeTensorArray.from_storage(
            pa.fixed_shape_tensor(pa.float32(), [2]),
            pa.array([[n / 9, n / 8] for n in numbers], pa.list_(pa.float32(), 2)),
        ),
        "word": pa.array([f"w{n % 5}" for n in numbers]).dictionary_encode(),
        "nothing": pa.nulls(len(numbers)),
        "decimal": pa.array(numbers).cast(pa.decimal128(38, 2)),
        "missing": pa.array([None if n % 2 else n / 11 for n in numbers]),
    }
    batch = pa.RecordBatch.from_pydict(columns)
    sink = ParquetSink(LocalFolder(tmp_path / "out"))
    sink.open("p", batch.schema)
    sink.commit(1, {}, {"at": 1}, [sink.write(1, iter([batch.slice(0, 2000), batch.slice(2000)]))])
    (part,) = (tmp_path / "out").glob("part-*")
    assert pq.read_table(part).equals(pa.Table.from_batches([batch]))
    group = pq.read_metadata(part).row_group(0)
    written = {group.column(n).path_in_schema: group.column(n) for n in range(group.num_columns)}
    assert written["distinct"].compression == written["vector.list.element"].compression
    assert written["distinct"].compression == "UNCOMPRESSED"
    assert not written["distinct"].has_dictionary_page
    assert written["repeating"].has_dictionary_page
    assert written["repeating"].compression == "SNAPPY"


def test_many_epochs_do_not_leave_a_file_each_beside_their_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.source._folder_sink.FOLDED", 5)
    sink = opened(tmp_path)
    for epoch in range(1, 38):
        end = {"at": epoch}
        sink.commit(epoch, {"at": epoch - 1}, end, [sink.write(epoch, iter(batches(epoch)))])
    assert len(list((tmp_path / "_shoal" / "epochs").iterdir())) < 10
    assert [epoch.epoch for epoch in sink.epochs()] == list(range(1, 38))
    assert sink.rows() == 37
    sink.close()
    again = ParquetSink(LocalFolder(tmp_path))
    assert again.open("p", SCHEMA) == SinkState(37, {"at": 37})
    assert [epoch.epoch for epoch in again.epochs()] == list(range(1, 38))
    again.close()


def test_a_history_that_was_written_and_not_cleared_counts_each_epoch_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.source._folder_sink.FOLDED", 5)
    sink = opened(tmp_path)
    monkeypatch.setattr(sink, "_forget", lambda names: None)  # the process ends before that
    for epoch in range(1, 11):
        token = sink.write(epoch, iter(batches(epoch)))
        sink.commit(epoch, {"at": epoch - 1}, {"at": epoch}, [token])
    sink.close()
    again = opened(tmp_path)
    assert [epoch.epoch for epoch in again.epochs()] == list(range(1, 11))
    assert len(list((tmp_path / "_shoal" / "epochs").iterdir())) == 5
    again.close()
