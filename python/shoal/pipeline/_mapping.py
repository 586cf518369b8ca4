"""Which columns of a source a model takes, and which go along: settled before the first record.

- An input takes the column of its own name; or, where the package names the features that it packs,
  the columns of those names; or those that the caller says.
- Several columns for one input are packed, in the order given, never by their place in the source.
- The other columns go along, unless the caller says which: an answer stands beside its record.
- Types are compared at once, so that a run does not fail after an hour.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import msgspec
import pyarrow as pa

from shoal import runtime
from shoal.errors import DuplicateColumnError, InvalidRequestError, MissingColumnError
from shoal.values import Column, Dtype, schema_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoal.package import Package

_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")
MAX_EXPANDED = 100_000


def read_columns(words: Sequence[str]) -> dict[str, tuple[str, ...]]:
    """What `INPUT=COLUMN[,COLUMN...]` says, once for each input; `p{0..63}` stands for 64 names.

    Raises:
        InvalidRequestError: a word is none of that form, or an input comes twice.
    """
    found: dict[str, tuple[str, ...]] = {}
    for word in words:
        name, equals, columns = word.partition("=")
        if not equals or not name or not columns:
            message = f"{word!r} does not say which columns an input takes"
            raise InvalidRequestError(message, hint="Write INPUT=COLUMN or INPUT=a,b,c.")
        if name in found:
            raise InvalidRequestError(f"the input {name!r} is given columns twice")
        found[name] = tuple(each for part in columns.split(",") for each in _expanded(part))
    return found


def _expanded(part: str) -> list[str]:
    found = _RANGE.search(part)
    if found is None:
        return [part]
    first, last = int(found[1]), int(found[2])
    if last < first or last - first >= MAX_EXPANDED:
        raise InvalidRequestError(f"{found[0]} in {part!r} is no range of numbers that goes up")
    return [part[: found.start()] + str(n) + part[found.end() :] for n in range(first, last + 1)]


class Plan:
    """What a model takes of each record, and what goes along."""

    def __init__(
        self,
        package: Package,
        said: Mapping[str, Sequence[str]],
        keep: Sequence[str] | None,
    ) -> None:
        """Takes what the caller says; nothing is compared before `fit`.

        Raises:
            InvalidRequestError: the package has no input of a name that is given columns.
        """
        self._description = package.description
        self._said = said
        self._keep = keep
        names = [column.name for column in package.signature.inputs]
        if unknown := [name for name in said if name not in names]:
            message = f"the model has no input {unknown[0]!r}, it has {', '.join(names)}"
            raise InvalidRequestError(message)
        self._taken: dict[str, tuple[str, ...]] = {}
        self._kept: tuple[str, ...] = ()
        self._packed = self._description
        self._schema = pa.schema({})

    def types(self) -> dict[str, pa.DataType]:
        """The types that text is read as, by every name that an input other than a moment takes."""
        found: dict[str, pa.DataType] = {}
        for column in self._description.signature.inputs:
            if column.moment:
                continue
            several = self._said.get(column.name) or self._features(column.name)
            one = _text_type(column.dtype, column.shape)
            if column.name not in self._said or len(several) == 1:
                found[several[0] if column.name in self._said else column.name] = one
            found |= {name: _text_type(column.dtype, ()) for name in several if len(several) > 1}
        return found

    def moments(self) -> list[str]:
        """The columns that hold moments, which text files write in more than one way."""
        return [
            name
            for column in self._description.signature.inputs
            if column.moment
            for name in self._said.get(column.name, (column.name,))
        ]

    def fit(self, source: pa.Schema) -> list[str]:
        """Settles the columns; gives those that are to be read, in order.

        Raises:
            MissingColumnError: an input, or a column that the caller names, is not there.
            DuplicateColumnError: a column that goes along has the name of an answer.
        """
        for column in self._description.signature.inputs:
            self._taken[column.name] = self._columns_of(column, source)
        taken = {name for names in self._taken.values() for name in names}
        if self._keep is None:
            self._kept = tuple(name for name in source.names if name not in taken)
        else:
            self._kept = tuple(dict.fromkeys(self._keep))
        if absent := [name for name in self._kept if name not in source.names]:
            raise MissingColumnError(f"there is no column {absent[0]!r} to keep; {_there(source)}")
        answers = {column.name for column in self._description.signature.outputs}
        if both := [name for name in self._kept if name in answers]:
            message = f"the column {both[0]!r} would stand beside an answer of the same name"
            raise DuplicateColumnError(message, hint="Say which columns to keep.")
        self._packed = self._packing()
        needed = taken | set(self._kept)
        return [name for name in source.names if name in needed]

    def schema(self, source: pa.Schema) -> pa.Schema:
        """The columns of what comes out: those that go along, then the answers."""
        kept = [source.field(name).remove_metadata() for name in self._kept]
        self._schema = pa.schema([*kept, *schema_of(self._description.signature.outputs)])
        return self._schema

    def asked(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """What the model takes of a batch.

        Raises:
            InputError: a value does not fit.
        """
        arrays, names = [], []
        for name, columns in self._taken.items():
            if len(columns) == 1:
                arrays.append(batch.column(columns[0]))
                names.append(name)
            else:
                arrays += [batch.column(column) for column in columns]
                names += columns
        return runtime.packed(pa.RecordBatch.from_arrays(arrays, names=names), self._packed)

    def beside(self, batch: pa.RecordBatch, answers: pa.RecordBatch) -> pa.RecordBatch:
        """The answers beside what goes along."""
        kept = [batch.column(name) for name in self._kept]
        return pa.RecordBatch.from_arrays([*kept, *answers.columns], schema=self._schema)

    def _packing(self) -> runtime.Description:
        """The package's description, where an input packs what it takes here."""
        known = {each.column: each for each in self._description.binding.inputs}
        inputs = tuple(
            runtime.InputBinding(
                name, name, 2, known[name].missing if name in known else None, columns
            )
            for name, columns in self._taken.items()
            if len(columns) > 1
        )
        binding = msgspec.structs.replace(self._description.binding, inputs=inputs)
        return msgspec.structs.replace(self._description, binding=binding)

    def _columns_of(self, column: Column, source: pa.Schema) -> tuple[str, ...]:
        said = tuple(self._said.get(column.name, ()))
        features = self._features(column.name)
        wanted = said or ((column.name,) if column.name in source.names else features)
        if not wanted:
            message = f"there is no column {column.name!r} for the model's input; {_there(source)}"
            hint = f"Say which columns it takes: {column.name}=COLUMN, or {column.name}=a,b,c."
            raise MissingColumnError(message, hint=hint)
        if absent := [name for name in wanted if name not in source.names]:
            message = f"there is no column {absent[0]!r}, which the input {column.name!r} takes"
            raise MissingColumnError(f"{message}; {_there(source)}")
        return wanted

    def _features(self, name: str) -> tuple[str, ...]:
        for binding in self._description.binding.inputs:
            if binding.column == name:
                return tuple(binding.features or ())
        return ()


def _there(source: pa.Schema, shown: int = 12) -> str:
    names = ", ".join(source.names[:shown])
    return f"there are {names}{' ...' if len(source.names) > shown else ''}"


def _text_type(dtype: Dtype, shape: Sequence[int]) -> pa.DataType:
    """What text is read as: numbers of the widest kind, which are then narrowed with care."""
    kind = {Dtype.BOOL: pa.bool_(), Dtype.BYTES: pa.string(), Dtype.UINT64: pa.uint64()}.get(dtype)
    if kind is None:
        kind = pa.float64() if dtype.startswith("FP") else pa.int64()
    for _ in shape:
        kind = pa.list_(kind)
    return kind
