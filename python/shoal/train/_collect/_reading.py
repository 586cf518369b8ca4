"""One input as micro-batches of stored columns, each with the place that it comes from.

- A column keeps one type for all records. Where a later value asks for a wider one, `Wider` says
  that the input is to be read again from its start: what was made of it so far is thrown away.
  Each time a column gets wider, so this ends.
- A column that mixes kinds is refused, and the first value that does not go with those before it
  is named. In CSV a column of which half or more are numbers is one of numbers: it is refused as
  well, unless its kind is stated, since one stray text would make a category of each number.
- The rows of a file, a query or a table are counted from 0; the header of a file is none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    MissingColumnError,
    SourceError,
)
from shoal.train._collect import _kinds
from shoal.train._collect._content import ContentDigest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence

    from shoal.source import Place, Placed
    from shoal.train._collect._inputs import Input
    from shoal.train._collect._kinds import Kind

# From this share of numbers on, texts among them are taken for a mistake.
MIXED_SHARE = 0.5
NUMBER = r"^\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*$"
SHOWN_CHARACTERS = 40


class Wider(Exception):  # noqa: N818 - not an error: a request to begin again
    """A column needs a wider type than the records before it had."""


class Reader(Protocol):
    """Where the records of an input come from."""

    label: str
    """What the input is called in messages."""

    is_text: bool
    """Whether kinds are guessed from text without types."""

    def batches(self) -> Iterator[Placed]:
        """All records from the first on, in micro-batches, as the source types them.

        Raises:
            Wider: the source's own types were too narrow; they are wider now.
        """

    def done_bytes(self) -> tuple[int, int] | None:
        """How many bytes are read, and how many there are, where the source can tell."""

    def lineage(self) -> dict[str, object]:
        """What the input is, without secrets."""


class Reading:
    """An input that is being read; it may be read several times."""

    def __init__(self, described: Input, reader: Reader, kinds: Mapping[str, Kind]) -> None:
        """Takes a description and who reads what it describes.

        Args:
            described: What the user says of the input.
            reader: Who reads it.
            kinds: The kinds of columns, by the name that they have there, as far as they are
                stated; of columns that there need not be, too.
        """
        self.label = described.name or reader.label
        self._kinds = kinds
        self._described = described
        self._reader = reader
        self._types: dict[str, pa.DataType] = {}
        self._digest: ContentDigest | None = None
        self.rows = 0

    @property
    def schema(self) -> pa.Schema:
        """The columns as they are stored, as far as they are known."""
        return pa.schema(list(self._types.items()))

    def batches(self) -> Generator[Placed, None, None]:
        """All records, in micro-batches; closed, it lets go of what it reads from.

        Raises:
            Wider: a column has become wider; begin again.
            DtypeError: a column mixes kinds, or a value does not fit its kind.
            SourceError: the records cannot be read, or there are none.
        """
        self.rows, self._digest = 0, None
        numbers = _Numbers(self.label, self._guessed())
        for place, batch in self._reader.batches():
            stored = self._stored(place, batch)
            numbers.look(place, stored)
            if self._digest is None:
                self._digest = ContentDigest(stored.schema)
            self._digest.update(stored)
            self.rows += stored.num_rows
            yield place, stored
        numbers.check()
        if not self.rows:
            raise SourceError(f"{self.label} holds no records, expected at least one")

    def done_bytes(self) -> tuple[int, int] | None:
        """How far the reader is."""
        return self._reader.done_bytes()

    def lineage(self) -> dict[str, object]:
        """What was read, without secrets; its digest is that of its stored records."""
        digest = "" if self._digest is None else self._digest.of_values()
        about = {"name": self.label, **self._reader.lineage()}
        return {**about, "rows": self.rows, "columns": self.schema.names, "digest": digest}

    def _stored(self, place: Place, batch: pa.RecordBatch) -> pa.RecordBatch:
        taken = _taken(batch, self._described.columns, self.label)
        _check_known(self._described.rename, taken.schema.names, self.label)
        _check_known(self._described.types, taken.schema.names, self.label)
        is_wider = False
        columns: dict[str, pa.Array] = {}
        for own_name, values in zip(taken.schema.names, taken.columns, strict=True):
            name = self._described.rename.get(own_name, own_name)
            if not name:
                message = f"{self.label} has a column without a name"
                raise InvalidRequestError(message, hint=_HINT_NAME)
            if name in columns:
                raise DuplicateColumnError(f"{self.label} has two columns {name!r}, expected one")
            column = _Column(self.label, own_name, place)
            present = _kinds.with_missing(values, self._described.missing)
            target = self._target(column, present)
            is_wider |= self._types.get(name, target) != target
            self._types[name] = target
            columns[name] = column.converted(present, target)
        if is_wider:
            raise Wider
        return pa.record_batch(list(columns.values()), self._ordered(columns))

    def _target(self, column: _Column, values: pa.Array) -> pa.DataType:
        """The type that the column has from here on."""
        kind = self._kinds.get(column.name)
        if kind is not None and kind != "empty":
            return _kinds.STORED[kind]
        found = _kinds.stored_type(values.type, column.name)
        if kind == "empty" and values.null_count == len(values):
            found = pa.null()  # text files give no value as a text that is missing
        known = self._types.get(self._described.rename.get(column.name, column.name), found)
        target = _kinds.wider(known, found)
        if target is None:
            raise column.mixed(known, found, values)
        return target

    def _ordered(self, columns: Mapping[str, pa.Array]) -> pa.Schema:
        """The schema of this batch: the same columns, in the same order, as in the first."""
        if list(columns) != list(self._types):
            raise DtypeError(
                f"{self.label} has the columns {', '.join(columns)}, "
                f"where the records before have {', '.join(self._types)}"
            )
        return self.schema

    def _guessed(self) -> _Guessed | None:
        if not self._reader.is_text:
            return None
        stated = {self._described.rename.get(each, each) for each in self._kinds}
        return _Guessed(stated)


class _Column(NamedTuple):
    """A column of a batch, for messages."""

    label: str
    name: str
    place: Place

    def converted(self, values: pa.Array, target: pa.DataType) -> pa.Array:
        """The values as stored.

        Raises:
            DtypeError: naming the first value that does not fit.
        """
        try:
            return _kinds.converted(values, target)
        except pa.ArrowException as error:
            row = _first_unfit(values, target)
            message = (
                f"{self._at(row)}: column {self.name!r} is {shown(values[row])}, "
                f"expected {_kinds.word(target)}"
            )
            raise DtypeError(message, hint=_HINT_MISSING) from error

    def mixed(self, known: pa.DataType, found: pa.DataType, values: pa.Array) -> DtypeError:
        """The error of a column that holds another kind than before."""
        row: int = pc.index(pc.is_valid(values), value=True).as_py()
        message = (
            f"{self._at(row)}: column {self.name!r} is {_kinds.word(found)} "
            f"({shown(values[row])}), where the records before have {_kinds.word(known)}"
        )
        return DtypeError(message, hint=_HINT_MIXED)

    def _at(self, row: int) -> str:
        return f"{self.place.file}, {self.place.of(row)}"


class _Guessed(NamedTuple):
    """That kinds are guessed, other than those that are stated."""

    stated: set[str]


class _Count:
    """What a column of text has held so far."""

    def __init__(self) -> None:
        self.values = 0
        self.numbers = 0
        self.first_other: str | None = None


class _Numbers:
    """Watches columns of text for numbers."""

    def __init__(self, label: str, guessed: _Guessed | None) -> None:
        self._label = label
        self._guessed = guessed
        self._counts: dict[str, _Count] = {}

    def look(self, place: Place, batch: pa.RecordBatch) -> None:
        """Counts the values and the numbers of each column of text."""
        if self._guessed is None:
            return
        for name, values in zip(batch.schema.names, batch.columns, strict=True):
            if pa.types.is_string(values.type) and name not in self._guessed.stated:
                self._count(place, name, values)

    def check(self) -> None:
        """Refuses a column of numbers with texts among them.

        Raises:
            DtypeError: naming the column and the first text.
        """
        for name, count in self._counts.items():
            if MIXED_SHARE * count.values <= count.numbers < count.values:
                message = (
                    f"{count.first_other}, while {count.numbers} of the {count.values} values "
                    f"of column {name!r} are numbers"
                )
                raise DtypeError(message, hint=_HINT_MIXED)

    def _count(self, place: Place, name: str, values: pa.Array) -> None:
        count = self._counts.setdefault(name, _Count())
        are_numbers = pc.match_substring_regex(values, NUMBER)
        count.values += len(values) - values.null_count
        count.numbers += pc.sum(are_numbers).as_py() or 0
        if count.first_other is None:
            row = pc.index(are_numbers, value=False).as_py()
            if row >= 0:
                at = f"{place.file}, {place.of(row)}"
                count.first_other = f"{at}: column {name!r} is {shown(values[row])}"


def shown(value: pa.Scalar) -> str:
    """A value as it stands in messages."""
    text = repr(value.as_py())
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}..."


def check_unique_names(names: Sequence[str], label: str) -> None:
    """Refuses a column that is named twice.

    Raises:
        DuplicateColumnError: naming it.
    """
    if twice := sorted({name for name in names if list(names).count(name) > 1}):
        raise DuplicateColumnError(f"{label} has two columns {twice[0]!r}, expected one")


def _taken(batch: pa.RecordBatch, columns: Sequence[str], label: str) -> pa.RecordBatch:
    if not columns:
        return batch
    _check_known(columns, batch.schema.names, label)
    check_unique_names(columns, f"what is taken of {label}")
    return batch.select(list(columns))


def _check_known(named: Sequence[str] | Mapping[str, str], names: list[str], label: str) -> None:
    if absent := [name for name in named if name not in names]:
        message = f"{label} has no column {absent[0]!r}; there are {', '.join(names)}"
        raise MissingColumnError(message)


def _first_unfit(values: pa.Array, target: pa.DataType) -> int:
    """The first row whose value does not fit, found by halving."""
    start, end = 0, len(values)
    while end - start > 1:
        middle = (start + end) // 2
        try:
            _kinds.converted(values.slice(start, middle - start), target)
            start = middle
        except pa.ArrowException:
            end = middle
    return start


_HINT_MIXED = (
    "State its kind, such as types={'column': 'text'}, and with it the texts that stand for a "
    "missing value: missing=['?']."
)
_HINT_NAME = "Leave it out by `columns`, or name it: rename={'': 'index'}."
_HINT_MISSING = "Which texts stand for a missing value says missing=['?']."
