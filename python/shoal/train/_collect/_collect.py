"""Inputs into a dataset, in one pass over the first of them.

- The first input is streamed: it may be larger than memory. The others are stored on disk first,
  and each record of the first finds its own there (`_join.py`).
- What is held in memory does not grow with the records: a micro-batch, a row group, and for each
  joined input a cache of its keys; in all less than 300 MB beside what is imported.
- A column that turns out to need a wider type (integers, later a fraction) begins the pass again.
- The dataset appears whole, or not at all.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import msgspec
import numpy as np
import pyarrow as pa

from shoal.errors import (
    DtypeError,
    InputError,
    InternalError,
    InvalidRequestError,
    MissingColumnError,
    UnexpectedColumnError,
)
from shoal.runtime import canonical_json
from shoal.train._collect import _dataset, _parts
from shoal.train._collect._content import ContentDigest
from shoal.train._collect._inputs import Input, Sql, inputs_of, is_place
from shoal.train._collect._join import Join, Side
from shoal.train._collect._kinds import check_kinds
from shoal.train._collect._reading import Reading, Wider
from shoal.train._collect._staging import staged
from shoal.train._collect._survey import Survey

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoal.source import Place
    from shoal.train._collect._check import Checker
    from shoal.train._collect._dataset import Dataset
    from shoal.train._collect._kinds import Kind
    from shoal.train._collect._reading import Reader
    from shoal.train._collect._schema import Schema

SIDES = "sides"

PlaceOf: TypeAlias = Callable[[int], str]


class Progress(Protocol):
    """Hears how far the reading is."""

    def __call__(self, rows: int, done_bytes: int, size_bytes: int | None) -> None:
        """Called after each micro-batch.

        Args:
            rows: Records of the first input that are read.
            done_bytes: Bytes of it that are read, where it is files.
            size_bytes: Bytes that it has; None where that is not known.
        """


def collect(
    inputs: Any,
    into: str | os.PathLike[str],
    *,
    join: Join | None = None,
    schema: Schema | None = None,
    progress: Progress | None = None,
) -> Dataset:
    """Reads inputs in micro-batches into a dataset on disk.

    Args:
        inputs: One input, or a list of them: a path, folder, pattern or address of CSV, TSV,
            Parquet or JSON lines; a `Sql`; a pyarrow table, a pandas DataFrame or a dict of numpy
            arrays; or any of these as `Input`, which says more.
        into: The folder of the dataset; it must not be there, or be empty.
        join: How several inputs become one: their keys.
        schema: What records must keep to; inferred unless given. Its columns are taken in its
            order, and its kinds are the kinds that they are read as.
        progress: Hears how far it is.

    Returns:
        The dataset.

    Raises:
        ConflictError: there is something at `into`, or another process is writing to it.
        InputError: the inputs are not as described, or records do not keep to the schema; with
            column, row and rule.
        SourceError: an input cannot be read, or has no records.
        SinkError: the dataset cannot be written (disk full, no right); nothing of it stays.
    """
    described = inputs_of(inputs)
    if (len(described) > 1) != (join is not None):
        message = f"{len(described)} inputs were given {'with' if join else 'without'} a join"
        raise InvalidRequestError(message, hint="Say join=Join(on='customer') for several inputs.")
    keys = join.keys if join is not None else []
    target = _local(into)
    with staged(target) as staging:
        first, *others = [_reading(each, schema) for each in described]
        sides = [
            Side(reading, keys, staging / SIDES / str(number))
            for number, reading in enumerate(others)
        ]
        collecting = _Collecting(first, sides, join, schema)
        try:
            collecting.run(staging, _stated(described), progress)
        finally:
            for side in sides:
                side.close()
        shutil.rmtree(staging / SIDES, ignore_errors=True)
    return _dataset.open_dataset(target)


def _local(into: str | os.PathLike[str]) -> Path:
    """The folder of the dataset.

    Raises:
        InvalidRequestError: it is an address of a store.
    """
    if "://" in os.fspath(into):
        message = f"a dataset is collected into a folder of this machine, not {os.fspath(into)}"
        raise InvalidRequestError(message, hint="Keep it as a package, and push that.")
    return Path(into)


class _Collecting:
    """One collecting of inputs."""

    def __init__(
        self, first: Reading, sides: Sequence[Side], join: Join | None, schema: Schema | None
    ) -> None:
        self._first = first
        self._sides = sides
        self._join = join
        self._schema = schema

    def run(self, staging: Path, stated: Mapping[str, Kind], progress: Progress | None) -> None:
        """Writes everything into an empty folder."""
        for side in self._sides:
            side.store()
        while True:
            writing = _Writing(staging, self._schema, stated)
            try:
                self._pass(writing, progress)
                break
            except Wider:
                for side in self._sides:
                    side.matched = 0
                shutil.rmtree(staging / _parts.FOLDER, ignore_errors=True)
            finally:
                writing.drop()
        writing.finish(self._lineage())

    def _pass(self, writing: _Writing, progress: Progress | None) -> None:
        rows = 0
        with closing(self._first.batches()) as batches:
            for place, batch in batches:
                if not rows:
                    self._check_sides(batch.schema)
                writing.write(*self._joined(place, batch))
                rows += batch.num_rows
                if progress is not None:
                    progress(rows, *(self._first.done_bytes() or (0, None)))
        writing.close()

    def _check_sides(self, columns: pa.Schema) -> None:
        """Compares keys and columns of each joined input with all that come before it."""
        label = self._first.label
        for side in self._sides:
            side.check(columns, label)
            columns = pa.schema([*columns, *side.schema])

    def _joined(self, place: Place, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, PlaceOf]:
        """A batch with the columns of the joined inputs, and where its records come from."""
        if self._join is None:
            return batch, lambda row: f"{place.file}, {place.of(row)}"
        found = [side.found(batch) for side in self._sides]
        kept = np.arange(batch.num_rows)
        if self._join.how == "inner":
            kept = kept[np.all([rows >= 0 for rows in found], axis=0)]
        columns = batch.take(pa.array(kept)).columns
        fields = list(batch.schema)
        for side, rows in zip(self._sides, found, strict=True):
            columns += side.take(rows[kept])
            fields += list(side.schema)
        joined = pa.record_batch(columns, pa.schema(fields))
        return joined, lambda row: f"{place.file}, {place.of(int(kept[row]))}"

    def _lineage(self) -> dict[str, object]:
        inputs = [self._first.lineage(), *(side.lineage() for side in self._sides)]
        if self._join is None:
            return {"inputs": inputs}
        return {"inputs": inputs, "join": {"on": self._join.keys, "how": self._join.how}}


class _Writing:
    """What one pass writes."""

    def __init__(self, root: Path, schema: Schema | None, stated: Mapping[str, Kind]) -> None:
        self._root = root
        self._schema = schema
        self._stated = stated
        self._checker = _checker(schema)
        self._parts: _parts.Parts | None = None
        self._survey: Survey | None = None
        self._digest: ContentDigest | None = None

    def write(self, batch: pa.RecordBatch, place_of: PlaceOf) -> None:
        """Takes more records."""
        if self._schema is not None:
            batch = _ordered(batch, self._schema)
        if self._checker is not None:
            self._checker.look(batch, place_of)
        if self._parts is None or self._survey is None or self._digest is None:
            self._parts = _parts.Parts(self._root, batch.schema)
            self._survey = Survey(batch.schema, self._stated)
            self._digest = ContentDigest(batch.schema)
        self._survey.look(batch)
        self._digest.update(batch)
        self._parts.write(batch)

    def close(self) -> None:
        """Ends the last part.

        Raises:
            InputError: records do not keep to the schema, or none is left.
        """
        if self._checker is not None:
            self._checker.end()
        if self._survey is None or not self._survey.rows:
            raise InputError("no record of the first input has a match in every other input")
        if self._parts is not None:
            self._parts.close()

    def finish(self, lineage: dict[str, object]) -> None:
        """Writes what is known of the records."""
        if self._parts is None or self._survey is None or self._digest is None:
            raise InternalError("a dataset was finished before it was written")
        schema = self._schema or self._survey.schema()
        digest = self._digest.of(msgspec.to_builtins(schema))
        counts = self._survey.counts()
        document = _dataset.Document(digest, tuple(self._parts.rows), counts)
        (self._root / _dataset.SCHEMA).write_text(schema.to_json(), "utf-8")
        for name, content in ((_dataset.DATASET, document), (_dataset.LINEAGE, lineage)):
            (self._root / name).write_bytes(canonical_json(content) + b"\n")

    def drop(self) -> None:
        """Lets go of what is open."""
        if self._parts is not None:
            self._parts.drop()


def _reading(described: Input, schema: Schema | None) -> Reading:
    check_kinds(described.types, described.name or "an input")
    own_names = {name: own for own, name in described.rename.items()}
    columns = schema.columns if schema is not None else ()
    kinds = {own_names.get(column.name, column.name): column.kind for column in columns}
    kinds |= described.types
    return Reading(described, _reader(replace(described, types=kinds)), kinds)


def _reader(described: Input) -> Reader:
    """Who reads what was described; its library is loaded here."""
    if is_place(described.source):
        from shoal.train._collect._files_reader import FilesReader

        return FilesReader(described)
    if isinstance(described.source, Sql):
        from shoal.train._collect._sql_reader import SqlReader

        return SqlReader(described)
    from shoal.train._collect._table_reader import TableReader

    return TableReader(described)


def _checker(schema: Schema | None) -> Checker | None:
    if schema is None:
        return None
    from shoal.train._collect._check import Checker

    return Checker(schema)


def _stated(described: Sequence[Input]) -> dict[str, Kind]:
    """The kinds that the user has stated, by the names that columns have in the dataset."""
    return {
        each.rename.get(own, own): kind for each in described for own, kind in each.types.items()
    }


def _ordered(batch: pa.RecordBatch, schema: Schema) -> pa.RecordBatch:
    """The columns of the schema, in its order.

    Raises:
        MissingColumnError: one is not there.
        UnexpectedColumnError: there is another one.
        DtypeError: a column is of another kind.
    """
    if absent := [name for name in schema.names if name not in batch.schema.names]:
        raise MissingColumnError(f"the inputs have no column {absent[0]!r}, which the schema has")
    if other := [name for name in batch.schema.names if name not in schema.names]:
        message = f"the inputs have a column {other[0]!r}, which the schema does not have"
        raise UnexpectedColumnError(message, hint="Leave it out: name the others in `columns`.")
    ordered = batch.select(schema.names)
    for name, found, wanted in zip(
        schema.names, ordered.schema.types, schema.arrow.types, strict=True
    ):
        if pa.types.is_null(wanted) and not pa.types.is_null(found):
            message = f"column {name!r} has values, expected none, as the schema says"
            raise DtypeError(message)
    return ordered.cast(schema.arrow)
