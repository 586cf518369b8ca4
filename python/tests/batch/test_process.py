from __future__ import annotations

import math
import os
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shoal import batch
from shoal.batch import Workers, process, processes, rows, split, threads
from shoal.batch._workers import _wire
from shoal.errors import DtypeError, InvalidRequestError, ModelError

from . import functions

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CREWS = [threads(1), threads(3), processes(2)]
by_crew = pytest.mark.parametrize("crew", CREWS, ids=["one", "threads", "processes"])


def numbers(count: int, size: int) -> Iterator[list[int]]:
    return split(list(range(count)), by=rows(size))


@by_crew
def test_answers_come_in_split_order(crew: Workers) -> None:
    answers = list(process(numbers(20, 3), functions.total, workers=crew))
    assert answers == [3, 12, 21, 30, 39, 48, 37]


def test_answers_come_in_order_though_the_first_is_last_to_finish() -> None:
    others = threading.Semaphore(0)

    def answer(records: list[int]) -> int:
        if records == [0]:
            others.acquire(timeout=60)
        else:
            others.release()
        return records[0]

    assert list(process(numbers(4, 1), answer, workers=2)) == [0, 1, 2, 3]


@by_crew
def test_a_table_may_have_any_length(crew: Workers) -> None:
    answers = list(
        process(split(pa.table({"value": [1, 2, 3]}), by=rows(2)), functions.doubled, workers=crew)
    )
    assert [answer.to_pydict() for answer in answers] == [{"value": [2, 4]}, {"value": [6]}]


@by_crew
def test_each_form_of_records_arrives_and_returns_as_it_is(crew: Workers) -> None:
    answers = list(process(FORMS, functions.same, workers=crew))
    assert list(map(str, answers)) == list(map(str, FORMS))
    assert list(map(type, answers)) == list(map(type, FORMS))


FORMS: list[Any] = [
    pa.record_batch({"a": [1, None], "b": [["x"], []]}),
    pa.record_batch({"a": pa.array([], pa.float32())}),
    pa.array(["a", None]),
    np.arange(6, dtype=">i2").reshape(2, 3),
    np.zeros((2, 0)),
    np.float32(1.5),
    np.array([True, False]),
    np.array(["2026-01-01"], "datetime64[D]"),
    [1, 2, 3],
    [1, None],
    [1.5, math.nan, math.inf],
    [True, False],
    ["a", "\u00e9", ""],
    [1, 2.0, True, None, "x", b"y", [1, [2]], {"a": 1, "b": None}, {b"k": math.nan, 1: [b""]}],
    [2**63],
    [],
    7,
    None,
    "text",
    {"a": [1, 2.0]},
]


def test_frames_and_arrow_scalars_are_answered_in_one_form() -> None:
    frames = process([pd.DataFrame({"a": [1]})], functions.same)
    assert next(frames).to_pydict() == {"a": [1]}
    assert list(process([pa.array([1, 2])], pc.sum)) == [3]


def test_processes_are_other_processes() -> None:
    found = set(process(numbers(4, 1), functions.process_id, workers=processes(2)))
    assert os.getpid() not in found
    assert 1 <= len(found) <= 2


def test_at_most_in_flight_micro_batches_are_held() -> None:
    read: list[int] = []

    def batches() -> Iterator[list[int]]:
        for i in range(20):
            read.append(i)
            yield [i]

    for handed, _ in enumerate(process(batches(), len, workers=threads(2, in_flight=3))):
        assert len(read) - handed <= 3


def test_nothing_is_read_before_the_first_answer_is_asked_for() -> None:
    batches = iter([[1], [2]])
    answers = process(batches, len, workers=2)
    assert next(batches) == [1]
    assert list(answers) == [1]


@by_crew
def test_a_function_that_raises_is_named_with_its_micro_batch(crew: Workers) -> None:
    answers = process(numbers(9, 2), functions.fail_on_three, workers=crew)
    assert next(answers) == 2
    with pytest.raises(ModelError, match="micro-batch 1 failed: ValueError: three is") as caught:
        next(answers)
    assert isinstance(caught.value.__cause__, ValueError)
    assert list(answers) == []


def test_the_traceback_of_a_worker_is_kept() -> None:
    with pytest.raises(ModelError) as caught:
        list(process([[3]], functions.fail_on_three, workers=processes(1)))
    assert "in fail_on_three" in caught.value.__cause__.__notes__[0]  # type: ignore[union-attr]  # kept


def test_an_error_of_the_data_keeps_its_place() -> None:
    def batches() -> Iterator[list[int]]:
        yield [1]
        raise OSError("the disk is gone")

    answers = process(batches(), len, workers=2)
    assert next(answers) == 1
    with pytest.raises(OSError, match="the disk is gone"):
        next(answers)


def test_a_worker_that_dies_is_named() -> None:
    with pytest.raises(ModelError, match="micro-batch 0 failed: its worker ended with exit code 7"):
        list(process([[1]], functions.die, workers=processes(1)))


@by_crew
def test_an_iterator_closed_early_leaves_no_worker(crew: Workers) -> None:
    answers = process(numbers(50, 1), functions.total, workers=crew)
    assert next(answers) == 0
    before = threading.active_count()
    answers.close()  # type: ignore[attr-defined]  # a generator
    assert threading.active_count() <= before
    assert list(answers) == []


def test_what_a_function_prints_does_not_disturb_the_answers(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert list(process([[1], [1, 2]], functions.chatter, workers=processes(1))) == [1, 2]
    assert capfd.readouterr().err == "to standard output 1\nto standard output 2\n"


@pytest.mark.parametrize(
    "function", [lambda records: records, [].append, batch.by_type(default=len)]
)
def test_a_function_without_a_name_cannot_go_to_processes(function: Any) -> None:
    with pytest.raises(InvalidRequestError, match="cannot be found by another process") as caught:
        process([[1]], function, workers=processes(1))
    assert caught.value.hint == (
        "move it to the top of a module, name it 'module:function', or use threads(n)"
    )


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nothing", "names no function"),
        ("no_such_module:f", "ModuleNotFoundError"),
        ("os:no_such_function", "AttributeError"),
        ("os:sep", "is a str, not a function"),
    ],
)
@by_crew
def test_a_path_that_names_no_function_is_refused(crew: Workers, path: str, message: str) -> None:
    with pytest.raises(InvalidRequestError, match=message):
        list(process([[1]], path, workers=crew))


def nested(depth: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize(
    "records",
    [[(1, 2)], [1, 2**64], [object()], ["\ud800", 1], [nested(10_000)]],
    ids=["tuple", "wide integer", "object", "surrogate", "deep list"],
)
def test_what_would_change_on_the_way_is_refused(records: Any) -> None:
    with pytest.raises(DtypeError, match="cannot go to another process"):
        list(process([records], functions.same, workers=processes(1)))


@pytest.mark.parametrize(
    "packed", [b"\xd4\x05\x00", b"\xdd\xff\xff\xff\xff", b"\x91" * 10_000, b"\xc0\xc0", b""]
)
def test_what_is_no_plain_value_is_refused_on_arrival(packed: bytes) -> None:
    sent = pa.record_batch({"value": pa.array([packed])}, metadata={_wire.FORM: b"list"})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, sent.schema) as writer:
        writer.write_batch(sent)
    with pytest.raises((DtypeError, msgspec.DecodeError, RecursionError)):
        _wire.decode(sink.getvalue())


def test_an_answer_that_would_change_on_the_way_is_refused() -> None:
    with pytest.raises(ModelError, match="a set cannot go to another process"):
        list(process([[1]], functions.answer_with_a_set, workers=processes(1)))


def test_data_that_is_not_cut_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="not cut into micro-batches"):
        process(pa.table({"a": [1]}), len)


def test_groups_need_a_merge() -> None:
    with pytest.raises(InvalidRequestError, match="groups nothing without merge="):
        process([[1]], len, by="key")  # type: ignore[call-overload]  # wrong on purpose


@pytest.mark.parametrize("number", [0, -1, True, "2"])
def test_what_is_no_number_of_workers_is_refused(number: Any) -> None:
    with pytest.raises(InvalidRequestError, match="expected a whole number from 1 up"):
        threads(number)
    with pytest.raises(InvalidRequestError, match="expected a whole number from 1 up"):
        processes(1, in_flight=number)


@by_crew
def test_a_merge_gives_one_answer_whatever_runs_it(crew: Workers) -> None:
    answer = process(
        numbers(10, 3), functions.total, workers=crew, merge=[batch.count(), batch.mean()]
    )
    assert answer.to_pylist() == [{"count": 4, "mean_value": 11.25}]


SCRIPT = """
from shoal.batch import process, processes, rows, split

def total(records):
    return sum(records)

{guard}print(list(process(split(range(4), by=rows(2)), total, workers=processes(2))))
"""


def run_script(path: Path, guard: str) -> subprocess.CompletedProcess[str]:
    path.write_text(SCRIPT.format(guard=guard), "utf-8")
    return subprocess.run(
        [sys.executable, "-W", "error", path], capture_output=True, text=True, check=False
    )


def test_a_function_of_a_script_is_found(tmp_path: Path) -> None:
    answer = run_script(tmp_path / "script.py", 'if __name__ == "__main__":\n    ')
    assert (answer.stdout, answer.stderr) == ("[1, 5]\n", "")


def test_a_script_without_its_guard_is_refused(tmp_path: Path) -> None:
    answer = run_script(tmp_path / "script.py", "")
    assert answer.returncode == 1
    assert "a script started worker processes while a worker was reading it" in answer.stderr
