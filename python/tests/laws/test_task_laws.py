"""Law: an envelope answers as the same tasks do, each sent by itself as an inference.

Drawn are how many tasks there are, for which models, of how many records, with a table of their own
or a shared one, and which of them fail. What tasks stand beside never changes an answer beyond the
last digits that the size of a micro-batch may move.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.end_to_end.driver import serving
from tests.end_to_end.envelopes import code, pixels, run, task, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

ENVELOPES = 30


class Asked(NamedTuple):
    """One task: rows of `digits` by their numbers, or numbers for `fragile`."""

    model: str
    rows: list[int]
    is_shared: bool


asked = st.one_of(
    st.builds(Asked, st.just("digits"), st.lists(st.integers(0, 63), max_size=5), st.booleans()),
    st.builds(Asked, st.just("fragile"), st.lists(st.integers(-2, 9), max_size=5), st.booleans()),
)


@pytest.fixture(scope="module")
def served(digits: Sealed, fragile: Path) -> Iterator[Served]:
    with serving(digits.path, fragile, arguments=("--allow-code",)) as server:
        yield server


def table_of(each: Asked, digits: Sealed) -> dict[str, Any]:
    if each.model == "digits":
        return pixels(*[digits.rows[row] for row in each.rows])
    return values(*each.rows)


def inference(served: Served, each: Asked, digits: Sealed) -> dict[str, Any]:
    """The answer to a task as an inference: its columns by name, or its code."""
    column = {"name": "value", "datatype": "FP64", "shape": [len(each.rows)], "data": each.rows}
    if each.model == "digits":
        rows = [digits.rows[row] for row in each.rows]
        column = {"name": "X", "datatype": "FP32", "shape": [len(rows), 64], "data": rows}
    reply = served.ask("POST", f"/v2/models/{each.model}/infer", {"inputs": [column]})
    if reply.status != 200:
        return {"code": reply.code}
    return {output["name"]: output["data"] for output in reply.json()["outputs"]}


def answer(result: dict[str, Any]) -> dict[str, Any]:
    """The same of a result."""
    if code(result):
        return {"code": code(result)}
    return {each["name"]: flat(each["data"]) for each in result["table"]["columns"]}


def flat(nested: list[Any]) -> list[Any]:
    return [value for each in nested for value in (each if isinstance(each, list) else [each])]


@settings(max_examples=ENVELOPES)
@given(st.lists(asked, min_size=1, max_size=12))
def test_an_envelope_answers_as_its_tasks_do_one_by_one(
    served: Served, digits: Sealed, asked: list[Asked]
) -> None:
    tables = {str(place): table_of(each, digits) for place, each in enumerate(asked)}
    tasks = [
        task(each.model, str(place) if each.is_shared else tables[str(place)])
        for place, each in enumerate(asked)
    ]
    results = run(served, *tasks, tables=tables)
    assert [result["id"] for result in results] == list(tables)
    for each, result in zip(asked, results, strict=True):
        alone, together = inference(served, each, digits), answer(result)
        assert together.keys() == alone.keys()
        for name, expected in alone.items():
            if name == "probabilities":
                assert together[name] == pytest.approx(expected, rel=1e-5, abs=1e-6)
            else:
                assert together[name] == expected
