"""However records are cut, a merge's answer stays within its stated exactness.

Few records are sketched exactly, so sketches obey the same laws; of many records, see the laws
that say how often an error is within its bound.

A cut is a random list of neighbouring slices, empty and one-row slices among them. Every slice is
lifted once; a cut is then the combination of its slices, and all cuts are combined at a time, each
as a group of its own: 1,000 cuts cost hardly more than one.
"""

from __future__ import annotations

import bisect
import functools
import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from shoal import batch
from shoal.batch import Exactness, Merge, Merges, merge, process, rank_error, rows, split, threads
from shoal.batch._merges._sums import Sum

from .merges import ENROLLED, KEYS, RANKS, ROWS, Columns, Ranked, Subject, draw_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

CUTS = 1000
CUTS_THROUGH_THE_ENGINE = 10
SUBGROUPS = 3
MANY_ROWS = 10_000
CUTS_OF_MANY_ROWS = 50
COLUMNS_OF_MANY_ROWS = 200


@dataclass(frozen=True)
class Cuts:
    """Many cuts at once.

    Attributes:
        slices: Each different slice `(start, end)`, once.
        used: The number of the slice, for every slice of every cut.
        cut: Which cut it is of.
    """

    slices: list[tuple[int, int]]
    used: NDArray[np.int64]
    cut: NDArray[np.int64]


@functools.cache  # every merge is put to the same cuts
def draw_cuts(count: int, seed: int) -> Cuts:
    rng = np.random.default_rng(seed)
    slices: list[tuple[int, int, int]] = []
    for cut in range(count):
        places = rng.integers(0, ROWS + 1, rng.integers(0, 12))
        single = rng.integers(0, ROWS, 2)  # one-row slices
        ends = sorted([0, *places.tolist(), *single.tolist(), *(single + 1).tolist(), ROWS])
        slices += [(a, b, cut) for a, b in itertools.pairwise(ends)]
    table = np.array(slices)
    assert (table[:, 1] - table[:, 0] == 0).any()
    assert (table[:, 1] - table[:, 0] == 1).any()
    different, used = np.unique(table[:, :2], axis=0, return_inverse=True)
    return Cuts([(a, b) for a, b in different.tolist()], used, table[:, 2])


def combine_cuts(
    bound: Merge, data: pa.RecordBatch, cuts: Cuts, keys: NDArray[np.int64]
) -> pa.RecordBatch:
    """Gives the states of every cut and key: row `cut * groups + key`."""
    groups = int(keys.max()) + 1
    states: list[pa.RecordBatch] = []
    for start, end in cuts.slices:
        group = pa.array(keys[start:end], pa.int32())
        states.append(bound.lift(data.slice(start, end - start), group, groups))
    first = cuts.used * groups
    places = (first[:, None] + np.arange(groups)).ravel()
    owner = (cuts.cut[:, None] * groups + np.arange(groups)).ravel()
    all_states = pa.concat_batches(states)
    count = (int(cuts.cut.max()) + 1) * groups
    rng = np.random.default_rng(len(places))
    order = rng.permutation(len(places))
    return combine_in_two_steps(
        bound, all_states.take(pa.array(places[order])), owner[order], count
    )


def combine_in_two_steps(
    bound: Merge, states: pa.RecordBatch, owner: NDArray[np.int64], count: int
) -> pa.RecordBatch:
    """Combines in random subgroups first, some of them empty: no order, no tree is special."""
    rng = np.random.default_rng(count)
    inner = owner * SUBGROUPS + rng.integers(0, SUBGROUPS, len(owner))
    halfway = bound.combine(states, pa.array(inner, pa.int32()), count * SUBGROUPS)
    outer = np.repeat(np.arange(count), SUBGROUPS)
    return bound.combine(halfway, pa.array(outer, pa.int32()), count)


def assert_within(exactness: Exactness, found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert is_within(exactness, found[name], value), f"{name}: {found[name]}, not {value}"


def is_within(exactness: Exactness, found: Any, expected: Any) -> bool:
    if isinstance(expected, Ranked):
        return all(off <= exactness.bound for off in rank_errors(found, expected))
    if isinstance(expected, dict) and isinstance(found, dict):
        same_names = list(found) == list(expected)
        return same_names and is_within(exactness, list(found.values()), list(expected.values()))
    if isinstance(expected, list) and isinstance(found, list):
        pairs = zip(found, expected, strict=False)
        return len(found) == len(expected) and all(is_within(exactness, a, b) for a, b in pairs)
    if isinstance(expected, float) and isinstance(found, float):
        if math.isnan(expected):
            return math.isnan(found)
        if exactness.kind == "relative" and math.isfinite(expected):
            return abs(found - expected) <= exactness.bound * abs(expected)
    return bool(found == expected and type(found) is type(expected))


def rank_errors(found: list[float], expected: Ranked) -> list[float]:
    """Gives how far each answer's ranks lie from the one asked for; 0 if it is among them."""
    count = len(expected.values)
    errors = []
    for value, rank in zip(found, expected.at, strict=True):
        below = bisect.bisect_left(expected.values, value) / count
        until = bisect.bisect_right(expected.values, value) / count
        errors.append(max(below - rank, rank - until, 0.0))
    return errors


def columns_of(data: pa.RecordBatch, keep: NDArray[np.bool_]) -> Columns:
    columns: Columns = data.filter(pa.array(keep)).to_pydict()
    return columns


def law_any_cut_gives_the_answer(subject: Subject, data: pa.RecordBatch, seed: int) -> int:
    """Ungrouped: every cut gives what all rows give at once."""
    keys = np.zeros(ROWS, np.int64)
    return check_cuts(subject, data, keys, seed)


def law_any_cut_gives_each_group_its_answer(
    subject: Subject, data: pa.RecordBatch, seed: int
) -> int:
    """Grouped: every cut gives each group what its rows give at once."""
    keys = np.array([KEYS.index(key) for key in data.column("key").to_pylist()])
    return check_cuts(subject, data, keys, seed)


def check_cuts(subject: Subject, data: pa.RecordBatch, keys: NDArray[np.int64], seed: int) -> int:
    bound = subject.merge.bind(data.schema)
    cuts = draw_cuts(CUTS, seed)
    answers = bound.finish(combine_cuts(bound, data, cuts, keys))
    groups = int(keys.max()) + 1
    for group in range(groups):
        expected = subject.reference(columns_of(data, keys == group))
        found = answers.take(pa.array(np.arange(group, CUTS * groups, groups)))
        assert found.num_rows == CUTS
        for row in distinct(found):
            assert_within(subject.merge.exactness, row, expected)
    return CUTS


def distinct(answers: pa.RecordBatch) -> list[dict[str, Any]]:
    """Gives each different answer once: usually there is one."""
    return list({repr(row): row for row in answers.to_pylist()}.values())


def law_all_cuts_agree_to_the_last_bit(subject: Subject, data: pa.RecordBatch, seed: int) -> int:
    """States have one form, so no cut is told from another, by any merge enrolled here."""
    bound = subject.merge.bind(data.schema)
    cuts = draw_cuts(CUTS, seed + 1)
    answers = bound.finish(combine_cuts(bound, data, cuts, np.zeros(ROWS, np.int64)))
    assert len(distinct(answers)) == 1
    return CUTS


def law_the_engine_merges_alike(subject: Subject, data: pa.RecordBatch, seed: int) -> int:
    """`merge` over real micro-batches gives each key's answer; keys as they are first met."""
    cuts = draw_cuts(CUTS_THROUGH_THE_ENGINE, seed + 2)
    keys = data.column("key").to_pylist()
    for cut in range(CUTS_THROUGH_THE_ENGINE):
        slices = [cuts.slices[number] for number in cuts.used[cuts.cut == cut]]
        batches = [data.slice(start, end - start) for start, end in slices]
        answers = merge(batches, subject.merge, by="key").to_pylist()
        assert [answer.pop("key") for answer in answers] == list(dict.fromkeys(keys))
        for key, answer in zip(dict.fromkeys(keys), answers, strict=True):
            rows_of_key = columns_of(data, np.array([k == key for k in keys]))
            assert_within(subject.merge.exactness, answer, subject.reference(rows_of_key))
    return CUTS_THROUGH_THE_ENGINE


def law_workers_change_nothing(subject: Subject, data: pa.RecordBatch, seed: int) -> int:
    """One worker gives what three give, to the last bit."""
    size = 1 + seed % 5
    answers = [
        process(split(data, by=rows(size)), same, workers=threads(count), merge=subject.merge)
        for count in (1, 3)
    ]
    assert repr(answers[0].to_pylist()) == repr(answers[1].to_pylist())
    return len(answers)


def same(records: pa.RecordBatch) -> pa.RecordBatch:
    return records


SUM_OF_CANCELLING = next(subject for subject in ENROLLED if subject.merge.name == "sum_cancelling")

LAWS = {
    law_any_cut_gives_the_answer: CUTS,
    law_any_cut_gives_each_group_its_answer: CUTS,
    law_all_cuts_agree_to_the_last_bit: CUTS,
    law_the_engine_merges_alike: CUTS_THROUGH_THE_ENGINE,
    law_workers_change_nothing: 2,
}


def name_of(subject: Subject) -> str:
    return subject.merge.name


@pytest.mark.parametrize("subject", ENROLLED, ids=name_of)
def test_merge_obeys_every_law(
    subject: Subject, prove_scale: int, record_property: Callable[[str, object], None]
) -> None:
    ran = 0
    for seed in range(prove_scale):
        data = draw_rows(seed)
        for law, expected_cases in LAWS.items():
            cases = law(subject, data, seed)
            assert cases == expected_cases
            ran += cases
    assert ran == prove_scale * sum(LAWS.values())
    record_property("cases", ran)


def law_ranks_are_found_within_their_error(seed: int) -> list[bool]:
    """Says of each cut of many values, and each rank, whether the error is within the bound."""
    subject = batch.quantiles("value", RANKS)
    values = np.random.default_rng(seed).normal(size=MANY_ROWS)
    expected = Ranked(np.sort(values).tolist(), RANKS)
    within: list[bool] = []
    for cut in range(CUTS_OF_MANY_ROWS):
        answer = cut_and_merge(subject, values, cut)["quantiles_value"]
        within += [off <= subject.exactness.bound for off in rank_errors(answer, expected)]
    return within


def law_distinct_values_are_counted_within_their_error(seed: int) -> list[bool]:
    """Says of many columns whether the error is within the bound; no cut changes the count."""
    subject = batch.distinct("value")
    rng = np.random.default_rng(seed)
    within: list[bool] = []
    for column in range(COLUMNS_OF_MANY_ROWS):
        values = rng.integers(0, 2**62, MANY_ROWS) // 2 ** int(rng.integers(0, 48))
        found, again = (cut_and_merge(subject, values, column + cut) for cut in (0, 1))
        assert found == again
        count = len(np.unique(values))
        within.append(abs(found["distinct_value"] - count) <= subject.exactness.bound * count)
    return within


def cut_and_merge(subject: Merge, values: NDArray[Any], cut: int) -> dict[str, Any]:
    """Merges the values in random slices, some of them empty, in random order."""
    rng = np.random.default_rng(cut)
    slices = np.split(values, np.sort(rng.integers(0, len(values), int(rng.integers(0, 20)))))
    order = rng.permutation(len(slices))
    plan = Merges(subject)
    partials = [plan.lift(pa.table({"value": slices[place]})) for place in order]
    half = len(partials) // 2
    both = [plan.combine(partials[:half]), plan.combine(partials[half:])]
    (row,) = plan.finish(plan.combine(both)).to_pylist()
    answer: dict[str, Any] = row
    return answer


@pytest.mark.parametrize(
    ("law", "exactness"),
    [
        (law_ranks_are_found_within_their_error, batch.quantiles("value").exactness),
        (law_distinct_values_are_counted_within_their_error, batch.distinct("value").exactness),
    ],
)
def test_a_sketch_keeps_its_error_as_often_as_it_says(
    law: Callable[[int], list[bool]], exactness: Exactness, prove_scale: int
) -> None:
    within = [kept for seed in range(prove_scale) for kept in law(seed)]
    assert len(within) >= 100 * prove_scale
    assert 0.9 < exactness.confidence < 1
    assert sum(within) >= exactness.confidence * len(within)


def test_a_rank_that_is_off_is_found() -> None:
    expected = Ranked([0.0, 1.0, 1.0, 3.0], (0.5, 1.0))
    assert is_within(rank_error(0.01), [1.0, 3.0], expected)
    assert is_within(rank_error(0.25), [3.0, 1.0], expected)
    assert not is_within(rank_error(0.24), [1.0, 1.0], expected)
    assert not is_within(rank_error(0.24), [3.0, 3.0], expected)


class RoundingSum(Sum):
    """A sum as it is usually written: the law must find it."""

    def lift(self, batch: pa.RecordBatch, group: pa.Int32Array, groups: int) -> pa.RecordBatch:
        values = batch.column(self.column).fill_null(0.0).to_numpy(zero_copy_only=False)
        sums = np.bincount(group.to_numpy(), values, groups)
        return super().lift(
            pa.RecordBatch.from_pydict({self.column: sums}),
            pa.array(np.arange(groups), pa.int32()),
            groups,
        )


def test_a_merge_that_rounds_is_found() -> None:
    rounding = Subject(RoundingSum("sum_cancelling", "cancelling"), SUM_OF_CANCELLING.reference)
    for law in (law_any_cut_gives_the_answer, law_all_cuts_agree_to_the_last_bit):
        law(SUM_OF_CANCELLING, draw_rows(0), 0)
        with pytest.raises(AssertionError):
            law(rounding, draw_rows(0), 0)


def test_every_kind_of_merge_is_enrolled() -> None:
    kinds = {type(subject.merge).__name__ for subject in ENROLLED}
    assert kinds == {
        "Calibration",
        "Classification",
        "ConfusionMatrix",
        "Count",
        "Distinct",
        "Extreme",
        "Histogram",
        "Latest",
        "Loss",
        "Mean",
        "Quantiles",
        "Ranking",
        "Regression",
        "Sum",
        "Top",
        "Variance",
    }
    assert len(ENROLLED) == len({name_of(subject) for subject in ENROLLED}) == 40
    assert len(LAWS) == 5
