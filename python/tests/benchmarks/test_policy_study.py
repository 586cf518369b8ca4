"""The pure parts of the policy benchmark: matching goodput, and what the cases say together."""

from __future__ import annotations

import pytest

from benchmarks.policy._cases import CLIENTS, LENGTHS, Case, cases, padded_cases, play
from benchmarks.policy._command import markdown, result, spread
from benchmarks.policy._study import Point, Verdict, at_goodput, verdict

CASE = Case("closed", {"line": {"a": 0.01, "b": 1.0}}, 1.0, 39.0, clients=4, turnaround_ms=0.3)


def test_there_are_open_closed_and_mixed_cases_for_every_cost() -> None:
    everything = list(cases())
    assert {case.kind for case in everything} == {"open", "closed", "mixed"}
    assert len(everything) == 6 * (5 + 4 * len(CLIENTS) + 6)
    assert len({(case.cost, case.name) for case in everything}) == len(everything)


def test_records_of_different_lengths_are_a_family_of_their_own() -> None:
    everything = list(padded_cases())
    assert {case.kind for case in everything} == {"lengths"}
    assert len({(case.cost, case.name) for case in everything}) == len(everything) == 4 * (4 + 3)
    assert everything[0].cost == "0.0001 n length + 1 ms"
    sources = play(everything[-1], "tei")["workload"]["sources"]
    assert [source["request"] for source in sources] == [{"lengths": LENGTHS}]


def test_closed_clients_are_slowed_down_and_open_ones_are_not() -> None:
    slower = play(CASE, "tei", 2.0)["workload"]["sources"]
    assert [source["timing"]["closed"]["turnaround_ms"] for source in slower] == [0.6]


def test_a_point_between_two_goodputs_is_between_them() -> None:
    points = [Point(1.0, 10.0, 20.0), Point(3.0, 30.0, 60.0)]
    assert at_goodput(points, 2.0) == Point(2.0, 20.0, 40.0)
    assert at_goodput(points, 9.0) == points[1]
    assert at_goodput(points, 0.1) == points[0]


def test_the_verdict_is_the_worst_of_all_delays_at_their_goodput() -> None:
    fixed = [Point(1.0, 10.0, 10.0), Point(2.0, 10.0, 40.0)]
    paced = [Point(1.0, 9.0, 9.0), Point(2.0, 11.0, 20.0)]
    seen = verdict(CASE, [0.0, 0.5], fixed, (paced, Point(3.0, 5.0, 5.0)))
    assert seen.mean == pytest.approx(1.1)
    assert seen.p99 == pytest.approx(0.9)
    assert (seen.mean_delay, seen.p99_delay) == (0.5, 0.0)


def test_a_goodput_that_is_equal_already_is_compared_as_it_is() -> None:
    fixed = [Point(2.0, 10.0, 10.0)]
    seen = verdict(CASE, [0.0], fixed, ([Point(2.0, 99.0, 99.0)], Point(2.01, 10.0, 11.0)))
    assert seen.mean == pytest.approx(1.0)
    assert seen.p99 == pytest.approx(1.1)


def test_nine_in_ten_do_not_exceed_the_middle_figure() -> None:
    seen = spread([float(number) for number in range(1, 11)])
    assert (seen.median, seen.nine_in_ten, seen.worst) == (5.5, 9.0, 10.0)


def test_the_page_names_every_case_above_the_floor() -> None:
    def each(kind: str, p99: float) -> Verdict:
        return Verdict(kind, "a n + b", f"{kind} load", 1.0, 0.0, p99, 0.0, 1.0, 1.5)

    page = markdown(result([each("open", 1.0), each("closed", 1.2), each("mixed", 1.05)]))
    assert "Cases above the floor: 1." in page
    assert "- closed, a n + b, closed load: mean 1.00, p99 1.20" in page
