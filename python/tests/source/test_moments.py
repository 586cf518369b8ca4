"""Moments in text files: dates, date-times and whole seconds, each by itself."""

from __future__ import annotations

import gzip
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from shoal.errors import DtypeError
from shoal.source import Files, Limit, Refused, listing
from shoal.source._pieces import refuse_all

if TYPE_CHECKING:
    from pathlib import Path

MOMENT = pa.timestamp("s", "UTC")
# What is written, and the seconds; none where nothing is written.
WRITTEN: list[tuple[str | int | None, int | None]] = [
    ("2021-05-31", 1_622_419_200),
    (None, None),
    ("2021-05-31T10:20:30Z", 1_622_456_430),
    (1_622_456_430, 1_622_456_430),
    ("2021-05-31 12:20:30.5+02:00", 1_622_456_430),
    (-1, -1),
    ("0001-01-01", -62_135_596_800),
]
WRONG = ["2021-02-29", "2021-05-31T24:00", "yesterday"]
FORMS = ["table.csv", "table.csv.gz", "table.tsv", "table.jsonl"]


def write(place: Path, written: list[str | int | None]) -> Path:
    if place.suffix == ".jsonl":
        lines = [json.dumps({"n": n, "at": each}) for n, each in enumerate(written)]
    else:
        cut = "\t" if place.suffix == ".tsv" else ","
        rows = [f"{n}{cut}{'' if each is None else each}" for n, each in enumerate(written)]
        lines = [f"n{cut}at", *rows]
    data = "".join(f"{line}\n" for line in lines).encode()
    place.write_bytes(gzip.compress(data) if place.suffix == ".gz" else data)
    return place


def read(place: Path) -> tuple[pa.Table, list[Refused]]:
    source = Files(listing(str(place)), moments=["at"])
    refused: list[Refused] = []
    end = source.latest(source.initial(), Limit(1 << 20, 1 << 30))
    batches = [
        batch
        for split in source.splits(source.initial(), end)
        for _, batch in source.read_placed(split, refused.append)
    ]
    return pa.Table.from_batches(batches, source.schema), refused


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("block_bytes", [30, 4 << 20])
@pytest.mark.parametrize("turned", [False, True])
def test_each_record_says_its_moment_in_a_form_of_its_own(
    *, name: str, block_bytes: int, turned: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shoal.source._text.BLOCK_BYTES", block_bytes)
    written = WRITTEN[::-1] if turned else WRITTEN
    table, refused = read(write(tmp_path / name, [each for each, _ in written]))
    assert refused == []
    assert table.schema.field("at").type == MOMENT
    assert table["at"].cast(pa.int64()).to_pylist() == [seconds for _, seconds in written]
    assert table["n"].to_pylist() == list(range(len(written)))


@pytest.mark.parametrize("name", FORMS)
@pytest.mark.parametrize("first", [None, 7, "1970-01-01"])
def test_a_column_that_begins_with_nothing_says_nothing_of_what_follows(
    name: str, first: str | int | None, tmp_path: Path
) -> None:
    for others in ([5] * 50, ["1970-01-01T00:00:05Z"] * 50):
        table, refused = read(write(tmp_path / name, [first, None, *others, None]))
        assert refused == []
        assert table["at"].cast(pa.int64()).to_pylist()[2:-1] == [5] * 50


@pytest.mark.parametrize("name", FORMS)
def test_what_is_no_moment_is_refused_alone_and_by_name(name: str, tmp_path: Path) -> None:
    written: list[str | int | None] = ["2021-05-31", 5, *WRONG, 7, None]
    table, refused = read(write(tmp_path / name, written))
    assert table["n"].to_pylist() == [0, 1, 5, 6]
    for each, wrong in zip(refused, WRONG, strict=True):
        assert each.code == "wrong_dtype"
        assert each.message.startswith(f"column 'at' is '{wrong}', expected a moment such as")
        assert wrong in each.record


def test_json_lines_of_either_kind_in_turn_are_read_together_and_in_their_order(
    tmp_path: Path,
) -> None:
    path = tmp_path / "table.jsonl"
    kinds: list[dict[str, object]] = [
        {"at": "1970-01-01T00:00:05Z", "on": 6, "text": "é"},
        {"at": 5, "on": "1970-01-01T00:00:06Z", "number": 1},
        {"on": 6, "at": 5, "number": 1.5},
        {"at": None, "text": "\u2028"},
        {"number": 2},
    ]
    records: list[dict[str, Any]] = [{**kinds[n % 5], "n": n} for n in range(4_000)]
    lines = [json.dumps(each, ensure_ascii=bool(each["n"] % 2)) for each in records]
    path.write_text("\ufeff" + "\r\n\n".join([*lines, ""]), encoding="utf-8")
    source = Files(listing(str(path)), moments=["at", "on"])
    assert source.schema.field("number").type == pa.float64()
    end = source.latest(source.initial(), Limit(1 << 20, 1 << 30))
    (split,) = source.splits(source.initial(), end)
    (batch,) = source.read(split)
    assert batch.column("n").to_pylist() == list(range(4_000))
    for name, seconds in (("at", [5, 5, 5, None, None]), ("on", [6, 6, 6, None, None])):
        assert batch.column(name).cast(pa.int64()).to_pylist() == seconds * 800
    for name in ("text", "number"):
        assert batch.column(name).to_pylist() == [each.get(name) for each in records]


def test_a_wrong_line_among_json_lines_of_both_kinds_is_refused_alone(tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    wrong = ['{"at":"yesterday"}', '{"at":1.5}', "[" * 5_000, '{"at":', '{"at":"\\ud800"}', "7"]
    lines = [f'{{"at":{n if n % 2 else chr(34) + "1970-01-01" + chr(34)}}}' for n in range(60)]
    mixed = [line for n, line in enumerate(lines) for line in (line, *wrong[n // 10 : n // 10 + 1])]
    path.write_text("\n".join(mixed))
    table, refused = read(path)
    assert table["at"].cast(pa.int64()).to_pylist() == [n if n % 2 else 0 for n in range(60)]
    assert {each.record for each in refused} == {each[:4096] for each in wrong}


@pytest.mark.parametrize("value", [1.5, True, [], {}, "1622456430", " 2021-05-31", 2**63])
def test_json_of_another_kind_is_refused(value: object, tmp_path: Path) -> None:
    path = tmp_path / "table.jsonl"
    path.write_text(f'{{"at":1}}\n{json.dumps({"at": value})}\n{{"at":"1970-01-01"}}\n')
    table, refused = read(path)
    assert table["at"].cast(pa.int64()).to_pylist() == [1, 0]
    assert [each.place for each in refused] == ["byte 9"]


def test_without_a_place_for_them_such_a_record_ends_the_run(tmp_path: Path) -> None:
    path = write(tmp_path / "table.csv", ["2021-05-31", "2021-02-29"])
    source = Files(listing(str(path)), moments=["at"])
    end = source.latest(source.initial(), Limit(1 << 20, 1 << 30))
    (split,) = source.splits(source.initial(), end)
    with pytest.raises(DtypeError, match=r"table.csv, byte .* '2021-02-29', expected a moment"):
        list(source.read_placed(split, refuse_all))


def test_a_file_without_records_has_its_columns(tmp_path: Path) -> None:
    table, _ = read(write(tmp_path / "table.csv", []))
    assert table.schema.field("at").type == MOMENT
