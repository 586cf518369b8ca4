"""Other inputs joined to the first: each record of it finds at most one of theirs, by its key.

- The others are stored first, out of sight beside the dataset: their records in one file that is
  mapped, not read, and their keys in a table of SQLite with a bounded cache. So their size is
  bounded by the disk, not by memory, and a full disk is a named error.
- A key is one or several columns that all inputs have, of one kind: integers, booleans, text, dates
  or datetimes. Numbers with fractions are refused: they are rarely equal.
- A key comes once in each of the others; the second one is refused by its value. A record whose key
  is missing finds none, as in SQL.
"""

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import apsw
import numpy as np
import pyarrow as pa

from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InputError,
    InvalidRequestError,
    MissingColumnError,
)
from shoal.train._collect import _kinds
from shoal.train._collect._reading import Wider, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from shoal.source import Place
    from shoal.train._collect._reading import Reading

# One process uses the keys, once: they are neither shared nor kept.
SETTINGS = (
    "locking_mode = exclusive",
    "journal_mode = off",
    "synchronous = off",
    f"cache_size = -{32 << 10}",
)
HOWS = ("left", "inner")
RECORDS = "records"
_KEYS = (pa.int64(), pa.bool_(), pa.string(), pa.date32(), _kinds.DATETIME)

Key = tuple[Any, ...]


class Join(NamedTuple):
    """How inputs are joined.

    Attributes:
        on: The column, or columns, that tell which records belong together.
        how: `left`: a record of the first input stays where another input has none for it, with
            missing values; `inner`: it is left out.
    """

    on: str | Sequence[str]
    how: str = "left"

    @property
    def keys(self) -> list[str]:
        """The columns of the key.

        Raises:
            InvalidRequestError: there is none, one comes twice, or `how` is no way to join.
        """
        keys = [self.on] if isinstance(self.on, str) else list(self.on)
        if not keys or len(set(keys)) < len(keys):
            raise InvalidRequestError(f"inputs are joined on {keys}, expected each column once")
        if self.how not in HOWS:
            raise InvalidRequestError(f"how is {self.how!r}, expected one of {', '.join(HOWS)}")
        return keys


class Side:
    """An input that is joined to the first one."""

    def __init__(self, reading: Reading, keys: list[str], directory: Path) -> None:
        """Takes an input, and where its records are stored meanwhile."""
        self.label = reading.label
        self.matched = 0
        self._reading = reading
        self._keys = keys
        self._directory = directory
        self._starts: NDArray[np.int64] = np.zeros(1, np.int64)
        self._file: Any = None
        self._index: apsw.Connection | None = None
        marks = " and ".join(f"k{number} = ?" for number in range(len(keys)))
        self._find = f"select row from keys where {marks}"  # noqa: S608 - numbers alone

    def store(self) -> None:
        """Reads the input and stores it.

        Raises:
            MissingColumnError: it lacks a key.
            InputError: a key comes twice.
            OSError: the disk is full.
        """
        self._directory.mkdir(parents=True)
        while True:
            try:
                self._store()
                break
            except Wider:
                self.close()
        self._file = pa.ipc.open_file(pa.memory_map(str(self._directory / RECORDS)))

    @property
    def schema(self) -> pa.Schema:
        """The columns that it adds."""
        return pa.schema([field for field in self._reading.schema if field.name not in self._keys])

    def check(self, columns: pa.Schema, label: str) -> None:
        """Compares its keys and its columns with those of what it is joined to.

        Raises:
            MissingColumnError: a key is not there.
            DtypeError: a key is of another kind.
            DuplicateColumnError: both have a column of one name.
        """
        for key in self._keys:
            _check_key(key, columns, label)
            mine, other = self._reading.schema.field(key).type, columns.field(key).type
            if mine != other:
                message = (
                    f"key {key!r} is {_kinds.word(other)} in {label} and {_kinds.word(mine)} in "
                    f"{self.label}, expected one kind"
                )
                raise DtypeError(message, hint="State it for both: types={'key': 'text'}.")
        if twice := sorted(set(self.schema.names) & set(columns.names)):
            message = f"{label} and {self.label} both have a column {twice[0]!r}"
            raise DuplicateColumnError(message, hint="Rename one, or leave it out by `columns`.")

    def found(self, batch: pa.RecordBatch) -> NDArray[np.int64]:
        """The number of the record that belongs to each one of a batch; -1 where there is none."""
        known: dict[Key, int] = {}
        rows = np.empty(batch.num_rows, np.int64)
        for number, key in enumerate(_keys(batch, self._keys)):
            if key not in known:
                known[key] = self._row_of(key)
            rows[number] = known[key]
        self.matched += int((rows >= 0).sum())
        return rows

    def take(self, rows: NDArray[np.int64]) -> list[pa.Array]:
        """The columns it adds, for records by their number; missing values for -1.

        The file is entered in order, and only where a record is: it may be larger than memory.
        """
        are_found = rows >= 0
        wanted, places = np.unique(rows[are_found], return_inverse=True)
        pieces = list(self._pieces(wanted))
        if not pieces:
            return [pa.nulls(len(rows), field.type) for field in self.schema]
        indices = np.zeros(len(rows), np.int64)
        indices[are_found] = places
        columns: list[pa.Array] = (
            pa.concat_batches(pieces).take(pa.array(indices, mask=~are_found)).columns
        )
        return columns

    def lineage(self) -> dict[str, object]:
        """What was read, and how many records of the first input found one."""
        return {**self._reading.lineage(), "matched": self.matched}

    def close(self) -> None:
        """Lets go of the files and removes them."""
        if self._index is not None:
            self._index.close()
        self._index = self._file = None
        for path in self._directory.glob("*"):
            path.unlink()

    def _store(self) -> None:
        self._index = _index(self._directory / "keys", len(self._keys))
        starts = [0]
        writer: Any = None
        try:
            with closing(self._reading.batches()) as batches:
                for place, batch in batches:
                    if writer is None:
                        for key in self._keys:
                            _check_key(key, batch.schema, self.label)
                        writer = pa.ipc.new_file(str(self._directory / RECORDS), self.schema)
                    self._add_keys(self._index, batch, starts[-1], place)
                    writer.write_batch(batch.select(self.schema.names))
                    starts.append(starts[-1] + batch.num_rows)
        finally:
            if writer is not None:
                writer.close()
        self._starts = np.array(starts, np.int64)

    def _add_keys(
        self, index: apsw.Connection, batch: pa.RecordBatch, first: int, place: Place
    ) -> None:
        """Remembers where each key is.

        Raises:
            InputError: one is there already.
        """
        key: Key = ()
        row = 0

        def rows() -> Iterator[Key]:
            nonlocal key, row
            for row, key in enumerate(_keys(batch, self._keys)):
                if None not in key:
                    yield (*key, first + row)

        marks = ", ".join("?" * (len(self._keys) + 1))
        try:
            with _refused(), index:
                index.executemany(f"insert into keys values ({marks})", rows())  # noqa: S608 - marks
        except apsw.ConstraintError:
            said = ", ".join(f"{name} = {shown(batch.column(name)[row])}" for name in self._keys)
            message = (
                f"{place.file}, {place.of(row)}: key {said} comes a second time in {self.label}, "
                "expected once"
            )
            hint = "Put the records of a key together first, such as by `group by`."
            raise InputError(message, hint=hint) from None

    def _row_of(self, key: Key) -> int:
        if self._index is None or None in key:
            return -1
        for (row,) in self._index.execute(self._find, key):
            return int(row)
        return -1

    def _pieces(self, wanted: NDArray[np.int64]) -> Iterator[pa.RecordBatch]:
        """The wanted records, in order, batch by batch of the file."""
        batches = np.searchsorted(self._starts, wanted, side="right") - 1
        numbers, firsts = np.unique(batches, return_index=True)
        # Of no record there is one part, which is empty, and no batch.
        for number, rows in zip(numbers, np.split(wanted, firsts[1:]), strict=False):
            taken = pa.array(rows - self._starts[number])
            yield self._file.get_batch(int(number)).take(taken)


def _index(path: Path, count: int) -> apsw.Connection:
    """An empty table of keys; it need not survive anything."""
    columns = ", ".join(f"k{number}" for number in range(count))
    with _refused():
        index = apsw.Connection(str(path))
        for setting in SETTINGS:
            index.execute(f"pragma {setting}")
        index.execute(f"create table keys ({columns}, row, primary key ({columns})) without rowid")
    return index


@contextmanager
def _refused() -> Iterator[None]:
    """What SQLite cannot write becomes the error of a disk; a key that is there already does not.

    Raises:
        OSError: it cannot be written.
    """
    try:
        yield
    except apsw.ConstraintError:
        raise
    except apsw.Error as error:
        raise OSError(f"the keys of a joined input cannot be stored: {error}") from error


def _keys(batch: pa.RecordBatch, names: list[str]) -> Iterator[Key]:
    """The keys of records, as SQLite holds them."""
    columns = []
    for name in names:
        values = batch.column(name)
        if pa.types.is_date32(values.type):
            values = values.cast(pa.int32())
        elif pa.types.is_timestamp(values.type):
            values = values.cast(pa.int64())
        columns.append(values.to_pylist())
    return zip(*columns, strict=True)


def _check_key(key: str, columns: pa.Schema, label: str) -> None:
    if key not in columns.names:
        message = f"{label} has no column {key!r} to be joined on"
        raise MissingColumnError(
            f"{message}; there are {', '.join(columns.names)}",
            hint="Rename the column that is the key: rename={'id': 'customer'}.",
        )
    kind = columns.field(key).type
    if kind not in _KEYS:
        message = f"key {key!r} of {label} is {_kinds.word(kind)}"
        hint = "A key is integer, text, boolean, date or datetime; state it by `types`."
        raise DtypeError(message, hint=hint)
