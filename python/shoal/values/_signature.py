"""Columns and signatures: what a model takes and gives, by name and type.

Rules:

- A column has a name, a dtype, the shape of one record, and says whether a record may be missing.
- A shape is that of one record: each dimension is at least 1, or -1 where it varies from record
  to record; `()` is a scalar.
- An input of one variable dimension may say how it is padded; an output of one variable dimension
  may follow such an input: it has the length that the input was padded to, and is cut back.
- An input of INT64 scalars may be one of moments: whole seconds since 1970-01-01 UTC, for which
  dates, timestamps and ISO 8601 text are taken as well.
- Names are unique among the inputs, and among the outputs; an input and an output may share one.
- The JSON form is canonical: keys sorted, no spaces, UTF-8, a key left out where it has its default
  (`shape` is always written). Equal signatures have equal bytes.
- Whatever is wrong is refused when the object is made, so that no later code needs to look.

This module imports nothing but msgspec: a process that serves models reads signatures with it.
"""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING, TypeVar

import msgspec

from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    MalformedJsonError,
    ShapeError,
)
from shoal.values._padding import Padding

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

# Arrow counts the items of a fixed-size list in 32 signed bits.
# Source: Arrow Columnar Format 1.5, "Fixed-Size List Layout"; Schema.fbs, FixedSizeList.listSize.
MAX_ITEMS = 2**31 - 1

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


class Dtype(StrEnum):
    """The element types of the Open Inference Protocol.

    Source: Open Inference Protocol v2, "Tensor Data Types".
    """

    BOOL = "BOOL"
    UINT8 = "UINT8"
    UINT16 = "UINT16"
    UINT32 = "UINT32"
    UINT64 = "UINT64"
    INT8 = "INT8"
    INT16 = "INT16"
    INT32 = "INT32"
    INT64 = "INT64"
    FP16 = "FP16"
    FP32 = "FP32"
    FP64 = "FP64"
    BYTES = "BYTES"


_DTYPES = {dtype.value: dtype for dtype in Dtype}


def read_dtype(name: str) -> Dtype:
    """Gives the dtype a name stands for.

    Raises:
        DtypeError: There is no dtype of this name.
    """
    try:
        return _DTYPES[name]
    except (KeyError, TypeError):
        known = ", ".join(Dtype)
        raise DtypeError(f"{name!r} is not a dtype, expected one of {known}") from None


class Column(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One named tensor whose first dimension is the record.

    Attributes:
        name: What the column is called; not empty.
        dtype: The type of each element. A plain string is accepted and converted.
        shape: The shape of one record; `()` for a scalar, -1 for a dimension that varies.
        nullable: Whether a record may be missing. Inside a record no element may be.
        classes: The name of each entry of the last dimension, for probabilities; unique.
        binary: For BYTES only: the values are any bytes, not text. Arrow then holds `binary`,
            otherwise `string`.
        padding: For an input: how records are padded, so that different lengths share a batch.
        follows: For an output: the padded input whose length it has.
        moment: For an input of INT64 scalars: each is a moment, in whole seconds since 1970-01-01
            UTC. Arrow timestamps, dates and ISO 8601 text are then read as such.

    Raises:
        InvalidRequestError: The name is empty, `classes` does not fit the shape or repeats a name,
            `binary` is set for another dtype than BYTES, `moment` for anything but INT64 scalars,
            or padding does not fit the dtype or stands at a column without exactly one variable
            dimension.
        DtypeError: The dtype does not exist.
        ShapeError: A dimension is 0 or below -1, or a record has more than 2**31 - 1 elements.
    """

    name: str
    dtype: Dtype
    # A factory that is not `tuple` itself: msgspec then always writes the shape.
    shape: tuple[int, ...] = msgspec.field(default_factory=lambda: ())
    nullable: bool = False
    classes: tuple[str, ...] | None = None
    binary: bool = False
    padding: Padding | None = None
    follows: str | None = None
    moment: bool = False

    def __post_init__(self) -> None:
        if not self.name:
            raise InvalidRequestError("a column has an empty name, expected at least one character")
        msgspec.structs.force_setattr(self, "dtype", read_dtype(self.dtype))
        msgspec.structs.force_setattr(self, "shape", _checked_shape(self.name, self.shape))
        if self.classes is not None:
            msgspec.structs.force_setattr(self, "classes", tuple(self.classes))
            _check_classes(self)
        if self.binary and self.dtype is not Dtype.BYTES:
            raise InvalidRequestError(
                f"column {self.name!r} is {self.dtype} and binary, expected binary only for BYTES"
            )
        if self.moment and (self.dtype is not Dtype.INT64 or self.shape):
            raise InvalidRequestError(
                f"column {self.name!r} is {self.dtype} of shape {list(self.shape)} and holds "
                "moments, expected INT64 scalars"
            )
        _check_padding(self)

    @property
    def is_variable(self) -> bool:
        """Whether records may differ in shape."""
        return -1 in self.shape


class Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a model takes and what it gives.

    Attributes:
        inputs: At least one column; names are unique.
        outputs: At least one column; names are unique. The first one is what `/predict` answers.

    Raises:
        InvalidRequestError: There is no input or no output; an output is padded or holds moments,
            an input follows, or an output follows what is no padded input.
        DuplicateColumnError: Two inputs, or two outputs, have one name.
    """

    inputs: tuple[Column, ...]
    outputs: tuple[Column, ...]

    def __post_init__(self) -> None:
        for side in ("inputs", "outputs"):
            columns = tuple(getattr(self, side))
            msgspec.structs.force_setattr(self, side, columns)
            if not columns:
                raise InvalidRequestError(f"the signature has no {side}, expected at least one")
            check_unique((column.name for column in columns), f"the {side} of the signature")
        _check_following(self)
        if moments := [column.name for column in self.outputs if column.moment]:
            raise InvalidRequestError(
                f"output {moments[0]!r} holds moments, expected that of inputs only"
            )

    def with_padding(
        self, padding: Mapping[str, Padding], *, follows: Mapping[str, str]
    ) -> Signature:
        """Gives the signature with these rules at its inputs and outputs, and no others.

        Args:
            padding: How records are padded, by input.
            follows: The padded input whose length it has, by output.

        Raises:
            InvalidRequestError: A name is no column, or a rule does not fit its column.
        """
        _check_known(padding, self.inputs, side="input", said_by="padding")
        _check_known(follows, self.outputs, side="output", said_by="padding")
        return Signature(
            inputs=tuple(
                msgspec.structs.replace(column, padding=padding.get(column.name))
                for column in self.inputs
            ),
            outputs=tuple(
                msgspec.structs.replace(column, follows=follows.get(column.name))
                for column in self.outputs
            ),
        )

    def to_json(self) -> bytes:
        """Gives the canonical JSON of this signature; equal signatures give equal bytes."""
        return canonical_json(self)

    @classmethod
    def from_json(cls, text: bytes | str) -> Signature:
        """Reads a signature.

        Raises:
            MalformedJsonError: The text is not JSON.
            InvalidRequestError: A field is missing, unknown or of the wrong type.
            InputError: The columns are refused, see `Column` and `Signature`.
        """
        return read_json(text, cls, "the signature")


def canonical_json(value: object) -> bytes:
    """Gives JSON with sorted keys, no spaces, in UTF-8; Structs leave out what has its default."""
    return msgspec.json.encode(value, order="sorted")


def read_json(text: bytes | str, kind: type[_Struct], what: str) -> _Struct:
    """Reads JSON into a Struct.

    Args:
        text: UTF-8 JSON.
        kind: The Struct to read.
        what: Names the text in the messages, such as "the signature".

    Raises:
        MalformedJsonError: The text is not JSON, or is nested too deeply to be read.
        InvalidRequestError: A field is missing, unknown or of the wrong type.
    """
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        raise InvalidRequestError(f"{what} is not as expected: {error}") from None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise MalformedJsonError(f"{what} is not JSON: {error}") from None
    except RecursionError:
        raise MalformedJsonError(f"{what} is nested too deeply to be read") from None


def with_moments(columns: Iterable[Column], moments: Collection[str]) -> tuple[Column, ...]:
    """Gives inputs of which these, and no others, hold moments.

    Raises:
        InvalidRequestError: A name is no column, or a column is not INT64 scalars.
    """
    inputs = tuple(columns)
    _check_known(moments, inputs, side="input", said_by="moments")
    return tuple(
        msgspec.structs.replace(column, moment=column.name in moments) for column in inputs
    )


def check_unique(names: Iterable[str], where: str) -> None:
    """Refuses a name that comes twice.

    Raises:
        DuplicateColumnError: Names the first one that is repeated.
    """
    seen: set[str] = set()
    for name in names:
        if name in seen:
            raise DuplicateColumnError(f"column {name!r} comes twice in {where}, expected once")
        seen.add(name)


def _checked_shape(name: str, shape: Iterable[int]) -> tuple[int, ...]:
    dims = tuple(shape)
    for dim in dims:
        if dim == 0 or dim < -1:
            raise ShapeError(
                f"column {name!r} has dimension {dim} in shape {list(dims)}, "
                "expected at least 1, or -1 for one that varies",
                hint="leave out the dimension of records: a shape is the shape of one record",
            )
    items = 1
    for dim in dims:
        items *= abs(dim)
        if items > MAX_ITEMS:
            raise ShapeError(
                f"column {name!r} has more elements in a record of shape {list(dims)} "
                f"than Arrow can hold, expected at most {MAX_ITEMS}"
            )
    return dims


def _check_classes(column: Column) -> None:
    classes = column.classes or ()
    if not column.shape or column.shape[-1] != len(classes):
        raise InvalidRequestError(
            f"column {column.name!r} of shape {list(column.shape)} names {len(classes)} classes, "
            "expected one for each entry of the last dimension"
        )
    if len(set(classes)) != len(classes):
        raise InvalidRequestError(f"column {column.name!r} names a class twice: {list(classes)}")


def _check_padding(column: Column) -> None:
    if column.padding is None and column.follows is None:
        return
    if column.shape.count(-1) != 1:
        raise InvalidRequestError(
            f"column {column.name!r} of shape {list(column.shape)} is padded or follows a padded "
            "one, expected exactly one dimension of -1"
        )
    if column.padding is not None and not _is_value(column.dtype, column.padding.value):
        raise InvalidRequestError(
            f"column {column.name!r} is padded with {column.padding.value!r}, "
            f"expected a value of {column.dtype}"
        )


def _is_value(dtype: Dtype, value: float | str) -> bool:
    if isinstance(value, str):
        return dtype is Dtype.BYTES or (value == "NaN" and dtype in _FLOATS)
    if dtype in _FLOATS:
        return math.isfinite(value)
    low, high = _WHOLE.get(dtype, (1, 0))
    return isinstance(value, int) and low <= value <= high


_FLOATS = frozenset({Dtype.FP16, Dtype.FP32, Dtype.FP64})
_WHOLE = {
    Dtype.BOOL: (0, 1),
    # JSON and the server hold whole numbers of 64 signed bits.
    Dtype.UINT64: (0, 2**63 - 1),
    **{Dtype(f"UINT{bits}"): (0, 2**bits - 1) for bits in (8, 16, 32)},
    **{Dtype(f"INT{bits}"): (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) for bits in (8, 16, 32, 64)},
}


def _check_following(signature: Signature) -> None:
    padded = [column.name for column in signature.inputs if column.padding is not None]
    wrong = [column for column in signature.inputs if column.follows is not None]
    wrong += [column for column in signature.outputs if column.padding is not None]
    if wrong:
        raise InvalidRequestError(
            f"column {wrong[0].name!r} is an input that follows or an output that is padded, "
            "expected inputs to be padded and outputs to follow"
        )
    for column in signature.outputs:
        if column.follows is not None and column.follows not in padded:
            raise InvalidRequestError(
                f"output {column.name!r} follows {column.follows!r}, "
                f"expected a padded input, one of {padded}"
            )


def _check_known(
    named: Iterable[str], columns: Iterable[Column], *, side: str, said_by: str
) -> None:
    known = [column.name for column in columns]
    if unknown := sorted(set(named) - set(known)):
        raise InvalidRequestError(
            f"{said_by} names {unknown[0]!r}, which is no {side} of the model",
            hint=f"The {side}s are {', '.join(known)}.",
        )
