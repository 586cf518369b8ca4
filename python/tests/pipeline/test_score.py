"""Files are scored: every record once, in order, beside what it came with, whatever its form."""

from __future__ import annotations

import errno
import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import package, pipeline
from shoal.errors import (
    ConflictError,
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    MissingColumnError,
    NullError,
    PathError,
    SinkError,
    SourceError,
)
from shoal.pipeline import Settings
from tests.pipeline.conftest import FEATURES, ROWS, read, write

if TYPE_CHECKING:
    from pathlib import Path

    from tests.pipeline.conftest import Records

PACKED = Settings(columns={"x": FEATURES})
FORMS = ["table.parquet", "table.csv", "table.csv.gz", "table.jsonl", "table.json.gz"]


@pytest.fixture(autouse=True)
def small_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several epochs, pieces and blocks also of few records."""
    monkeypatch.setattr("shoal.pipeline._dataset._score.EPOCH_ROWS", 1000)
    monkeypatch.setattr("shoal.pipeline._dataset._score.EPOCH_BYTES", 30_000)
    monkeypatch.setattr("shoal.source._folder_sink.GATHERED_BYTES", 3_000)
    monkeypatch.setattr("shoal.source._text.PIECE_BYTES", 10_000)
    monkeypatch.setattr("shoal.source._text.BLOCK_BYTES", 3_000)


@pytest.mark.parametrize("name", FORMS)
def test_every_record_is_answered_once_and_in_order(
    name: str, adder: Path, records: Records, tmp_path: Path
) -> None:
    where = write(records.table, tmp_path / name)
    report = pipeline.score(adder, where, tmp_path / "out", settings=PACKED)
    answers = read(tmp_path / "out")
    assert answers["total"].to_pylist() == records.total
    assert answers["id"].to_pylist() == list(range(ROWS))
    assert answers["note"].to_pylist() == records.table["note"].to_pylist()
    assert (report.rows, report.rows_now, report.failed) == (ROWS, ROWS, 0)
    assert report.epochs >= (1 if name.endswith(".gz") else 2)


def test_pandas_is_not_imported(adder: Path, records: Records, tmp_path: Path) -> None:
    where = write(records.table, tmp_path / "table.parquet")
    script = (
        "import sys; from pathlib import Path; from shoal import pipeline;"
        f"settings = pipeline.Settings(columns={{'x': {FEATURES!r}}});"
        f"pipeline.score({str(adder)!r}, {str(where)!r}, {str(tmp_path / 'out')!r},"
        " settings=settings); print('pandas' in sys.modules)"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert said.stdout == "False\n", "it takes a sixth of a second, and nothing needs it"


def test_other_readers_read_the_folder_as_it_is(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    where = write(records.table, tmp_path / "table.parquet")
    pipeline.score(adder, where, tmp_path / "out", settings=PACKED)
    query = f"select count(*), sum(total) from '{tmp_path}/out/**/*.parquet'"
    with duckdb.connect() as database:
        assert database.execute(query).fetchall() == [(ROWS, sum(records.total))]
    manifest = json.loads((tmp_path / "out/_manifest.json").read_text())
    assert sum(part["rows"] for part in manifest["parts"]) == manifest["rows"] == ROWS
    assert manifest["package"] == package.open(adder).digest
    names = [path.name for path in sorted((tmp_path / "out").glob("*.parquet"))]
    assert [part["name"] for part in manifest["parts"]] == names


def test_a_folder_of_files_is_read_in_the_order_of_their_names(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    for number, start in enumerate(range(0, ROWS, 500)):
        write(records.table.slice(start, 500), tmp_path / f"in/day={number}/{number}.csv")
    write(records.table, tmp_path / "in/_staged/hidden.csv")
    reordered = records.table.slice(0, 0).select(["note", "d", "c", "id", "b", "a"])
    write(reordered, tmp_path / "in/day=9/9.csv")
    pipeline.score(adder, tmp_path / "in", tmp_path / "out", settings=PACKED)
    assert read(tmp_path / "out")["total"].to_pylist() == records.total


def test_a_packed_column_is_taken_as_it_is(adder: Path, records: Records, tmp_path: Path) -> None:
    values = np.stack([records.table[name].to_numpy() for name in FEATURES], axis=1)
    packed = pa.FixedSizeListArray.from_arrays(pa.array(values.ravel()), 4)
    where = write(pa.table({"x": packed, "id": range(ROWS)}), tmp_path / "table.parquet")
    pipeline.score(adder, where, tmp_path / "out")
    assert read(tmp_path / "out")["total"].to_pylist() == records.total


def test_one_thread_and_many_give_the_same_files(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    where = write(records.table, tmp_path / "table.jsonl")
    for workers in (1, 5):
        settings = replace(PACKED, workers=workers)
        pipeline.score(adder, where, tmp_path / str(workers), settings=settings)
    assert read(tmp_path / "1").equals(read(tmp_path / "5"))


def test_columns_that_go_along_are_chosen(adder: Path, records: Records, tmp_path: Path) -> None:
    where = write(records.table, tmp_path / "table.parquet")
    for keep, names in (([], ["total"]), (["b", "id"], ["b", "id", "total"])):
        out = tmp_path / f"out{len(keep)}"
        pipeline.score(adder, where, out, settings=replace(PACKED, keep=keep))
        assert read(out).schema.names == names


def test_without_records_there_is_a_folder_with_the_columns(adder: Path, tmp_path: Path) -> None:
    where = write(
        pa.table({name: pa.array([], pa.float32()) for name in FEATURES}), tmp_path / "t.parquet"
    )
    report = pipeline.score(adder, where, tmp_path / "out", settings=PACKED)
    assert (report.rows, read(tmp_path / "out").schema.names) == (0, ["total"])


def test_records_that_fail_go_to_their_folder_and_their_neighbours_are_answered(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    where = write(records.table, tmp_path / "table.csv")
    lines = where.read_text().split("\n")
    broken = {100: "1,2,3", 1500: "1,x,3,4,7,note", 2000: "1,,3,4,8,note"}
    # Records with a line break in them stay as they are.
    places = {}
    for wanted, text in broken.items():
        place = next(
            n for n in range(wanted, wanted + 9) if lines[n].count('"') == 0 and "," in lines[n]
        )
        places[text] = lines[place]
        lines[place] = text
    where.write_text("\n".join(lines))
    settings = replace(PACKED, errors=tmp_path / "errors")
    report = pipeline.score(adder, where, tmp_path / "out", settings=settings)
    lost = {int(line.split(",")[4]) for line in places.values()}
    left = [n for n in range(ROWS) if n not in lost]
    answers = read(tmp_path / "out")
    assert answers["id"].to_pylist() == left
    assert answers["total"].to_pylist() == [records.total[n] for n in left]
    errors = read(tmp_path / "errors").to_pylist()
    assert (report.rows, report.failed) == (ROWS - 3, 3)
    assert [error["code"] for error in errors] == ["wrong_dtype", "wrong_dtype", "null_not_allowed"]
    assert [error["record"] for error in errors[:2]] == ["1,2,3", "1,x,3,4,7,note"]
    assert json.loads(errors[2]["record"])["id"] == 8
    assert errors[0]["file"] == str(where)
    assert where.read_bytes()[int(errors[0]["place"].removeprefix("byte ")) :].startswith(
        b"1,2,3\n"
    )


def test_without_that_folder_the_first_record_that_fails_ends_the_run_and_says_where(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    column = pa.array([None if n == 2500 else 1.0 for n in range(ROWS)], pa.float32())
    table = records.table.set_column(0, "a", column)
    where = write(table, tmp_path / "table.parquet")
    with pytest.raises(NullError, match=r"table\.parquet, row 2500: .*'a'") as caught:
        pipeline.score(adder, where, tmp_path / "out", settings=PACKED)
    assert "--errors" in str(caught.value.hint)
    assert read(tmp_path / "out")["id"].to_pylist() == list(range(1400)), "what was before it stays"


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        (Settings(), MissingColumnError, "no column 'x' for the model's input; there are a, b, c"),
        (Settings(columns={"y": ("a",)}), InvalidRequestError, "no input 'y', it has x"),
        (Settings(columns={"x": ("a", "z")}), MissingColumnError, "no column 'z'"),
        (Settings(columns={"x": ("a", "b", "c", "note")}), DtypeError, "note"),
        (replace(PACKED, keep=["nothing"]), MissingColumnError, "no column 'nothing' to keep"),
        (replace(PACKED, workers=0), InvalidRequestError, "workers is 0"),
        (replace(PACKED, form="xlsx"), InvalidRequestError, "'xlsx' is not a format"),
    ],
)
def test_what_does_not_fit_is_said_before_the_first_record(
    *,
    settings: Settings,
    error: type[Exception],
    text: str,
    adder: Path,
    records: Records,
    tmp_path: Path,
) -> None:
    where = write(records.table, tmp_path / "table.parquet")
    with pytest.raises(error, match=text):
        pipeline.score(adder, where, tmp_path / "out", settings=settings)
    assert not (tmp_path / "out").exists()


def test_an_answer_does_not_take_the_place_of_a_column(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    where = write(
        records.table.rename_columns([*FEATURES, "total", "note"]), tmp_path / "t.parquet"
    )
    with pytest.raises(DuplicateColumnError, match="'total'"):
        pipeline.score(adder, where, tmp_path / "out", settings=PACKED)


def test_files_that_are_not_there_or_not_what_they_say_are_named(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    for where in (tmp_path / "nothing.csv", tmp_path / "*.csv", tmp_path):
        with pytest.raises(
            PathError, match=r"there (is nothing|are no files of a known format) at"
        ):
            pipeline.score(adder, where, tmp_path / "out", settings=PACKED)
    (tmp_path / "broken.parquet").write_bytes(b"not Parquet")
    with pytest.raises(SourceError, match=r"broken\.parquet cannot be read as Parquet"):
        pipeline.score(adder, tmp_path / "broken.parquet", tmp_path / "out", settings=PACKED)
    write(records.table, tmp_path / "in/a.csv")
    write(records.table, tmp_path / "in/b.parquet")
    with pytest.raises(InvalidRequestError, match="several formats: csv, parquet"):
        pipeline.score(adder, tmp_path / "in", tmp_path / "out", settings=PACKED)


def test_the_output_of_another_run_is_not_gone_on_with(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    where = write(records.table, tmp_path / "table.parquet")
    pipeline.score(adder, where, tmp_path / "out", settings=PACKED)
    other = replace(PACKED, columns={"x": ("b", "a", "c", "d")})
    with pytest.raises(ConflictError, match="other input, another package or other options"):
        pipeline.score(adder, where, tmp_path / "out", settings=other)
    (tmp_path / "full").mkdir()
    (tmp_path / "full/thesis.txt").write_text("mine")
    with pytest.raises(ConflictError, match=r"other files, such as thesis\.txt"):
        pipeline.score(adder, where, tmp_path / "full", settings=PACKED)


@pytest.mark.parametrize("refused", [("fdatasync", 2), ("fsync", 10)])
def test_what_the_disk_refuses_ends_the_run_and_a_later_one_goes_on(
    refused: tuple[str, int],
    adder: Path,
    records: Records,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    where, out = write(records.table, tmp_path / "table.parquet"), tmp_path / "out"
    (call, number), calls = refused, itertools.count(1)
    kept = getattr(os, call)

    def full(descriptor: int) -> None:
        if next(calls) == number:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        kept(descriptor)

    monkeypatch.setattr(os, call, full)
    with pytest.raises(SinkError, match="cannot be written: No space left on device"):
        pipeline.score(adder, where, out, settings=PACKED)
    assert pipeline.score(adder, where, out, settings=PACKED).rows == ROWS
    assert read(out)["total"].to_pylist() == records.total


SMALL_FILES = """
import resource, sys
from shoal import pipeline
from shoal.errors import SinkError

package, where, out = sys.argv[1:]
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))
settings = pipeline.Settings(columns={"x": ("a", "b", "c", "d")})
try:
    pipeline.score(package, where, out, settings=settings)
except SinkError as error:
    print(error)
"""


def test_a_file_that_the_system_cuts_short_ends_the_run(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    where, out = write(records.table, tmp_path / "table.parquet"), tmp_path / "out"
    command = [sys.executable, "-c", SMALL_FILES, str(adder), str(where), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.rstrip().endswith("cannot be written: File too large")
    assert not list(out.glob("part-*"))


def test_a_run_that_is_complete_is_not_done_again(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    where = write(records.table, tmp_path / "table.parquet")
    first = pipeline.score(adder, where, tmp_path / "out", settings=PACKED)
    again = pipeline.score(adder, where, tmp_path / "out", settings=PACKED)
    assert (again.rows, again.rows_now, again.epochs) == (ROWS, 0, first.epochs)


def test_a_corrupt_file_in_the_middle_ends_the_run_and_what_is_before_it_stays(
    adder: Path, records: Records, tmp_path: Path
) -> None:
    for number in range(3):
        write(records.table, tmp_path / f"in/{number}.parquet")
    data = bytearray((tmp_path / "in/1.parquet").read_bytes())
    data[10:2000] = bytes(1990)
    (tmp_path / "in/1.parquet").write_bytes(bytes(data))
    with pytest.raises(SourceError, match=r"1\.parquet cannot be read as Parquet"):
        pipeline.score(adder, tmp_path / "in", tmp_path / "out", settings=PACKED)
    rows = read(tmp_path / "out").num_rows
    assert rows <= ROWS
    pq.write_table(records.table, tmp_path / "in/1.parquet")


def test_words_say_which_columns_an_input_takes() -> None:
    said = pipeline.read_columns(["x=a,b", "y=p{8..11}_mean,q"])
    assert said == {"x": ("a", "b"), "y": ("p8_mean", "p9_mean", "p10_mean", "p11_mean", "q")}
    for word in ("x", "=a", "x=", "x=p{3..1}"):
        with pytest.raises(InvalidRequestError):
            pipeline.read_columns([word])


def pools_while_scoring(adder: Path, where: Path, output: Path) -> set[str]:
    """The allocators that are the default ones while records are answered."""
    seen: set[str] = set()

    def look(_done: int, _all: int, _rows: int) -> None:
        seen.add(pa.default_memory_pool().backend_name)

    pipeline.score(adder, where, output, settings=PACKED, progress=look)
    return seen


def test_memory_is_kept_for_the_next_epoch_and_the_callers_allocator_comes_back(
    adder: Path, records: Records, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL", raising=False)
    where = write(records.table, tmp_path / "table.parquet")
    before = pa.default_memory_pool()
    assert before.backend_name == "mimalloc"
    assert pools_while_scoring(adder, where, tmp_path / "kept") == {"jemalloc"}
    assert pa.default_memory_pool().backend_name == "mimalloc"
    monkeypatch.setenv("ARROW_DEFAULT_MEMORY_POOL", "mimalloc")
    assert pools_while_scoring(adder, where, tmp_path / "chosen") == {"mimalloc"}
    monkeypatch.delenv("ARROW_DEFAULT_MEMORY_POOL")
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        assert pools_while_scoring(adder, where, tmp_path / "called") == {"system"}
    finally:
        pa.set_memory_pool(before)
