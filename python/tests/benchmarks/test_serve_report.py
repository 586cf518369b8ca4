from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import msgspec
import pytest

from benchmarks.serve._figures import Costs, Turn
from benchmarks.serve._machine import Machine, Neighbours
from benchmarks.serve._pictures import pictures
from benchmarks.serve._readings import Failed, Footprint, ModelCosts, Reading, Seen
from benchmarks.serve._report import Facts, Result, disturbances, result
from benchmarks.serve._tables import grids, markdown, servers

if TYPE_CHECKING:
    from collections.abc import Callable

COSTS = Costs(parse_us=1.0, kernel_us_per_call={1: 6.0, 32: 32.0})
QUIET = Neighbours(load_average_1m=0.1, busy_share=0.01, steal_share=0.0)
FACTS = Facts(
    date="2026-01-02T03:04:05Z",
    commit="0123456789",
    suite="quick",
    parts=["rounds"],
    servers=["shoal", "mosec", "echo"],
    machine=Machine("Processor", 2, 8 * 2**30, "6.1", "System 12"),
    neighbours=QUIET,
    versions={"wrk": "4.1.0"},
    rounds={"rounds": 1},
    seconds=5.0,
)


@pytest.fixture
def seen(turn: Callable[..., Turn]) -> Result:
    turns = [
        turn("shoal", 1, 60_000, 60, COSTS),
        turn("mosec", 1, 20_000, 2_000),
        turn("echo", 1, 100_000, 35),
    ]
    return result(FACTS, Seen(turns=turns))


def test_the_table_names_every_server_and_the_limit(seen: Result) -> None:
    assert [cells[0] for cells in servers(seen)] == ["shoal", "mosec", "echo", "limit"]


def test_a_peer_is_told_how_much_faster_shoal_is(seen: Result) -> None:
    ratio = {cells[0]: cells[-1] for cells in servers(seen)}
    assert ratio == {"shoal": "", "mosec": "3.00x", "echo": "0.60x", "limit": "0.72x"}


def test_a_bound_that_is_not_reached_is_said_plainly(seen: Result) -> None:
    text = markdown(seen)
    times = "| the same, times mosec | 3.00 (3.00 to 3.00) | >= 3.5 | NOT reached | >= 5 |"
    alone = "us above echo and a kernel of one row | 19.00 (19.00 to 19.00) | <= 10 | NOT reached"
    assert times in text
    assert alone in text


def test_a_result_survives_its_file(seen: Result) -> None:
    assert msgspec.json.decode(msgspec.json.encode(seen), type=Result) == seen


def test_the_picture_is_well_formed_and_has_one_bar_per_line(seen: Result) -> None:
    picture = ElementTree.fromstring(pictures(seen)["throughput"])
    assert len(picture.findall("{http://www.w3.org/2000/svg}path")) == 4


def test_a_quiet_machine_is_not_blamed(seen: Result) -> None:
    assert disturbances(QUIET, seen.seen) == []


def test_only_the_table_of_a_disturbed_run_warns_against_quoting_it(seen: Result) -> None:
    disturbed = msgspec.structs.replace(seen, disturbances=["others used 50% of the machine"])
    assert "do not quote" not in markdown(seen)
    assert markdown(disturbed).startswith("**The machine was not quiet: do not quote.**")
    assert "- Disturbed: others used 50% of the machine" in markdown(disturbed)


def test_neighbours_a_thieving_host_and_a_saturated_generator_are_named(seen: Result) -> None:
    many = msgspec.structs.replace(
        seen.seen.turns[0].many,
        foreign_cpu_share=0.5,
        steal_share=0.02,
        generator_cpu_share=0.99,
        server_cpu_share=0.9,
    )
    disturbed = msgspec.structs.replace(seen.seen.turns[0], many=many)
    busy = Neighbours(load_average_1m=1.9, busy_share=0.9, steal_share=0.0)
    assert disturbances(busy, Seen(turns=[disturbed])) == [
        "others used 90% of the machine before the run (load average 1.90)",
        "round 1, shoal: others used 50% of the machine",
        "round 1, shoal: the load generator was at its limit, the server was not",
        "round 1, shoal: the host took 2% of the machine",
    ]


@pytest.fixture
def whole(seen: Result, reading: Callable[..., Reading]) -> Result:
    """A run with a value of every kind."""
    readings = [
        reading("shoal", 1, 40_000),
        reading("mosec", 1, 10_000),
        reading("shoal", 1, 10_000, form="binary", rows_per_request=64),
        reading("shoal", 1, 30_000, part="loads", connections=8),
        *(
            reading("shoal", 1, 10_000 * share, part="loads", offered_share=share, offered_per_s=r)
            for share, r in ((0.5, 20_000.0), (1.5, 60_000.0))
        ),
    ]
    costs = Costs(parse_us=1.0, kernel_us_per_call={1: 6.0, 64: 64.0})
    everything = Seen(
        turns=seen.seen.turns,
        readings=readings,
        model_costs=[ModelCosts("digits", 1, costs)],
        footprints=[Footprint("shoal", "", 1, 0.3, 60, 100, 90, 0.0004, 20.0)],
        failures=[Failed("ray", "wait 10 ms", "trial", "no ready line;\nlog | ended")],
    )
    parts = ["rounds", "loads", "forms", "footprint"]
    return result(msgspec.structs.replace(FACTS, parts=parts), everything)


def test_a_table_is_shown_only_if_it_has_a_row(seen: Result, whole: Result) -> None:
    assert [grid.title.split(":")[0] for grid in grids(seen)] == [
        "one core, one row per request, median (least to greatest)",
        "floors and goals",
    ]
    assert len(grids(whole)) == 6
    assert all(len(cells) == len(grid.header) for grid in grids(whole) for cells in grid.rows)


def test_a_peer_that_failed_is_named_with_its_reason_on_one_line(whole: Result) -> None:
    assert "| ray (wait 10 ms) | trial | no ready line; log / ended |" in markdown(whole)


def test_a_form_with_many_rows_is_counted_in_rows(whole: Result) -> None:
    text = markdown(whole)
    assert "| digits | binary, 64 rows | shoal | 640,000 (640,000 to 640,000) |" in text
    assert "| digits | 64 rows | a loop over the kernel | 1,000,000 (1,000,000" in text
    assert text.count("4.00x") == 1


def test_loads_are_told_by_connections_or_by_what_was_offered(whole: Result) -> None:
    text = markdown(whole)
    assert "| shoal | json | 8 connections | 30,000 (30,000 to 30,000) |" in text
    assert "| shoal | json | 150% offered |" in text


def test_a_whole_run_has_a_picture_of_each_kind_and_all_are_well_formed(whole: Result) -> None:
    drawn = pictures(whole)
    assert list(drawn) == ["throughput", "latency", "json", "binary"]
    for picture in drawn.values():
        ElementTree.fromstring(picture)
    circles = ElementTree.fromstring(drawn["latency"]).findall("{http://www.w3.org/2000/svg}circle")
    assert len(circles) == 2


def test_a_whole_result_survives_its_file(whole: Result) -> None:
    assert msgspec.json.decode(msgspec.json.encode(whole), type=Result) == whole


def test_a_reading_in_a_noisy_minute_is_named_with_its_load(
    whole: Result, reading: Callable[..., Reading]
) -> None:
    noisy = reading("shoal", 2, 1_000, offered_share=0.5, connections=256)
    window = msgspec.structs.replace(noisy.window, foreign_cpu_share=0.3)
    seen = Seen(readings=[msgspec.structs.replace(noisy, window=window)])
    assert disturbances(QUIET, seen) == [
        "round 2, shoal, digits, json, 256 connections, 50% offered: others used 30% of the machine"
    ]
