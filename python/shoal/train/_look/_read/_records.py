"""Whatever was given, as micro-batches of stored columns that can be read again and again.

- A dataset, a table, a path, or several of these by name: sources whose records follow each other.
- Columns have one stored type in all sources, as in a dataset (`_collect/_kinds.py`): a number that
  is NaN is missing. A column of a type that nothing is done with (lists, structs) is one of present
  and missing values: its kind is `other`.
- Text is categorical if few values repeat, as in a dataset.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError, InvalidRequestError, MissingColumnError
from shoal.train._collect import _kinds
from shoal.train._collect._dataset import Dataset
from shoal.train._collect._inputs import without_secrets
from shoal.train._collect._reading import check_unique_names
from shoal.train._collect._survey import Survey

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from shoal.train._look._facts import LookKind

ROWS: Final = 1 << 14
PRESENCE: Final = pa.bool_()
NAME: Final = "the records"


@dataclass(frozen=True)
class Source:
    """Records of one source.

    Attributes:
        name: What it is called.
        rows: How many there are.
        schema: Its columns, in types of its own.
        read: Reads them from the first on, in micro-batches.
    """

    name: str
    rows: int
    schema: pa.Schema
    read: Callable[[], Iterator[pa.RecordBatch]]


@dataclass(frozen=True)
class Records:
    """Records of one or several sources.

    Attributes:
        name: What they are called.
        sources: Where they come from, in order.
        schema: The columns as they are stored.
        kinds: What each column is.
    """

    name: str
    sources: tuple[Source, ...]
    schema: pa.Schema
    kinds: dict[str, LookKind]

    @property
    def rows(self) -> int:
        """How many records there are."""
        return sum(source.rows for source in self.sources)

    def batches(self) -> Iterator[pa.RecordBatch]:
        """All records in order, as they are stored.

        Raises:
            DtypeError: a value cannot be stored so.
            CorruptPackageError: a dataset cannot be read.
        """
        for source in self.sources:
            for batch in source.read():
                yield _stored(batch, self.schema, source.name)


@contextmanager
def records_of(data: Any) -> Iterator[Records]:
    """Opens what was given; files that had to be collected first are gone afterwards.

    Raises:
        InputError: it is nothing that records are read from, or sources do not go together.
        SourceError: files cannot be read, or hold no records.
    """
    if not isinstance(data, Mapping):
        with _source(data, _name_of(data)) as source:
            yield _records(source.name, [source], data)
        return
    if not data:
        raise InvalidRequestError("no source was given, expected at least one")
    with ExitStack() as opened:
        sources = [
            opened.enter_context(_source(each, without_secrets(str(name))))
            for name, each in data.items()
        ]
        yield _records(", ".join(source.name for source in sources), sources, None)


@contextmanager
def _source(data: Any, name: str) -> Iterator[Source]:
    if isinstance(data, str | os.PathLike):
        from shoal.train._look._read._files import read

        with read(data) as dataset:
            yield _of_dataset(dataset, name)
    elif isinstance(data, Dataset):
        yield _of_dataset(data, name)
    elif isinstance(data, pa.Table | pa.RecordBatch):
        check_unique_names(data.schema.names, name)
        table = pa.Table.from_batches([data]) if isinstance(data, pa.RecordBatch) else data
        yield Source(name, table.num_rows, table.schema, lambda: iter(table.to_batches(ROWS)))
    else:
        message = f"the data is of type {type(data).__qualname__}"
        raise InvalidRequestError(message, hint=_HINT)


def _of_dataset(dataset: Dataset, name: str) -> Source:
    return Source(name, dataset.rows, dataset.schema.arrow, dataset.batches)


def _records(name: str, sources: Sequence[Source], data: Any) -> Records:
    if not sources[0].schema.names:
        raise InvalidRequestError(f"{sources[0].name} has no column, expected at least one")
    if not sum(source.rows for source in sources):
        raise InvalidRequestError(f"{name} has no record, expected at least one")
    schema = _shared_schema(sources)
    found = Records(name, tuple(sources), schema, {})
    stated = data.schema.columns if isinstance(data, Dataset) else ()
    kinds: dict[str, LookKind] = {column.name: column.kind for column in stated}
    kinds = kinds or _kinds_of(found)
    others = {field.name for source in sources for field in source.schema if _is_other(field)}
    told = {each: "other" if each in others else kinds[each] for each in schema.names}
    return Records(name, tuple(sources), schema, told)


def _shared_schema(sources: Sequence[Source]) -> pa.Schema:
    """The columns of the first source, in types that hold those of all.

    Raises:
        MissingColumnError: a source lacks a column that another one has.
        DtypeError: two sources have a column in types that do not go together.
    """
    first = sources[0]
    types = {field.name: _type_of(field) for field in first.schema}
    for source in sources[1:]:
        for having, lacking in ((first, source), (source, first)):
            if absent := [n for n in having.schema.names if n not in lacking.schema.names]:
                message = f"{lacking.name} has no column {absent[0]!r}, which {having.name} has"
                raise MissingColumnError(message)
        for name, known in types.items():
            other = _type_of(source.schema.field(name))
            held = _kinds.wider(known, other)
            if held is None:
                message = (
                    f"column {name!r} is {_kinds.word(other)} in {source.name}, "
                    f"{_kinds.word(known)} in {first.name}"
                )
                raise DtypeError(message, hint="Convert one of them, or look at each alone.")
            types[name] = held
    return pa.schema(list(types.items()))


def _type_of(field: pa.Field) -> pa.DataType:
    return PRESENCE if _is_other(field) else _kinds.stored_type(field.type, field.name)


def _is_other(field: pa.Field) -> bool:
    """Whether nothing is done with values of this type but to count them."""
    try:
        _kinds.stored_type(field.type, field.name)
    except DtypeError:
        return True
    return False


def _kinds_of(records: Records) -> dict[str, LookKind]:
    """What columns are, by their types; of text, by its values."""
    texts = [field.name for field in records.schema if pa.types.is_string(field.type)]
    others = [field for field in records.schema if field.name not in texts]
    found: dict[str, LookKind] = {field.name: _KINDS.get(field.type, "float") for field in others}
    if texts:
        # By their places: a table in memory may have a column without a name.
        places = [(str(place), pa.string()) for place in range(len(texts))]
        survey = Survey(pa.schema(places), {})
        for batch in records.batches():
            survey.look(batch.select(texts))
        surveyed = survey.schema().columns
        found |= {name: column.kind for name, column in zip(texts, surveyed, strict=True)}
    return found


def _stored(batch: pa.RecordBatch, schema: pa.Schema, source: str) -> pa.RecordBatch:
    columns = []
    for field in schema:
        values = batch.column(field.name)
        if field.type == PRESENCE and not pa.types.is_boolean(values.type):
            values = pc.if_else(
                pc.is_valid(values), pa.scalar(value=True), pa.scalar(None, PRESENCE)
            )
        try:
            columns.append(_kinds.converted(values, field.type))
        except pa.ArrowException as error:
            message = f"column {field.name!r} of {source} cannot be read: {error}"
            raise DtypeError(message, hint="Convert it, or leave it out.") from error
    return pa.record_batch(columns, schema)


def _name_of(data: Any) -> str:
    if isinstance(data, Dataset):
        return data.path.name
    if isinstance(data, str | os.PathLike):
        return PurePath(without_secrets(os.fspath(data))).name or NAME
    return NAME


_KINDS: dict[pa.DataType, LookKind] = {
    pa.int64(): "integer",
    pa.bool_(): "boolean",
    pa.date32(): "date",
    _kinds.DATETIME: "datetime",
    pa.null(): "empty",
}
_HINT = (
    "Give a dataset, a pyarrow Table, the path of a dataset or of files, or several of these by "
    "name."
)
