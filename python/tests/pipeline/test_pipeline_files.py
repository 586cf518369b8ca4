"""Files as the source of pipelines, and folders as their sink."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shoal.errors import (
    ConflictError,
    DtypeError,
    InvalidRequestError,
    MissingColumnError,
    PathError,
    SinkError,
    SourceError,
)
from shoal.pipeline import Options, Pipeline
from shoal.source import FileSource, ParquetSink, SinkState, folder
from shoal.source._folder import LocalFolder
from tests.pipeline.parts import FakeClock, Memory, records, source, values
from tests.services import until

if TYPE_CHECKING:
    from pathlib import Path


def test_files_that_come_later_are_taken_as_they_come(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    pq.write_table(pa.Table.from_batches([records(5)]), place / "a.parquet")
    clock = FakeClock()
    watched = FileSource(place, watch=True, clock=clock.now_seconds)
    sink = Memory()
    with Pipeline(watched).to(sink).start(tmp_path / "ledger", options=Options(clock=clock)):
        until(lambda: len(sink.records) == 1, "a file is taken")
        pq.write_table(pa.Table.from_batches([records(5, 5)]), tmp_path / "b")
        (tmp_path / "b").rename(place / "b.parquet")
        until(lambda: len(sink.records) == 2, "a file is taken")
    (place / "a.parquet").unlink()  # what was taken is not needed any more
    pq.write_table(pa.Table.from_batches([records(5, 10)]), place / "0.parquet")
    Pipeline(FileSource(place)).to(sink).run(tmp_path / "ledger")
    assert values(sink.rows()) == list(range(15))


def test_a_file_that_changes_after_it_was_found_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "a.parquet"
    pq.write_table(pa.Table.from_batches([records(5)]), place)
    Pipeline(FileSource(place)).to(Memory()).run(tmp_path / "ledger")
    pq.write_table(pa.Table.from_batches([records(6)]), place)
    with pytest.raises(SourceError, match=r"a\.parquet changed"):
        Pipeline(FileSource(place)).to(Memory()).run(tmp_path / "ledger")


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="no files"):
        Pipeline(FileSource(tmp_path)).to(Memory()).run()


def test_only_the_columns_that_are_selected_are_read(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": [3, 4], "c": ["x", "y"]})
    pq.write_table(table, tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("a,b,c\n1,3,x\n2,4,y\n")
    (tmp_path / "a.jsonl").write_text('{"a":1,"b":3,"c":"x"}\n{"a":2,"b":4,"c":"y"}\n')
    for name in ("a.parquet", "a.csv", "a.jsonl"):
        sink = Memory()
        Pipeline(FileSource(tmp_path / name).select("c", "a")).to(sink).run()
        assert sink.schema.names == ["c", "a"]
        assert sink.rows() == [{"c": "x", "a": 1}, {"c": "y", "a": 2}]
    with pytest.raises(MissingColumnError, match=r"no column 'd', only a, b, c"):
        Pipeline(FileSource(tmp_path / "a.csv").select("d")).to(Memory()).run()
    for names in ([], ["a", "a"]):
        with pytest.raises(InvalidRequestError, match="each column once"):
            FileSource(tmp_path / "a.csv").select(*names)


def test_a_changed_pipeline_may_go_on_with_other_columns(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    pq.write_table(pa.table({"a": [1], "b": [2]}), place / "0.parquet")
    Pipeline(FileSource(place).select("a")).to(Memory()).run(tmp_path / "ledger")
    pq.write_table(pa.table({"a": [3], "b": [4]}), place / "1.parquet")
    changed = Pipeline(FileSource(place).select("b"))
    with pytest.raises(ConflictError, match="did something else"):
        changed.to(Memory()).run(tmp_path / "ledger")
    changed.migrate(tmp_path / "ledger")
    sink = Memory()
    sink.state = SinkState(1, {"file": 1, "at": 0})
    changed.to(sink).run(tmp_path / "ledger")
    assert sink.rows() == [{"b": 4}]


def test_a_corrupt_file_in_the_middle_ends_the_run_by_its_name_and_goes_on_once_mended(
    tmp_path: Path,
) -> None:
    place = tmp_path / "in"
    place.mkdir()
    for number in range(3):
        pq.write_table(pa.Table.from_batches([records(5, 5 * number)]), place / f"{number}.parquet")
    good = (place / "1.parquet").read_bytes()
    (place / "1.parquet").write_bytes(good[:4] + b"\xff" * (len(good) - 12) + good[-8:])
    sink = Memory()
    with pytest.raises(SourceError, match=r"1\.parquet"):
        Pipeline(FileSource(place)).to(sink).run(
            tmp_path / "ledger", options=Options(epoch_bytes=1)
        )
    (place / "1.parquet").unlink()
    pq.write_table(pa.Table.from_batches([records(5, 5)]), place / "1b.parquet")
    with pytest.raises(SourceError, match=r"1\.parquet"):
        Pipeline(FileSource(place)).to(sink).run(
            tmp_path / "ledger", options=Options(epoch_bytes=1)
        )
    (place / "1b.parquet").rename(place / "1.parquet")
    # Another content under the name that was found is told, not taken.
    with pytest.raises(SourceError, match="changed"):
        Pipeline(FileSource(place)).to(sink).run(
            tmp_path / "ledger", options=Options(epoch_bytes=1)
        )


class Stubborn(LocalFolder):
    """A folder in which the third file cannot be given its name."""

    moves_left = 2

    def move(self, name: str, target: str) -> None:
        if not self.moves_left:
            raise SinkError("permission denied")
        self.moves_left -= 1
        super().move(name, target)


def test_a_commit_that_fails_half_way_keeps_what_it_needs_and_nothing_else(tmp_path: Path) -> None:
    # Nothing comes out of the first epoch, so that those of the sink have other numbers.
    pipeline = Pipeline(source(records(50), cuts=[[10]] * 5)).filter(pc.field("value") >= 10)
    with pytest.raises(SinkError, match="permission"):
        pipeline.to(ParquetSink(Stubborn(tmp_path / "out"))).run(
            tmp_path / "ledger", options=Options(clock=FakeClock(), workers=1)
        )
    assert len(list((tmp_path / "out/_shoal/staged").iterdir())) == 1
    assert pq.read_table(tmp_path / "out").num_rows == 20
    pipeline.to(ParquetSink(folder(str(tmp_path / "out")))).run(tmp_path / "ledger")
    assert sorted(pq.read_table(tmp_path / "out")["value"].to_pylist()) == list(range(10, 50))


def test_a_column_of_another_type_in_a_later_file_is_refused_by_name(tmp_path: Path) -> None:
    place = tmp_path / "in"
    place.mkdir()
    pq.write_table(pa.Table.from_batches([records(5)]), place / "0.parquet")
    other = pa.table({"value": ["a"], "key": [1], "time": pa.array([1], pa.timestamp("us"))})
    pq.write_table(other, place / "1.parquet")
    with pytest.raises(DtypeError, match=r"1\.parquet has other columns"):
        Pipeline(FileSource(place)).to(Memory()).run()


def test_a_folder_of_parquet_files_is_a_sink(tmp_path: Path) -> None:
    sink = ParquetSink(folder(str(tmp_path / "out")))
    Pipeline(source(records(10))).to(sink).run(tmp_path / "ledger")
    found = pq.read_table(tmp_path / "out", ignore_prefixes=["_"])
    assert found["value"].to_pylist() == list(range(10))
