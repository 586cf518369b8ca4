"""Lines that are no objects are refused one by one, and never reach beyond what Arrow can hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from shoal.errors import SourceError
from shoal.source import Files, Limit, Refused, listing

if TYPE_CHECKING:
    from pathlib import Path

# What Arrow's own reader takes for records, crashes at, or makes a broken array of.
WRONG = [
    b"null",
    b"  null",
    b"[1]",
    b"1",
    b'"text"',
    b"true",
    b'{"a": 1} null',
    b'{"a": 1} {"a": 2}',
    b'{"b": "\xff\xfe"}',
    b'{"a":',
]


def read(path: Path) -> tuple[list[int], list[Refused]]:
    source = Files(listing(str(path)))
    refused: list[Refused] = []
    found: list[int] = []
    end = source.latest(source.initial(), Limit(1 << 20, 1 << 30))
    for split in source.splits(source.initial(), end):
        for _, batch in source.read_placed(split, refused.append):
            batch.validate(full=True)
            found += batch.column("a").to_pylist()
    return found, refused


@pytest.mark.parametrize("line", WRONG, ids=repr)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_is_no_object_is_refused_and_its_neighbours_are_read(
    line: bytes, place: int, tmp_path: Path
) -> None:
    lines = [b'{"a": 7, "b": "x", "c": [{"d": 1}]}', b'{"a": 8, "b": "y", "c": []}']
    lines.insert(place, line)
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\n".join(lines) + b"\n")
    found, refused = read(path)
    assert found == [7, 8]
    assert [each.record.encode() for each in refused] == [line.decode("utf-8", "replace").encode()]


@pytest.mark.parametrize("content", [b"null\n", b"[]\n[]\n", b"nothing\n"])
def test_a_file_without_an_object_is_refused(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(content)
    with pytest.raises(SourceError, match=r"records\.jsonl"):
        read(path)


def test_a_null_among_structs_is_no_broken_array(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"a": 1, "c": [null, {"d": null}]}\n' * 3)
    with pytest.raises(SourceError, match="Length spanned by list offsets"):
        read(path)
    path.write_bytes(b'{"a": 1, "c": [{"d": 2}]}\n{"a": 2, "c": [null, {"d": null}]}\n')
    assert read(path)[0] == [1, 2]


def test_a_mark_of_utf_8_and_empty_lines_are_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n\n\t{"a": 2}')
    assert read(path) == ([1, 2], [])


def test_columns_are_those_of_all_first_lines(tmp_path: Path) -> None:
    path = tmp_path / "records.jsonl"
    path.write_bytes(b'{"a": 1}\nnull\n{"a": 2.5, "b": "x"}\n')
    assert Files(listing(str(path))).schema == pa.schema({"a": pa.float64(), "b": pa.string()})
