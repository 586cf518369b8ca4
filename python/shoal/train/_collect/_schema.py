"""What is known of the columns of a dataset, and what every record of it keeps to.

- A schema is inferred while records are read, and holds for all of them: kinds, whether a value may
  be missing, the least and the greatest value, categories, whether numbers may be infinite.
- Its JSON is meant to be edited: wider or narrower bounds, fewer or more categories. Given back to
  `collect`, it is checked. Dates stand in it as ISO 8601 text.
- A package of a model that was trained on such records takes: FP32 for numbers and booleans, BYTES
  for categories and texts, INT64 for dates and datetimes: seconds since 1970-01-01 UTC.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import msgspec
import pyarrow as pa

from shoal.errors import DtypeError, InvalidRequestError, MalformedJsonError, PathError
from shoal.train._collect._kinds import STORED, Kind
from shoal.values import Column, Dtype, Signature

if TYPE_CHECKING:
    import os
    from collections.abc import Collection, Sequence

FORMAT = 1
LIMIT_BYTES = 64 << 20

Bound: TypeAlias = int | float | str
Moment: TypeAlias = int | float | datetime.date | datetime.datetime

_DTYPES = {
    "integer": Dtype.FP32,
    "float": Dtype.FP32,
    "boolean": Dtype.FP32,
    "categorical": Dtype.BYTES,
    "text": Dtype.BYTES,
    "date": Dtype.INT64,
    "datetime": Dtype.INT64,
}
_BOUNDED = ("integer", "float", "date", "datetime")


class ColumnSchema(
    msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True, kw_only=True
):
    """One column of a dataset.

    Attributes:
        name: What it is called.
        kind: What its values are.
        nullable: Whether a value may be missing.
        minimum: The least value; an infinite one does not count.
        maximum: The greatest value; an infinite one does not count.
        infinite: Whether numbers may be infinite.
        categories: The values that there may be, sorted.
        bits: Of a float: 64, or 32 where all sources have it so.

    Raises:
        InvalidRequestError: an attribute does not go with the kind.
    """

    name: str
    kind: Kind
    nullable: bool = False
    minimum: Bound | None = None
    maximum: Bound | None = None
    infinite: bool = False
    categories: tuple[str, ...] | None = None
    bits: int = 64

    def __post_init__(self) -> None:
        bounds = [each for each in (self.minimum, self.maximum) if each is not None]
        if bounds and self.kind not in _BOUNDED:
            self._refuse("has bounds")
        if self.infinite and self.kind != "float":
            self._refuse("may be infinite")
        if self.categories is not None and self.kind != "categorical":
            self._refuse("has categories")
        if self.bits not in {32, 64} or (self.bits == 32 and self.kind != "float"):  # noqa: PLR2004
            self._refuse(f"has {self.bits} bits")
        for bound in bounds:
            bound_of(self, bound)

    @property
    def arrow_type(self) -> pa.DataType:
        """How its values are stored."""
        return pa.float32() if self.bits == 32 else STORED[self.kind]  # noqa: PLR2004

    def _refuse(self, what: str) -> None:
        message = f"column {self.name!r} of kind {self.kind} {what}, which does not go together"
        raise InvalidRequestError(message)


class Schema(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The columns of a dataset, in order.

    Attributes:
        columns: At least one; names are unique.
        format: The version of this form.

    Raises:
        InvalidRequestError: there is no column, two have one name, or the format is a newer one.
    """

    columns: tuple[ColumnSchema, ...]
    format: int = FORMAT

    def __post_init__(self) -> None:
        if self.format != FORMAT:
            raise InvalidRequestError(f"the schema has format {self.format}, expected {FORMAT}")
        names = [column.name for column in self.columns]
        if not names or "" in names or len(set(names)) < len(names):
            message = "the schema needs columns, each with a name of its own"
            raise InvalidRequestError(f"{message}; it has {', '.join(map(repr, names)) or 'none'}")

    @property
    def names(self) -> list[str]:
        """The names of the columns."""
        return [column.name for column in self.columns]

    @property
    def arrow(self) -> pa.Schema:
        """The columns as they are stored."""
        return pa.schema([(column.name, column.arrow_type) for column in self.columns])

    def column(self, name: str) -> ColumnSchema:
        """One column.

        Raises:
            InvalidRequestError: there is none of this name.
        """
        for column in self.columns:
            if column.name == name:
                return column
        raise InvalidRequestError(f"there is no column {name!r}; there are {', '.join(self.names)}")

    def inputs(self, *, without: Collection[str] = ()) -> tuple[Column, ...]:
        """The columns that a package takes.

        Args:
            without: Columns that it does not take, such as the target.

        Raises:
            InvalidRequestError: `without` names what is no column, or all of them.
            DtypeError: a column has no value in any record.
        """
        for name in without:
            self.column(name)
        taken = [column for column in self.columns if column.name not in without]
        if not taken:
            raise InvalidRequestError("no column is left for a package to take")
        return tuple(map(_column, taken))

    def signature(self, outputs: Sequence[Column], *, without: Collection[str] = ()) -> Signature:
        """The signature of a package that takes these columns.

        Args:
            outputs: What the package gives.
            without: Columns that it does not take, such as the target.

        Raises:
            InputError: see `inputs` and `Signature`.
        """
        return Signature(self.inputs(without=without), tuple(outputs))

    def to_json(self) -> str:
        """The text of the schema, one line for each attribute."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2).decode() + "\n"

    @classmethod
    def from_json(cls, text: str | bytes) -> Schema:
        """Reads the text of a schema.

        Raises:
            MalformedJsonError: it is not JSON.
            InvalidRequestError: it is no schema.
        """
        try:
            return msgspec.json.decode(text, type=cls)
        except msgspec.ValidationError as error:
            raise InvalidRequestError(f"the schema is not as expected: {error}") from None
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise MalformedJsonError(f"the schema is not JSON: {error}") from None

    @classmethod
    def read(cls, path: str | os.PathLike[str]) -> Schema:
        """Reads a file that `write` has written, and somebody may have edited.

        Raises:
            PathError: it cannot be read.
            InputError: it is no schema.
        """
        try:
            if (size_bytes := Path(path).stat().st_size) > LIMIT_BYTES:
                raise InvalidRequestError(f"{path} has {size_bytes} bytes, expected a schema")
            return cls.from_json(Path(path).read_bytes())
        except OSError as error:
            raise PathError(f"{path} cannot be read: {error.strerror or error}") from error

    def write(self, path: str | os.PathLike[str]) -> None:
        """Writes the schema to a file, to be edited.

        Raises:
            PathError: it cannot be written.
        """
        try:
            Path(path).write_text(self.to_json(), "utf-8")
        except OSError as error:
            raise PathError(f"{path} cannot be written: {error.strerror or error}") from error


def bound_of(column: ColumnSchema, bound: Bound) -> Moment:
    """A bound as a value of its column.

    Raises:
        InvalidRequestError: it is none.
    """
    is_number = not isinstance(bound, str)
    if is_number and column.kind in {"integer", "float"}:
        return bound  # type: ignore[return-value]  # texts are told apart above
    kinds = {"date": datetime.date, "datetime": datetime.datetime}
    try:
        if isinstance(bound, str) and column.kind in kinds:
            return kinds[column.kind].fromisoformat(bound)
    except ValueError:
        pass
    message = f"column {column.name!r} of kind {column.kind} has the bound {bound!r}"
    raise InvalidRequestError(message, hint="Dates stand as text: 2026-01-31.")


def _column(column: ColumnSchema) -> Column:
    dtype = _DTYPES.get(column.kind)
    if dtype is None:
        message = f"column {column.name!r} has no value in any record: a package cannot take it"
        raise DtypeError(message, hint="Leave it out.")
    return Column(column.name, dtype, nullable=column.nullable)
