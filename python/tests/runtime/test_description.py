"""`shoal.json`: one text per content, and reading that nothing can surprise."""

from __future__ import annotations

import json

import pytest

from shoal.errors import CorruptPackageError
from shoal.runtime import (
    Binding,
    Description,
    InputBinding,
    OutputBinding,
    Policy,
    Tolerance,
    canonical_json,
    read_description,
    write_description,
)
from shoal.values import Column, Dtype, Signature

DESCRIPTION = Description(
    format=1,
    name="digits",
    version="1",
    runtime="onnx",
    pure=True,
    signature=Signature(
        inputs=(Column("X", Dtype.FP32, (2,)),),
        outputs=(Column("label", Dtype.INT64), Column("p", Dtype.FP32, (2,), classes=("0", "ö"))),
    ),
    binding=Binding(
        file="model.onnx",
        inputs=(InputBinding(column="X", tensor="X", rank=2, features=("a", "b")),),
        outputs=(
            OutputBinding(column="label", tensor="l"),
            OutputBinding(column="p", tensor="p"),
        ),
    ),
    policy=Policy(),
    tolerance=Tolerance(),
    golden="none",
)
TEXT = (
    '{"binding":{"file":"model.onnx",'
    '"inputs":[{"column":"X","features":["a","b"],"rank":2,"tensor":"X"}],'
    '"outputs":[{"column":"label","tensor":"l"},{"column":"p","tensor":"p"}]},'
    '"format":1,"golden":"none","name":"digits","policy":{"max_bytes":16777216,"max_rows":512},'
    '"pure":true,"runtime":"onnx","signature":{"inputs":[{"dtype":"FP32","name":"X","shape":[2]}],'
    '"outputs":[{"dtype":"INT64","name":"label","shape":[]},'
    '{"classes":["0","ö"],"dtype":"FP32","name":"p","shape":[2]}]},'
    '"tolerance":{"absolute":1e-05,"relative":1e-05},"version":"1"}'
)


def test_the_text_is_canonical_and_comes_back() -> None:
    assert write_description(DESCRIPTION).decode() == TEXT
    assert read_description(TEXT) == DESCRIPTION


@pytest.mark.parametrize(
    "text",
    [
        TEXT.replace('"format":1', '"format": 1'),
        TEXT.replace('"pure":true,', '"pure":true,"extra":1,'),
        TEXT.replace('"format":1', '"format":2'),
        TEXT.replace('"rank":2', '"rank":2,"missing":null'),
        TEXT.replace('"FP32"', '"FP31"'),
        TEXT.replace('"shape":[2]}],"out', '"shape":[0]}],"out'),
        TEXT.replace('"onnx"', '"pickle"'),
        TEXT.replace('"inputs":[{"dtype":"FP32","name":"X","shape":[2]}]', '"inputs":[]'),
        TEXT + " ",
        TEXT[:-1],
        "",
        "[" * 200_000,
        '{"format":' + '{"a":' * 200_000,
        TEXT.replace('"golden":"none"', '"golden":' + "[" * 200_000),
    ],
    ids=lambda text: str(len(text)),
)
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(CorruptPackageError):
        read_description(text)


def test_a_text_that_is_too_large_is_not_even_parsed() -> None:
    with pytest.raises(CorruptPackageError, match="bytes"):
        read_description(b" " * (16 * 1024 * 1024 + 1))


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(CorruptPackageError):
        read_description(b'{"format":1,"name":"\xff"}')


def test_canonical_json_refuses_what_json_cannot_say() -> None:
    assert canonical_json({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("inf"))
    assert json.loads(canonical_json({"a": 0.1})) == {"a": 0.1}
