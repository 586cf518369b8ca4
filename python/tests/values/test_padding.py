"""Rules of padding: to which length, with what, and which rules make no sense."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from shoal.errors import InvalidRequestError
from shoal.values import Column, Dtype, Padding, Signature

LENGTHS = (0, 1, 5, 8, 9, 17, 100, 1000)


@pytest.mark.parametrize(
    ("rule", "rounded"),
    [
        (Padding(0), (0, 1, 5, 8, 10, 20, 112, 1024)),
        (Padding(0, multiple_of=8), (0, 8, 8, 8, 16, 24, 104, 1000)),
        (Padding(0, lengths=(8, 128)), (0, 8, 8, 8, 128, 128, 128, 1000)),
    ],
)
def test_lengths_round_up_as_in_the_server(rule: Padding, rounded: tuple[int, ...]) -> None:
    assert tuple(map(rule.rounded, LENGTHS)) == rounded


def test_a_length_never_grows_by_more_than_a_fourth_where_nothing_is_said() -> None:
    for length in range(1, 5000):
        assert length <= Padding(0).rounded(length) <= 1.25 * length


def test_the_json_form_leaves_out_what_was_not_said() -> None:
    column = Column("x", Dtype.INT64, (-1,), padding=Padding(value=False, lengths=(1, 2)))
    text = msgspec.json.encode(column, order="sorted").decode()
    assert '"padding":{"lengths":[1,2],"value":0}' in text
    assert msgspec.json.decode(text, type=Column) == column
    assert "padding" not in msgspec.json.encode(Column("x", Dtype.INT64)).decode()


@pytest.mark.parametrize(
    "rule",
    [
        {"multiple_of": 0},
        {"multiple_of": 2**31},
        {"lengths": []},
        {"lengths": [0, 8]},
        {"lengths": [8, 8]},
        {"lengths": range(1, 1026)},
        {"lengths": [8], "multiple_of": 8},
        {"at": "middle"},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError):
        Padding(0, **rule)


@pytest.mark.parametrize(
    ("dtype", "value"),
    [
        ("INT64", 0.5),
        ("INT64", "0"),
        ("INT8", 128),
        ("UINT64", -1),
        ("BOOL", 2),
        ("FP32", "nan"),
        ("FP32", float("inf")),
        ("BYTES", 0),
    ],
)
def test_a_value_of_another_kind_is_refused(dtype: str, value: Any) -> None:
    with pytest.raises(InvalidRequestError, match="expected a value of"):
        Column("x", Dtype(dtype), (-1,), padding=Padding(value))


@pytest.mark.parametrize("shape", [(), (3,), (-1, -1)])
def test_only_a_column_of_one_variable_dimension_is_padded(shape: tuple[int, ...]) -> None:
    with pytest.raises(InvalidRequestError, match="exactly one dimension of -1"):
        Column("x", Dtype.FP32, shape, padding=Padding(0))


def test_inputs_are_padded_and_outputs_follow() -> None:
    padded = Column("x", Dtype.FP32, (-1,), padding=Padding("NaN"))
    plain = Column("x", Dtype.FP32, (-1,))
    follower = Column("y", Dtype.FP32, (-1,), follows="x")
    outputs = Signature(inputs=(padded,), outputs=(follower, plain)).outputs
    assert outputs == (follower, plain)
    for inputs, outputs in [
        ((plain,), (follower,)),
        ((follower,), (plain,)),
        ((plain,), (padded,)),
    ]:
        with pytest.raises(InvalidRequestError):
            Signature(inputs=inputs, outputs=outputs)
