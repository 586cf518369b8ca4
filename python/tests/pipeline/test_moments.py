"""Files of every form give a model the same moments; what is none goes with its reason."""

from __future__ import annotations

import datetime
import gzip
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from shoal import pipeline
from shoal.errors import ConflictError, DtypeError, InvalidRequestError, MissingColumnError
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
    text = "".join(f"{line}\n" for line in lines)
    if place.suffix == ".tsv":
        text = text.replace(",", "\t")
    data = text.encode()
    place.write_bytes(gzip.compress(data) if place.suffix == ".gz" else data)
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


MIXED = [*TEXTS, *SECONDS, *DAYS]
ANSWERS = [*SECONDS, *SECONDS, *MIDNIGHTS]


@pytest.mark.parametrize("name", ["table.csv", "table.csv.gz", "table.tsv", "table.jsonl"])
@pytest.mark.parametrize("step", [1, -1])
def test_a_pipeline_answers_a_file_of_mixed_forms_as_score_does(
    name: str, step: int, telling: Path, tmp_path: Path
) -> None:
    place = text_file(tmp_path / name, [*MIXED[::step], None])
    pipeline.score(telling, place, tmp_path / "out")
    sink = Memory()
    outcome = Pipeline(FileSource(place)).map(telling).to(sink).run()
    assert outcome.rows_dead == 0
    assert values(sink.rows(), "seconds") == [*ANSWERS[::step], MISSING]
    assert values(sink.rows(), "seconds") == read(tmp_path / "out")["seconds"].to_pylist()


def test_a_source_that_was_told_holds_moments_behind_any_step(
    telling: Path, tmp_path: Path
) -> None:
    place = text_file(tmp_path / "table.csv", MIXED)
    condition = pc.field("n") >= 0
    for files, dead in ((FileSource(place, moments=["at"]), 0), (FileSource(place), 5)):
        sink = Memory()
        outcome = Pipeline(files).filter(condition).map(telling).to(sink).run()
        assert outcome.rows_dead == dead
        assert outcome.rows_out == len(MIXED) - dead


def test_a_pipeline_finds_moments_in_the_column_that_an_input_takes(
    telling: Path, tmp_path: Path
) -> None:
    (tmp_path / "table.csv").write_text("signed_up,at\n2021-05-31,x\n5,y\n", encoding="utf-8")
    sink = Memory()
    source = FileSource(tmp_path / "table.csv").select("signed_up", "at")
    Pipeline(source).map(telling, columns={"at": ("signed_up",)}).to(sink).run()
    assert values(sink.rows(), "seconds") == [1_622_419_200, 5]
    assert values(sink.rows(), "at") == ["x", "y"]


def test_a_pipeline_that_goes_on_reads_moments_as_it_did(telling: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    sink, described = Memory(), Pipeline(FileSource(tmp_path / "in")).map(telling)
    for name, written in (("a.csv", ["2021-05-31"]), ("b.csv", [5, "1970-01-01"])):
        text_file(tmp_path / "in" / name, written)
        described.to(sink).run(tmp_path / "ledger")
    assert values(sink.rows(), "seconds") == [1_622_419_200, 5, 0]


def test_moments_that_are_named_later_change_the_pipeline(telling: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    text_file(tmp_path / "in" / "a.csv", ["yesterday"])
    sink = Memory()
    before = Pipeline(FileSource(tmp_path / "in")).filter(pc.field("n") > 0)
    before.to(sink).run(tmp_path / "ledger")
    text_file(tmp_path / "in" / "b.csv", [5, "1970-01-01"])
    told = Pipeline(FileSource(tmp_path / "in", moments=["at"]))
    with pytest.raises(
        ConflictError, match=r"at: string.* now it has .*at: timestamp\[s, tz=UTC\]"
    ):
        told.filter(pc.field("n") > 0).to(sink).run(tmp_path / "ledger")
    now = Pipeline(FileSource(tmp_path / "in")).map(telling).to(sink)
    now.migrate(tmp_path / "ledger")
    now.run(tmp_path / "ledger")
    assert values(sink.rows(), "seconds") == [5, 0]


def test_what_a_source_is_told_of_moments_must_hold(telling: Path, tmp_path: Path) -> None:
    place = text_file(tmp_path / "table.csv", DAYS)
    with pytest.raises(InvalidRequestError, match="'at' has a type and holds moments"):
        FileSource(place, types={"at": pa.string()}, moments=["at"])
    with pytest.raises(MissingColumnError, match="has no column 'on', only at, n"):
        Pipeline(FileSource(place, moments=["on"])).map(telling).to(Memory()).run()


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
