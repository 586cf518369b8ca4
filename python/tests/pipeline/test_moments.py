"""Files of every form give a model the same moments; what is none goes with its reason."""

from __future__ import annotations

import datetime
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import pipeline
from shoal.errors import DtypeError
from shoal.pipeline import Pipeline, Settings
from shoal.source import FileSource
from tests.package.moments import MISSING, sealed
from tests.pipeline.conftest import read
from tests.pipeline.parts import Memory, source, values

if TYPE_CHECKING:
    from pathlib import Path

SECONDS = [1_622_456_430, -1, -86_400, 0, 253_402_300_799]
MOMENTS = [datetime.datetime.fromtimestamp(each, datetime.UTC) for each in SECONDS]
TEXTS = [moment.isoformat() for moment in MOMENTS]
DAYS = [moment.date().isoformat() for moment in MOMENTS]
MIDNIGHTS = [each // 86_400 * 86_400 for each in SECONDS]


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return sealed(tmp_path_factory.mktemp("telling") / "telling").path


def text_file(place: Path, values: list[Any]) -> Path:
    if place.suffix == ".jsonl":
        lines = [json.dumps({"at": value, "n": n}) for n, value in enumerate(values)]
    else:
        rows = [f"{'' if value is None else value},{n}" for n, value in enumerate(values)]
        lines = ["at,n", *rows]
    place.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return place


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl"])
@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (SECONDS, SECONDS),
        (TEXTS, SECONDS),
        (DAYS, MIDNIGHTS),
        ([*TEXTS, *SECONDS, *DAYS], [*SECONDS, *SECONDS, *MIDNIGHTS]),
    ],
)
def test_text_files_are_scored_as_they_come(
    name: str, written: list[Any], expected: list[int], telling: Path, tmp_path: Path
) -> None:
    place = text_file(tmp_path / name, [*written, None])
    pipeline.score(telling, place, tmp_path / "out")
    answers = read(tmp_path / "out")
    assert answers["seconds"].to_pylist() == [*expected, MISSING]
    assert answers["n"].to_pylist() == list(range(len(written) + 1))


@pytest.mark.parametrize(
    "column",
    [
        pa.array(SECONDS),
        *(pa.array(MOMENTS[:4], pa.timestamp(unit, "Asia/Tokyo")) for unit in ("s", "us", "ns")),
        pa.array([moment.replace(tzinfo=None) for moment in MOMENTS], pa.timestamp("ms")),
        pa.array(TEXTS),
    ],
    ids=lambda column: str(column.type),
)
def test_tables_are_scored_and_go_through_pipelines_as_they_come(
    column: pa.Array, telling: Path, tmp_path: Path
) -> None:
    table = pa.table({"at": column})
    pq.write_table(table, tmp_path / "table.parquet")
    pipeline.score(telling, tmp_path / "table.parquet", tmp_path / "out")
    assert read(tmp_path / "out")["seconds"].to_pylist() == SECONDS[: len(column)]
    sink = Memory()
    Pipeline(source(table.to_batches()[0])).map(telling).to(sink).run()
    assert values(sink.rows(), "seconds") == SECONDS[: len(column)]


@pytest.mark.parametrize("name", ["table.csv", "table.jsonl"])
@pytest.mark.parametrize("written", [SECONDS, TEXTS, DAYS])
def test_a_pipeline_takes_text_files_by_the_types_of_their_own(
    name: str, written: list[Any], telling: Path, tmp_path: Path
) -> None:
    place = text_file(tmp_path / name, written)
    expected = MIDNIGHTS if written is DAYS else SECONDS
    for types in ({}, {"at": pa.string()}) if isinstance(written[0], str) else ({},):
        sink = Memory()
        Pipeline(FileSource(place, types=types)).map(telling).to(sink).run()
        assert values(sink.rows(), "seconds") == expected


def test_a_moment_that_is_kept_stays_a_time(telling: Path, tmp_path: Path) -> None:
    place = text_file(tmp_path / "table.csv", TEXTS)
    pipeline.score(telling, place, tmp_path / "out", settings=Settings(keep=["at"]))
    assert read(tmp_path / "out")["at"].to_pylist() == MOMENTS


def test_another_column_may_hold_the_moments(telling: Path, tmp_path: Path) -> None:
    place = tmp_path / "table.csv"
    place.write_text("signed_up\n2021-05-31\n5\n", encoding="utf-8")
    settings = Settings(columns={"at": ("signed_up",)})
    pipeline.score(telling, place, tmp_path / "out", settings=settings)
    assert read(tmp_path / "out")["seconds"].to_pylist() == [1_622_419_200, 5]


def test_what_is_no_moment_ends_the_run_or_goes_with_its_reason(
    telling: Path, tmp_path: Path
) -> None:
    place = text_file(tmp_path / "table.csv", ["2021-05-31", "2021-02-29", "1970-01-01"])
    with pytest.raises(DtypeError, match="column 'at' is '2021-02-29', expected a moment"):
        pipeline.score(telling, place, tmp_path / "out")
    settings = Settings(errors=tmp_path / "errors")
    report = pipeline.score(telling, place, tmp_path / "answers", settings=settings)
    assert (report.rows, report.failed) == (2, 1)
    (error,) = read(tmp_path / "errors").to_pylist()
    assert (error["code"], error["record"]) == ("wrong_dtype", "2021-02-29,1")
    table = pa.table({"at": ["2021-05-31", "2021-02-29"]})
    pq.write_table(table, tmp_path / "table.parquet")
    with pytest.raises(DtypeError, match="'2021-02-29', expected a moment"):
        pipeline.score(telling, tmp_path / "table.parquet", tmp_path / "other")
