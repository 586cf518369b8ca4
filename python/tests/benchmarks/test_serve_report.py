from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks.serve._figures import Costs, Turn
from benchmarks.serve._machine import Machine, Neighbours
from benchmarks.serve._plot import svg
from benchmarks.serve._report import Facts, Result, disturbances, markdown, result, rows

if TYPE_CHECKING:
    from collections.abc import Callable

COSTS = Costs(parse_us=1.0, kernel_us_per_call={1: 6.0, 32: 32.0})
QUIET = Neighbours(load_average_1m=0.1, busy_share=0.01, steal_share=0.0)
FACTS = Facts(
    date="2026-01-02T03:04:05Z",
    commit="0123456789",
    machine=Machine("Processor", 2, 8 * 2**30, "6.1", "System 12"),
    neighbours=QUIET,
    versions={"wrk": "4.1.0"},
    rounds=1,
    seconds=5.0,
)


@pytest.fixture
def seen(turn: Callable[..., Turn]) -> Result:
    turns = [
        turn("shoal", 1, 60_000, 60, COSTS),
        turn("mosec", 1, 20_000, 2_000),
        turn("echo", 1, 100_000, 35),
    ]
    return result(FACTS, turns, [])


def test_the_table_names_every_server_and_the_limit(seen: Result) -> None:
    assert [cells[0] for cells in rows(seen)] == ["shoal", "mosec", "echo", "limit"]


def test_a_peer_is_told_how_much_faster_shoal_is(seen: Result) -> None:
    ratio = {cells[0]: cells[-1] for cells in rows(seen)}
    assert ratio == {"shoal": "", "mosec": "3.00x", "echo": "0.60x", "limit": "0.72x"}


def test_a_bound_that_is_not_reached_is_said_plainly(seen: Result) -> None:
    text = markdown(seen)
    assert "- floor: requests/s, times mosec: 3.00 (3.00 to 3.00), bound 2.5: reached" in text
    assert "- goal: requests/s, share of the limit: 0.72" in text
    assert "bound 0.75: NOT reached" in text


def test_a_result_survives_its_file(seen: Result) -> None:
    assert msgspec.json.decode(msgspec.json.encode(seen), type=Result) == seen


def test_the_picture_is_well_formed_and_has_one_bar_per_line(seen: Result) -> None:
    picture = ElementTree.fromstring(svg(seen))
    assert len(picture.findall("{http://www.w3.org/2000/svg}path")) == 4


def test_a_quiet_machine_is_not_blamed(seen: Result) -> None:
    assert disturbances(QUIET, seen.turns) == []


def test_only_the_table_of_a_disturbed_run_warns_against_quoting_it(seen: Result) -> None:
    disturbed = msgspec.structs.replace(seen, disturbances=["others used 50% of the machine"])
    assert "do not quote" not in markdown(seen)
    assert markdown(disturbed).startswith("**The machine was not quiet: do not quote.**")
    assert "- Disturbed: others used 50% of the machine" in markdown(disturbed)


def test_neighbours_a_thieving_host_and_a_saturated_generator_are_named(seen: Result) -> None:
    many = msgspec.structs.replace(
        seen.turns[0].many,
        foreign_cpu_share=0.5,
        steal_share=0.02,
        generator_cpu_share=0.99,
        server_cpu_share=0.9,
    )
    disturbed = msgspec.structs.replace(seen.turns[0], many=many)
    busy = Neighbours(load_average_1m=1.9, busy_share=0.9, steal_share=0.0)
    assert disturbances(busy, [disturbed]) == [
        "others used 90% of the machine before the run (load average 1.90)",
        "round 1, shoal: others used 50% of the machine",
        "round 1, shoal: the load generator was at its limit, the server was not",
        "round 1, shoal: the host took 2% of the machine",
    ]
