"""Columns and signatures have one JSON form, and what is wrong with them is refused by name."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

import shoal.values
from shoal.errors import (
    DtypeError,
    DuplicateColumnError,
    InvalidRequestError,
    MalformedJsonError,
    ShapeError,
    ShoalError,
)
from shoal.values import Column, Dtype, Signature

DIGITS = Signature(
    inputs=(Column("X", Dtype.FP32, (64,)),),
    outputs=(
        Column("label", Dtype.INT64),
        Column("probabilities", Dtype.FP32, (2,), classes=("0", "é")),
    ),
)
DIGITS_JSON = (
    '{"inputs":[{"dtype":"FP32","name":"X","shape":[64]}],'
    '"outputs":[{"dtype":"INT64","name":"label","shape":[]},'
    '{"classes":["0","é"],"dtype":"FP32","name":"probabilities","shape":[2]}]}'
)


def test_json_is_canonical() -> None:
    assert DIGITS.to_json().decode() == DIGITS_JSON


def test_json_reads_back_to_the_same_signature() -> None:
    assert Signature.from_json(DIGITS_JSON) == DIGITS


def test_every_key_is_written_where_it_has_no_default() -> None:
    column = Column("x", Dtype.BYTES, (-1, 2), nullable=True, classes=("a", "b"), binary=True)
    said = msgspec.json.decode(msgspec.json.encode(column))
    assert set(said) == {"name", "dtype", "shape", "nullable", "classes", "binary"}


def test_lists_and_plain_text_become_tuples_and_dtypes() -> None:
    column = Column("x", "FP32", [2, 3])  # type: ignore[arg-type]  # what notebooks write
    assert column == Column("x", Dtype.FP32, (2, 3))
    assert hash(column) == hash(Column("x", Dtype.FP32, (2, 3)))


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("{", MalformedJsonError, "the signature is not JSON: Input data was truncated"),
        ('{"inputs":[]}', InvalidRequestError, "missing required field `outputs`"),
        ('{"inputs":[],"outputs":[]}', InvalidRequestError, "has no inputs"),
        ('{"inputs":[],"outputs":[],"more":1}', InvalidRequestError, "unknown field `more`"),
    ],
)
def test_wrong_text_is_refused(text: str, kind: type[ShoalError], message: str) -> None:
    with pytest.raises(kind, match=message):
        Signature.from_json(text)


def test_two_inputs_of_one_name_are_refused() -> None:
    column = Column("x", Dtype.FP32)
    with pytest.raises(DuplicateColumnError, match="column 'x' comes twice in the inputs"):
        Signature((column, column), (column,))


def test_an_input_and_an_output_may_share_a_name() -> None:
    column = Column("x", Dtype.FP32)
    assert Signature((column,), (column,)).inputs == (column,)


@pytest.mark.parametrize("shape", [(0,), (-2,), (3, 0)])
def test_dimension_that_is_no_length_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ShapeError, match="expected at least 1, or -1"):
        Column("x", Dtype.FP32, shape)


def test_record_that_arrow_cannot_hold_is_refused() -> None:
    Column("x", Dtype.FP32, (2**31 - 1,))
    with pytest.raises(ShapeError, match="at most 2147483647"):
        Column("x", Dtype.FP32, (2**16, 2**15))


def test_unknown_dtype_is_refused() -> None:
    with pytest.raises(DtypeError, match=r"'BF16' is not a dtype, expected one of BOOL, UINT8"):
        Column("x", "BF16")  # type: ignore[arg-type]  # the error under test


@pytest.mark.parametrize(
    ("shape", "classes", "message"),
    [
        ((3,), ("a", "b"), "names 2 classes, expected one for each entry"),
        ((), ("a",), "expected one for each entry"),
        ((2,), ("a", "a"), "names a class twice"),
    ],
)
def test_classes_have_to_fit(
    shape: tuple[int, ...], classes: tuple[str, ...], message: str
) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        Column("x", Dtype.FP32, shape, classes=classes)


def test_only_bytes_are_binary() -> None:
    with pytest.raises(InvalidRequestError, match="expected binary only for BYTES"):
        Column("x", Dtype.FP32, binary=True)


def test_empty_name_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="empty name"):
        Column("", Dtype.FP32)


def test_signatures_load_nothing_heavy() -> None:
    heavy = "{'pyarrow', 'numpy', 'pandas', 'onnxruntime'}"
    program = (
        "import sys; from shoal.values import Signature; "
        f"Signature.from_json({DIGITS_JSON!r}); print(sorted({heavy} & set(sys.modules)))"
    )
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"


def test_every_public_name_is_there() -> None:
    for name in shoal.values.__all__:
        assert getattr(shoal.values, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = shoal.values.nothing
