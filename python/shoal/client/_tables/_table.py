"""Tables: columns of equally many records, made of whatever a caller has.

| given | |
|---|---|
| `Table` | itself |
| a dict of columns | numpy, pandas Series, Arrow, lists, `Column` |
| a list of dicts | one record each; a name that one lacks is missing there |
| `pandas.DataFrame` | its columns; the index is left out |
| `pyarrow.Table`, `RecordBatch` | its columns, without a copy where the type allows it |

Nothing is guessed: see `shoal.client._tables._from_python` for what lists become.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from shoal.client._tables._from_python import column_from, columns_of_records
from shoal.errors import DtypeError, DuplicateColumnError, ShapeError, UnexpectedColumnError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy.typing as npt

    from shoal.client._tables._column import Column

_HINT = "a table is a dict of columns, a list of dicts, a pandas.DataFrame or a pyarrow.Table"


class Table:
    """Columns that all have the same number of records; `table["name"]` is a column.

    Args:
        columns: In order; names are unique.
        rows: How many records there are; needed only where there are no columns.

    Raises:
        DuplicateColumnError: Two columns have one name.
        ShapeError: Columns have different numbers of records.
    """

    __slots__ = ("_columns", "rows")

    def __init__(self, columns: Iterable[Column] = (), *, rows: int | None = None) -> None:
        self._columns: dict[str, Column] = {}
        for column in columns:
            if rows is None:
                rows = column.rows
            if column.name in self._columns:
                raise _twice(column.name)
            if column.rows != rows:
                raise _ragged(column, rows)
            self._columns[column.name] = column
        self.rows = rows or 0

    @classmethod
    def of(cls, data: Any) -> Table:
        """Makes a table of anything that the module's page lists.

        Raises:
            DtypeError: Values have no dtype of the protocol, or no common one.
            ShapeError: Columns, or the records of one, have different lengths.
            ZoneError: A time has no zone.
            DuplicateColumnError: Two columns have one name.
        """
        if isinstance(data, Table):
            return data
        if isinstance(data, dict):
            return _of_mapping(data)
        if isinstance(data, list):
            return cls(columns_of_records(data), rows=len(data))
        return _of_library(data)

    @property
    def columns(self) -> list[Column]:
        """The columns, in order."""
        return list(self._columns.values())

    @property
    def size(self) -> int:
        """How many values all columns have together."""
        size = 0
        for column in self._columns.values():
            size += math.prod(column.shape)
        return size * self.rows

    @property
    def names(self) -> list[str]:
        """The names of the columns, in order."""
        return list(self._columns)

    def to_dict(self) -> dict[str, list[Any]]:
        """Gives each column as a list of Python values, see `Column.to_list`."""
        return {name: column.to_list() for name, column in self._columns.items()}

    def to_records(self) -> list[dict[str, Any]]:
        """Gives one dict for each record."""
        values = [column.to_list() for column in self._columns.values()]
        if not values:
            return [{} for _ in range(self.rows)]
        names = list(self._columns)
        return [dict(zip(names, record, strict=True)) for record in zip(*values, strict=True)]

    def to_numpy(self) -> dict[str, npt.NDArray[Any]]:
        """Gives each column as numpy, see `Column.to_numpy`."""
        return {name: column.to_numpy() for name, column in self._columns.items()}

    def to_arrow(self) -> Any:
        """Gives a `pyarrow.Table`."""
        import pyarrow as pa

        return pa.table({name: column.to_arrow() for name, column in self._columns.items()})

    def to_pandas(self) -> Any:
        """Gives a `pandas.DataFrame`; integers and booleans with missing records keep their type.

        Raises:
            RequirementError: pandas is not installed.
        """
        from shoal.client._tables._pandas import to_frame

        return to_frame(self)

    def __getitem__(self, name: str) -> Column:
        try:
            return self._columns[name]
        except KeyError:
            raise UnexpectedColumnError(
                f"there is no column {name!r}", hint=f"the columns are: {', '.join(self._columns)}"
            ) from None

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return self.rows

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Table):
            return NotImplemented
        return self.rows == other.rows and self.columns == other.columns

    def __hash__(self) -> int:
        return hash((self.rows, *self._columns))

    def __repr__(self) -> str:
        shown = ", ".join(f"{each.name!r} {each.dtype}" for each in self._columns.values())
        return f"<Table of {self.rows} rows: {shown}>"


TableLike = Any
"""What `Table.of` takes."""


def _of_library(data: Any) -> Table:
    """Reads a frame or a table of a library, told by where its type comes from."""
    library = type(data).__module__.partition(".")[0]
    if library == "pandas" and hasattr(data, "columns"):
        from shoal.client._tables._pandas import columns_of_frame

        return Table(columns_of_frame(data), rows=len(data))
    if library == "pyarrow" and hasattr(data, "schema"):
        from shoal.client._tables._from_arrow import columns_of_table

        return Table(columns_of_table(data), rows=data.num_rows)
    if hasattr(data, "items") and hasattr(data, "keys"):
        return _of_mapping(data)
    raise DtypeError(f"{type(data).__name__} is no table", hint=_HINT)


def _of_mapping(data: Mapping[str, Any]) -> Table:
    return Table(column_from(name, values) for name, values in data.items())


def _twice(name: str) -> DuplicateColumnError:
    return DuplicateColumnError(f"column {name!r} is there twice, expected unique names")


def _ragged(column: Column, rows: int) -> ShapeError:
    return ShapeError(
        f"column {column.name!r} has {column.rows} records, expected {rows} like the columns "
        "before it"
    )
