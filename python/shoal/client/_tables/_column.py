"""One column: a name, a dtype, the shape of one record, values, and which records are missing.

Rules:

- Values are held in the form in which they came and are turned into another one when it is asked
  for: a flat list, a numpy array (dtypes of fixed width), or an Arrow array.
- In the first two forms a missing record holds zero or nothing, and `missing` says which those
  are; an Arrow array says it itself.
- A column does not change.

Source: protocol/protocol.md, "Tables".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, overload

from shoal.client._tables._dtypes import (
    MAX_DIMENSIONS,
    MAX_ZONE_BYTES,
    NUMPY_CODES,
    UNITS,
    empty_value,
    numpy_dtype,
)
from shoal.client._tables._to_python import nested, to_list, to_numpy
from shoal.errors import DtypeError, InvalidRequestError, ShapeError, ZoneError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    import numpy.typing as npt

_SHOWN_VALUES = 6
_UNKNOWN = b"?"  # an Arrow array has not been asked yet


class Kind(NamedTuple):
    """What the values of a column are.

    Attributes:
        dtype: A name of the protocol's table of dtypes, such as `INT64`.
        shape: The shape of one record; `()` is a scalar.
        unit: For TIMESTAMP: `s`, `ms`, `us` or `ns`.
        zone: For TIMESTAMP: a name of the IANA database, or an offset such as `+02:00`.
    """

    dtype: str
    shape: tuple[int, ...] = ()
    unit: str = ""
    zone: str = ""


class Column:
    """A column of a table: a sequence of records, each a Python value, or None where it is missing.

    Made by `Table`, and by `shoal.client.column` where a dtype has to be stated.

    Attributes:
        name: What the column is called.
        kind: Dtype, shape of one record, unit and zone.
        dtype: The dtype, such as `INT64`.
        shape: The shape of one record; `()` is a scalar.
        rows: How many records there are.
    """

    __slots__ = ("_arrow", "_flat", "_missing", "_numpy", "dtype", "kind", "name", "rows", "shape")

    def __init__(
        self,
        name: str,
        kind: Kind,
        rows: int,
        *,
        flat: list[Any] | None = None,
        missing: bytes | None = None,
    ) -> None:
        self.name = name
        self.kind = kind
        self.dtype, self.shape = kind.dtype, kind.shape
        self.rows = rows
        self._flat = flat
        self._missing = missing
        self._numpy: npt.NDArray[Any] | None = None
        self._arrow: Any = None

    @property
    def missing(self) -> bytes | None:
        """One byte for each record, 1 where it is missing; None where none is."""
        if self._missing is _UNKNOWN:
            from shoal.client._tables._from_arrow import missing_of

            self._missing = missing_of(self._arrow)
        return self._missing

    def flat(self) -> list[Any]:
        """Gives all values of all records in one list, as the table of dtypes says."""
        if self._flat is None:
            self._flat = self._read_flat()
        return self._flat

    def records(self) -> list[Any]:
        """Gives one value for each record, a list where it is a tensor; as `flat` has them."""
        if self._numpy is not None:
            records: list[Any] = self._numpy.tolist()
            return records
        if not self.shape:
            return self.flat()
        return nested(self.flat(), self.shape, self.rows)

    def elements(self) -> npt.NDArray[Any]:
        """Gives the values of a dtype of fixed width, shape `[rows, *shape]`, little-endian.

        TIMESTAMP and DATE are whole numbers; `to_numpy` gives moments.

        Raises:
            DtypeError: The dtype is UTF8, BYTES or MIXED.
        """
        if self._numpy is None:
            self._numpy = self._read_elements()
        return self._numpy

    def to_list(self) -> list[Any]:
        """Gives one Python value for each record, None where it is missing; tensors as lists.

        TIMESTAMP becomes `datetime` in its zone, DATE `date`.

        Raises:
            DtypeError: A moment is finer than a microsecond, or outside the years 1 to 9999.
        """
        return to_list(self)

    def to_numpy(self) -> npt.NDArray[Any]:
        """Gives the column as numpy, shape `[rows, *shape]`.

        Where records are missing it is a masked array. TIMESTAMP becomes `datetime64` in UTC, DATE
        `datetime64[D]`, and UTF8, BYTES and MIXED become objects.
        """
        return to_numpy(self)

    def to_arrow(self) -> Any:
        """Gives an Arrow array: of `arrow.fixed_shape_tensor`, and for MIXED a dense union."""
        if self._arrow is None:
            from shoal.client._tables._to_arrow import to_arrow

            self._arrow = to_arrow(self)
        return self._arrow

    def _read_flat(self) -> list[Any]:
        if self._numpy is not None:
            values: list[Any] = self._numpy.reshape(-1).tolist()
            return values
        from shoal.client._tables._from_arrow import flat_of

        return flat_of(self._arrow, self.kind)

    def _read_elements(self) -> npt.NDArray[Any]:
        if self.dtype not in NUMPY_CODES:
            raise DtypeError(
                f"column {self.name!r} is {self.dtype}, expected a dtype of fixed width"
            )
        if self._flat is None:
            from shoal.client._tables._from_arrow import elements_of

            return elements_of(self._arrow, self.kind)
        import numpy as np

        values = np.array(self._flat, dtype=numpy_dtype(self.dtype))
        return values.reshape(self.rows, *self.shape) if self.shape else values

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_list())

    @overload
    def __getitem__(self, at: int) -> Any: ...
    @overload
    def __getitem__(self, at: slice) -> list[Any]: ...
    def __getitem__(self, at: int | slice) -> Any:
        return self.to_list()[at]

    def __array__(
        self,
        dtype: npt.DTypeLike | None = None,
        copy: bool | None = None,  # noqa: FBT001 - numpy calls it so
    ) -> npt.NDArray[Any]:
        import numpy as np

        return np.array(self.to_numpy(), dtype=dtype, copy=copy)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Column):
            return NotImplemented
        mine = (self.name, self.kind, self.rows, self.missing)
        if mine != (other.name, other.kind, other.rows, other.missing):
            return False
        return all(map(_same, self.flat(), other.flat()))

    def __hash__(self) -> int:
        return hash((self.name, self.kind, self.rows))

    def __repr__(self) -> str:
        shape = list(self.shape) if self.shape else ""
        shown = ", ".join(map(repr, self.to_list()[:_SHOWN_VALUES]))
        more = ", ..." if self.rows > _SHOWN_VALUES else ""
        return f"<{self.name!r} {self.dtype}{shape} rows={self.rows}: [{shown}{more}]>"


def check_shape(name: str, dtype: str, shape: tuple[int, ...]) -> None:
    """Refuses a shape that no record of a dtype has.

    Raises:
        ShapeError: There are more than 8 dimensions, or the dtype is MIXED and has any.
    """
    limit = 0 if dtype == "MIXED" else MAX_DIMENSIONS
    if len(shape) > limit:
        raise ShapeError(
            f"column {name!r} is {dtype} of shape {list(shape)}, expected at most {limit} "
            "dimensions"
        )


def moment_kind(name: str, unit: str | None, zone: str | None, shape: tuple[int, ...]) -> Kind:
    """Gives the kind of a column of TIMESTAMP; None are microseconds, and UTC.

    Raises:
        InvalidRequestError: There is no such unit, or the zone is longer than 64 bytes.
        ZoneError: The zone is empty.
    """
    unit, zone = "us" if unit is None else unit, "UTC" if zone is None else zone
    if unit not in UNITS:
        raise InvalidRequestError(
            f"column {name!r} has unit {unit!r}, expected one of {', '.join(UNITS)}"
        )
    if not zone:
        raise ZoneError(f"column {name!r} has an empty zone, expected a name or an offset")
    if len(zone.encode()) > MAX_ZONE_BYTES:
        raise InvalidRequestError(f"column {name!r} has a zone of more than {MAX_ZONE_BYTES} bytes")
    return Kind("TIMESTAMP", shape, unit, zone)


def of_numpy(
    name: str, kind: Kind, values: npt.NDArray[Any], missing: npt.NDArray[np.bool_] | None = None
) -> Column:
    """Makes a column of an array of shape `[rows, *shape]`; what is missing has to be zero."""
    column = Column(name, kind, len(values), missing=mask_bytes(missing))
    column._numpy = values  # noqa: SLF001 - a maker of columns
    return column


def of_arrow(name: str, kind: Kind, values: Any) -> Column:
    """Makes a column of an Arrow array whose type is that of the kind."""
    column = Column(name, kind, len(values), missing=_UNKNOWN)
    column._arrow = values  # noqa: SLF001 - a maker of columns
    return column


def of_records(name: str, kind: Kind, records: list[Any]) -> Column:
    """Makes a column of flat values for each record, None where it is missing.

    Args:
        name: What the column is called.
        kind: Dtype and shape.
        records: A value for each record, or a list of values where records are tensors.
    """
    rows = len(records)
    missing = bytes(record is None for record in records) if None in records else None
    empty = empty_value(kind.dtype)
    if not kind.shape:
        flat = [empty if record is None else record for record in records] if missing else records
        return Column(name, kind, rows, flat=flat, missing=missing)
    nothing = [empty] * math.prod(kind.shape)
    joined = [value for record in records for value in (nothing if record is None else record)]
    return Column(name, kind, rows, flat=joined, missing=missing)


def mask_bytes(missing: npt.NDArray[np.bool_] | None) -> bytes | None:
    """Gives one byte for each record, 1 where it is missing; None where none is."""
    return missing.tobytes() if missing is not None and missing.any() else None


def _same(one: Any, other: Any) -> bool:
    """Whether two values are the same: of one type, and NaN is NaN."""
    if type(one) is not type(other):
        return False
    return bool(one == other or (one != one and other != other))  # noqa: PLR0124 - NaN
