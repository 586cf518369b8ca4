"""Files in a store are read, and folders in it written, as those of a disk are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow.parquet as pq
import pytest

from shoal import pipeline
from shoal.errors import ConflictError, PathError, SinkError, SourceError
from shoal.source import ParquetSink, folder, listing
from tests.pipeline.conftest import FEATURES, ROWS, write
from tests.source.test_parquet_sink import SCHEMA, batches

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Any

    from tests.pipeline.conftest import Records

pytest_plugins = ["tests.pipeline.conftest", "tests.services.store"]
BUCKET = "records"


@pytest.mark.parametrize("name", ["table.parquet", "table.csv", "table.jsonl.gz"])
def test_a_store_is_scored_into_a_store(
    name: str, store: Any, adder: Path, records: Records, tmp_path: Path
) -> None:
    store.upload_file(str(write(records.table, tmp_path / name)), BUCKET, f"in/day/{name}")
    settings = pipeline.Settings(columns={"x": FEATURES}, errors=f"s3://{BUCKET}/errors")
    where, out = f"s3://{BUCKET}/in", f"s3://{BUCKET}/out"
    report = pipeline.score(adder, where, out, settings=settings)
    assert (report.rows, report.failed) == (ROWS, 0)
    again = pipeline.score(adder, where, out, settings=settings)
    assert (again.rows, again.rows_now) == (ROWS, 0)
    total: list[float] = []
    for number, each in enumerate(listing(out).files):
        key = each.path.removeprefix(f"s3://{BUCKET}/")
        store.download_file(BUCKET, key, str(tmp_path / f"{number}.parquet"))
        total += pq.read_table(tmp_path / f"{number}.parquet")["total"].to_pylist()
    assert total == records.total


def test_an_object_a_folder_and_a_pattern_are_found(store: Any) -> None:
    for key in ("a/1.csv", "a/b/2.csv", "a/_staged/3.csv", "ab/4.csv", "a/5.txt"):
        store.put_object(Bucket=BUCKET, Key=key, Body=b"x\n1\n")
    for where, found in (
        ("a", ["a/1.csv", "a/b/2.csv"]),
        ("a/1.csv", ["a/1.csv"]),
        ("a*/*.csv", ["a/1.csv", "a/_staged/3.csv", "a/b/2.csv", "ab/4.csv"]),
    ):
        paths = [each.path for each in listing(f"s3://{BUCKET}/{where}").files]
        assert paths == [f"s3://{BUCKET}/{key}" for key in found]
    with pytest.raises(PathError, match="no files of a known format"):
        listing(f"s3://{BUCKET}/nothing")
    with pytest.raises(SourceError, match="nowhere"):
        listing("s3://nowhere/nothing")


@pytest.mark.usefixtures("store")
def test_of_two_that_commit_one_epoch_one_is_refused() -> None:
    sinks = [ParquetSink(folder(f"s3://{BUCKET}/out")) for _ in range(2)]
    for sink in sinks:
        assert sink.open("p", SCHEMA) is None
    first, second = (sink.write(1, iter(batches(n))) for n, sink in enumerate(sinks))
    sinks[0].commit(1, {"at": 0}, {"at": 1}, [first])
    with pytest.raises(ConflictError, match="cannot be gone on with"):
        sinks[1].commit(1, {"at": 0}, {"at": 2}, [second])
    assert [part.rows for epoch in sinks[1].epochs() for part in epoch.parts] == [1]


@pytest.mark.usefixtures("store")
def test_a_store_that_takes_no_notice_of_conditions_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    place = folder(f"s3://{BUCKET}/out")
    monkeypatch.setattr(place, "_put_new", lambda _name, _data: True)
    with pytest.raises(SinkError, match="takes no notice of conditions"):
        place.create("a", b"1")
