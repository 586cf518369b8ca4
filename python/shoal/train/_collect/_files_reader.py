"""Files as an input: read in order, and read again where the first block of text said too little.

A record of text that cannot be read is looked at alone. Where a column of it asks for a wider type,
the column has that type from then on; where it is of another kind, the column mixes kinds; in all
other cases (a wrong number of fields, text that is not UTF-8) the record itself is at fault.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NoReturn

import msgspec
import pyarrow as pa

from shoal.errors import DtypeError, error_for
from shoal.source import Files, Limit, Place, listing
from shoal.train._collect import _kinds
from shoal.train._collect._inputs import without_secrets
from shoal.train._collect._reading import Wider, check_unique_names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.source import Placed, Refused
    from shoal.train._collect._inputs import Input

# So much is planned at a time; it is decoded in smaller micro-batches.
PLANNED = Limit(rows=1 << 20, size_bytes=32 << 20)
WITHOUT_TYPES = ("csv", "tsv")
_UNITS = ("s", "ms", "us", "ns")


class FilesReader:
    """Reads files."""

    def __init__(self, described: Input) -> None:
        """Finds the files.

        Raises:
            PathError: there are none.
            InvalidRequestError: they have several formats, or an unknown one.
            DuplicateColumnError: a column is there twice.
        """
        where = os.fspath(described.source)
        self.label = without_secrets(where)
        self._found = listing(where, form=described.form)
        self.is_text = self._found.format in WITHOUT_TYPES
        stated = dict.fromkeys(described.types, pa.string()) if self.is_text else {}
        self._files = Files(self._found, types=stated)
        self._schema = self._first_schema()
        check_unique_names(self._schema.names, self.label)
        self._columns = list(described.columns)
        self._file, self._row = "", 0
        self._done_bytes = 0

    def batches(self) -> Iterator[Placed]:
        """All records of all files; see `Reader`."""
        files = self._files = Files(self._found, schema=self._schema)
        if set(self._columns) <= set(self._schema.names) and self._columns:
            files.choose(self._columns)
        self._file, self._row, self._done_bytes = "", 0, 0
        start, end = files.initial(), {"file": len(self._found.files), "at": 0}
        while start != end:
            after = files.latest(start, PLANNED)
            for split in files.splits(start, after):
                for place, batch in files.read_placed(split, self._refuse):
                    yield Place(place.file, "row", self._row_of(place.file)), batch
                    self._row += batch.num_rows
            start = after
            self._done_bytes = files.position_bytes(start)

    def done_bytes(self) -> tuple[int, int] | None:
        """How many bytes of the files are read."""
        return self._done_bytes, self._found.size_bytes

    def lineage(self) -> dict[str, object]:
        """Where the files are."""
        return {
            "files": self.label,
            "format": self._found.format,
            "file_count": len(self._found.files),
            "size_bytes": self._found.size_bytes,
        }

    def _first_schema(self) -> pa.Schema:
        """The columns of the first file; of Parquet files, with types that hold those of all."""
        first = self._files.schema
        if self.is_text:
            # Arrow takes text that is not UTF-8 for bytes; as text, the record is refused.
            return pa.schema([_as_text(field) for field in first])
        if self._found.format != "parquet":
            return first
        for file in self._found.files[1:]:
            other = Files(msgspec.structs.replace(self._found, files=(file,))).schema
            for number, name in enumerate(first.names):
                place = other.get_field_index(name)
                if place >= 0:
                    kind = _held(first.field(number).type, other.field(place).type, name)
                    first = first.set(number, pa.field(name, kind))
        return first

    def _row_of(self, file: str) -> int:
        if file != self._file:
            self._file, self._row = file, 0
        return self._row

    def _refuse(self, refused: Refused) -> NoReturn:
        """Finds out what is wrong with a record.

        Raises:
            Wider: a column has become wider.
            DtypeError: a column mixes kinds.
            ShoalError: the record cannot be read.
        """
        at = f"{without_secrets(refused.file)}, row {self._row_of(refused.file)}"
        alone = self._files.alone(refused)
        known = [] if alone is None else [each for each in alone if each.name in self._schema.names]
        # All columns of the record at once: reading again takes time.
        are_wider = [self._widen(field, at) for field in known]
        if any(are_wider):
            raise Wider
        raise error_for(refused.code, f"{at}: {refused.message}")

    def _widen(self, found: pa.Field, at: str) -> bool:
        """Makes a column as wide as a value of it needs; whether it has changed."""
        number = self._schema.get_field_index(found.name)
        known = self._schema.field(number).type
        if _kinds.is_text(known) or not self._is_taken(found.name):
            return False
        wider = _wider(known, found.type, found.name)
        if wider is None:
            message = (
                f"{at}: column {found.name!r} is {_said(found.type)}, "
                f"where the records before have {_said(known)}"
            )
            hint = "State its kind, such as types={'column': 'text'}, or what stands for a missing "
            raise DtypeError(message, hint=f"{hint}value: missing=['?'].")
        self._schema = self._schema.set(number, pa.field(found.name, wider))
        return bool(wider != known)

    def _is_taken(self, name: str) -> bool:
        return not self._columns or name in self._columns


def _as_text(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string()) if pa.types.is_binary(field.type) else field


def _wider(known: pa.DataType, found: pa.DataType, name: str) -> pa.DataType | None:
    """The type of the source that holds both; moments keep their unit and zone."""
    if pa.types.is_timestamp(known) and pa.types.is_timestamp(found):
        unit = max(known.unit, found.unit, key=_UNITS.index)
        return pa.timestamp(unit, known.tz) if known.tz == found.tz else None
    if pa.types.is_nested(known) or pa.types.is_nested(found):
        return known if known == found else None
    held = _kinds.wider(_kinds.stored_type(known, name), _kinds.stored_type(found, name))
    if held is None or held == _kinds.stored_type(known, name):
        return None if held is None else known
    return found if pa.types.is_null(known) else held


def _held(known: pa.DataType, found: pa.DataType, name: str) -> pa.DataType:
    """The type for both where there is one; else the known one, and reading says what is wrong."""
    if known == found or pa.types.is_nested(known) or pa.types.is_nested(found):
        return known
    return _wider(known, found, name) or known


def _said(kind: pa.DataType) -> str:
    if pa.types.is_timestamp(kind):
        return "datetime with a zone" if kind.tz else "datetime without a zone"
    return _kinds.word(kind)
