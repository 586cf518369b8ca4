from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.batch import by_type, process, rows, split
from shoal.errors import DtypeError, InvalidRequestError, ModelError

MIXED = st.lists(
    st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none(), st.binary()),
    max_size=30,
)


def tag(name: str) -> Any:
    return lambda records: [(name, record) for record in records]


def expected_tag(record: object) -> str:
    names = {int: "int", float: "float", str: "str"}
    return names.get(type(record), "default")


@given(MIXED, st.integers(1, 8))
def test_answers_stand_in_the_order_of_the_records(records: list[Any], size: int) -> None:
    dispatch = by_type(int=tag("int"), float=tag("float"), str=tag("str"), default=tag("default"))
    answers = process(split(records, by=rows(size)), dispatch)
    found = [answer for part in answers for answer in part]
    assert repr(found) == repr([(expected_tag(record), record) for record in records])


def test_a_boolean_is_no_number() -> None:
    dispatch = by_type(int=tag("int"), default=tag("default"))
    assert dispatch([True, 1, np.True_]) == [("default", True), ("int", 1), ("default", np.True_)]


def test_numbers_of_numpy_are_numbers() -> None:
    dispatch = by_type(int=tag("int"), float=tag("float"))
    names = [name for name, _ in dispatch([np.int8(1), np.float32(2), np.float64(3)])]
    assert names == ["int", "float", "float"]


def test_each_function_gets_its_records_in_micro_batches() -> None:
    sizes: list[int] = []

    def count(records: list[int]) -> list[int]:
        sizes.append(len(records))
        return records

    by_type(int=count, default=lambda records: records, by=rows(2))([1, None, 2, 3, None, 4, 5])
    assert sizes == [2, 2, 1]


@pytest.mark.parametrize("answers", [[1, 2], (1, 2), np.array([1, 2]), pa.array([1, 2])])
def test_a_function_may_answer_with_any_sequence(answers: Any) -> None:
    assert by_type(default=lambda _: answers)([None, None]) == [1, 2]


def test_a_record_that_no_function_takes_is_refused_before_any_call() -> None:
    calls: list[Any] = []
    with pytest.raises(DtypeError, match="record 1 is a str, and no function takes it") as caught:
        by_type(int=calls.append)([1, "two"])
    assert caught.value.hint == "give by_type a function for str="
    assert calls == []


@pytest.mark.parametrize(
    ("answers", "message"),
    [([], "for int gave 0 answers to 1 records"), (1, "answered with a int")],
)
def test_a_function_must_answer_each_record(answers: Any, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        by_type(int=lambda _: answers)([1])


def test_no_function_at_all_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="got no function"):
        by_type()
