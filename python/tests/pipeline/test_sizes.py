"""How many records are worked at a time follows what they cost, and loses none of them."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shoal.pipeline._sizes import Cutter


class Costs:
    """A clock that goes on as if each part took what it costs."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def rows(count: int) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"n": np.arange(count)})


@given(
    st.lists(st.integers(0, 5000), max_size=10),
    st.lists(st.floats(0, 1e-3), min_size=1, max_size=9),
)
def test_every_record_is_in_one_part_in_order_whatever_it_costs(
    tables: list[int], costs: list[float]
) -> None:
    clock = Costs()
    cutter = Cutter(clock)
    for number, count in enumerate(tables):
        seen: list[int] = []
        for start, part in cutter.cut(rows(count)):
            assert start == len(seen)
            seen += part.column("n").to_pylist()
            clock.seconds += costs[number % len(costs)] * part.num_rows
        assert seen == list(range(count))


def test_parts_stay_below_the_size_at_which_records_begin_to_cost_more() -> None:
    clock = Costs()
    cutter = Cutter(clock)
    last: list[int] = []
    for _ in range(300):
        last = []
        for _start, part in cutter.cut(rows(16384)):
            last.append(part.num_rows)
            clock.seconds += 20e-6 + part.num_rows * (1e-7 if part.num_rows <= 2048 else 3e-7)
    assert max(last) <= 2048


def test_a_function_with_a_price_for_each_call_gets_many_records_at_once() -> None:
    clock = Costs()
    cutter = Cutter(clock)
    for _ in range(300):
        last = []
        for _start, part in cutter.cut(rows(16384)):
            last.append(part.num_rows)
            clock.seconds += 5e-3 + part.num_rows * 1e-8
    assert last == [16384]


def test_a_table_that_was_given_up_leaves_nothing_behind() -> None:
    cutter = Cutter()
    for _start, _part in cutter.cut(rows(10_000)):
        break
    assert sum(part.num_rows for _, part in cutter.cut(rows(7))) == 7
