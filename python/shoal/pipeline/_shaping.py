"""Steps that change which columns there are, or make records of lists; no function is called."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from shoal.errors import DtypeError, DuplicateColumnError, MissingColumnError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass
class Select:
    """Records keep some columns, by old or new names."""

    columns: Mapping[str, str]
    """The name of each column that there is afterwards, and that which it has before."""

    def bind(self, schema: pa.Schema, workers: int) -> pa.Schema:
        """Looks whether the columns are there.

        Raises:
            MissingColumnError: one is not.
        """
        del workers
        for name in self.columns.values():
            check_there(name, schema)
        return pa.schema([schema.field(old).with_name(new) for new, old in self.columns.items()])

    def __call__(self, records: pa.RecordBatch) -> pa.RecordBatch:
        """The records with these columns alone."""
        arrays = [records.column(name) for name in self.columns.values()]
        return pa.RecordBatch.from_arrays(arrays, names=list(self.columns))

    def describe(self) -> object:
        """The columns."""
        return {"select": dict(self.columns)}

    def check_durable(self) -> None:
        """Names stand for themselves."""


@dataclass
class Explode:
    """A record becomes as many as the list in a column has elements."""

    column: str

    def bind(self, schema: pa.Schema, workers: int) -> pa.Schema:
        """Looks what the elements are.

        Raises:
            DtypeError: the column holds no lists.
            DuplicateColumnError: a field of the elements has the name of another column.
        """
        del workers
        check_there(self.column, schema)
        kind = schema.field(self.column).type
        if not _is_list(kind):
            raise DtypeError(f"column {self.column!r} is {kind}, expected lists")
        others = [field for field in schema if field.name != self.column]
        names = {field.name for field in others}
        elements = self._fields(kind.value_type)
        if both := [field.name for field in elements if field.name in names]:
            raise DuplicateColumnError(f"there would be two columns {both[0]!r}")
        return pa.schema([*others, *elements])

    def __call__(self, records: pa.RecordBatch) -> pa.RecordBatch:
        """A record for each element, beside the other columns; none for an empty list or a null."""
        lists = records.column(self.column)
        rows = pc.list_parent_indices(lists)
        elements = lists.flatten()
        columns = {
            name: records.column(name).take(rows)
            for name in records.schema.names
            if name != self.column
        }
        fields = self._fields(lists.type.value_type)
        parts = elements.flatten() if pa.types.is_struct(elements.type) else [elements]
        columns |= {field.name: part for field, part in zip(fields, parts, strict=True)}
        return pa.RecordBatch.from_pydict(columns)

    def describe(self) -> object:
        """The column."""
        return {"explode": self.column}

    def check_durable(self) -> None:
        """A name stands for itself."""

    def _fields(self, kind: pa.DataType) -> list[pa.Field]:
        """What stands in place of the list: the fields of a struct, or the element itself."""
        if pa.types.is_struct(kind):
            return [kind.field(number) for number in range(kind.num_fields)]
        return [pa.field(self.column, kind)]


def check_there(name: str, schema: pa.Schema) -> None:
    """Whether there is a column of a name.

    Raises:
        MissingColumnError: there is none.
    """
    if name not in schema.names:
        raise MissingColumnError(f"there is no column {name!r}, only {', '.join(schema.names)}")


def _is_list(kind: pa.DataType) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )
