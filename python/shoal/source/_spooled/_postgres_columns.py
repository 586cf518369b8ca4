"""Columns of Arrow in PostgreSQL: their types there, and their values as its COPY reads them.

- A value becomes CSV as COPY has it: nothing is NULL, and text is always in quotes.
- Lists of plain values are arrays; structs, maps and lists of lists are jsonb.
- PostgreSQL's times have microseconds: nanoseconds are rounded. Its texts hold no NUL: it refuses.
- Unsigned numbers take the next larger type; `uint64` is `numeric(20,0)`.

Source: PostgreSQL documentation, "COPY" (CSV Format) and "Arrays" (Array Value Input).
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as arrow_csv

from shoal.errors import SinkError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# About so many rows are encoded at a time.
ENCODED_ROWS = 1 << 14
# Longer names are cut by the server. Source: NAMEDATALEN - 1.
NAME_BYTES = 63


class Kind(NamedTuple):
    """A type of PostgreSQL, by the name that the server gives it, and how its values are written.

    Attributes:
        name: As `format_type` spells it.
        text: An array that Arrow writes to CSV as COPY reads it.
    """

    name: str
    text: Callable[[pa.Array], pa.Array]


def kinds(schema: pa.Schema) -> dict[str, Kind]:
    """What each column is in PostgreSQL.

    Raises:
        SinkError: a column has no type there, or its name is too long or stands twice.
    """
    if len(set(schema.names)) < len(schema.names):
        raise SinkError(f"two columns have one name, among {', '.join(schema.names)}")
    found = {}
    for field in schema:
        kind = _kind(field.type)
        if kind is None:
            raise SinkError(
                f"column {field.name!r} is {field.type}, which PostgreSQL has no type for"
            )
        if len(field.name.encode()) > NAME_BYTES:
            message = f"column {field.name!r} has a name of more than {NAME_BYTES} bytes"
            raise SinkError(message)
        found[field.name] = kind
    return found


def copied(batch: pa.RecordBatch, columns: dict[str, Kind]) -> Iterator[bytes]:
    """Records as COPY reads them, in pieces.

    Raises:
        SinkError: a value has no form there.
    """
    options = arrow_csv.WriteOptions(include_header=False)
    for first in range(0, batch.num_rows, ENCODED_ROWS):
        some = batch.slice(first, ENCODED_ROWS)
        try:
            texts = [kind.text(some.column(name)) for name, kind in columns.items()]
            written = io.BytesIO()
            arrow_csv.write_csv(pa.table(texts, names=list(columns)), written, options)
        except (pa.ArrowException, msgspec.MsgspecError, TypeError) as error:
            raise SinkError(
                f"records cannot be written as PostgreSQL reads them: {error}"
            ) from error
        yield written.getvalue()


def _same(column: pa.Array) -> pa.Array:
    return column


def _cast(target: pa.DataType) -> Callable[[pa.Array], pa.Array]:
    return lambda column: column.cast(target)


PLAIN = {
    pa.bool_(): Kind("boolean", _same),
    pa.int8(): Kind("smallint", _same),
    pa.int16(): Kind("smallint", _same),
    pa.int32(): Kind("integer", _same),
    pa.int64(): Kind("bigint", _same),
    pa.uint8(): Kind("smallint", _same),
    pa.uint16(): Kind("integer", _same),
    pa.uint32(): Kind("bigint", _same),
    pa.uint64(): Kind("numeric(20,0)", _same),
    pa.float16(): Kind("real", _cast(pa.float32())),
    pa.float32(): Kind("real", _same),
    pa.float64(): Kind("double precision", _same),
    pa.string(): Kind("text", _same),
    pa.large_string(): Kind("text", _same),
    pa.string_view(): Kind("text", _cast(pa.string())),
    pa.date32(): Kind("date", _same),
    pa.date64(): Kind("date", _cast(pa.date32())),
}


def _kind(of: pa.DataType) -> Kind | None:
    """What a type is in PostgreSQL; None if it is nothing there."""
    types = pa.types
    if isinstance(of, pa.BaseExtensionType):
        return _through(of.storage_type, lambda column: column.storage)
    if types.is_dictionary(of):
        return _through(of.value_type, _cast(of.value_type))
    if types.is_binary(of) or types.is_large_binary(of) or types.is_fixed_size_binary(of):
        return Kind("bytea", _hexadecimal)
    if types.is_list(of) or types.is_large_list(of) or types.is_fixed_size_list(of):
        element = _kind(of.value_type)
        is_flat = element is not None and not element.name.endswith(("[]", "jsonb"))
        return _array(element) if element and is_flat else Kind("jsonb", _json)
    if types.is_struct(of) or types.is_map(of):
        return Kind("jsonb", _json)
    return PLAIN.get(of) or _measure(of)


def _measure(of: pa.DataType) -> Kind | None:
    """Types that have a unit or a precision."""
    types = pa.types
    if types.is_timestamp(of):
        zone = "with" if of.tz else "without"
        return Kind(f"timestamp {zone} time zone", _same)
    if types.is_time(of):
        return Kind("time without time zone", _same)
    if types.is_duration(of):
        return Kind("interval", _interval)
    if types.is_decimal(of):
        return Kind(f"numeric({of.precision},{of.scale})", _cast(pa.string()))
    return None


def _through(stored: pa.DataType, to_stored: Callable[[pa.Array], pa.Array]) -> Kind | None:
    """What is stored as another type."""
    kind = _kind(stored)
    return kind and Kind(kind.name, lambda column: kind.text(to_stored(column)))


def _hexadecimal(column: pa.Array) -> pa.Array:
    values = column.to_pylist()
    return pa.array([None if v is None else f"\\x{v.hex()}" for v in values], pa.string())


def _interval(column: pa.Array) -> pa.Array:
    microseconds = column.cast(pa.duration("us"), safe=False).cast(pa.int64()).cast(pa.string())
    return pc.binary_join_element_wise(microseconds, " microseconds", "")


def _json(column: pa.Array) -> pa.Array:
    encode = msgspec.json.Encoder().encode
    values = column.to_pylist()
    return pa.array([None if v is None else encode(v).decode() for v in values], pa.string())


def _array(element: Kind) -> Kind:
    def text(column: pa.Array) -> pa.Array:
        values = iter(element.text(column.flatten()).cast(pa.string()).to_pylist())
        lengths = pc.list_value_length(column).to_pylist()
        return pa.array([_literal(values, length) for length in lengths], pa.string())

    return Kind(f"{element.name}[]", text)


def _literal(values: Iterator[str | None], length: int | None) -> str | None:
    """The next values as an array; quotes do no harm around any of them."""
    if length is None:
        return None
    return f"{{{','.join(_quoted(next(values)) for _ in range(length))}}}"


def _quoted(value: str | None) -> str:
    if value is None:
        return "NULL"
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
