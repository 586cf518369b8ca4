"""What the benchmark of tasks sends, and what it says of what it has seen."""

from __future__ import annotations

from typing import TYPE_CHECKING
from xml.etree import ElementTree

import msgspec
import numpy as np
import pytest

from benchmarks.serve._figures import Costs
from benchmarks.serve._machine import Machine, Neighbours
from benchmarks.tasks._figures import Facts, Kernel, Measured, Result, Seen, Sizes, Turn
from benchmarks.tasks._lines import LINES, bounds
from benchmarks.tasks._mixed import KINDS, ROWS, table
from benchmarks.tasks._protocols import MANY_JSON, MANY_PROTOBUF, ONE_JSON, PROTOCOLS
from benchmarks.tasks._report import disturbances, markdown, picture
from benchmarks.tasks._ways import PARTS, WAYS, Way
from shoal import serve
from shoal.client import Client
from tests.end_to_end.driver import ask

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.end_to_end.models import Sealed

QUIET = Neighbours(load_average_1m=0.1, busy_share=0.01, steal_share=0.0)
FACTS = Facts(
    date="2026-01-02T03:04:05+00:00",
    commit="0123456789abcdef",
    is_changed=False,
    machine=Machine("Processor", 2, 8 * 2**30, "6.1", "System 12"),
    neighbours=QUIET,
    versions={"python": "3.11.7"},
    rounds=2,
    seconds=3.0,
)
COSTS = Costs(parse_us=1.0, kernel_us_per_call={1: 6.0, 64: 64.0})


def turn(way: str, number: int, tasks_per_s: float, **differing: object) -> Turn:
    plain = Turn(
        way=way,
        round=number,
        seen=Seen(int(tasks_per_s), 1.0, 1e6 / tasks_per_s),
        server_us_per_task=4.5,
        batch_rows_mean=64.0,
        others_share=0.01,
        steal_share=0.0,
    )
    return msgspec.structs.replace(plain, **differing)


def seen_by(way: Way, number: int) -> Turn:
    alone = Seen(tasks=1000, seconds=1.0, p50_us=1000.0, off_p50_us=1000.0)
    plain = turn(way.title, number, 1000.0)
    return msgspec.structs.replace(plain, seen=alone) if way.part == "alone" else plain


def result(turns: list[Turn], kernels: list[Kernel] | None = None) -> Result:
    measured = Measured(turns, kernels or [], {"arrow": Sizes(1_000_000, 2_000_000)})
    return Result(FACTS, measured, bounds(measured))


def value(seen: Result, words: str) -> tuple[float, bool, bool]:
    """The median of the line with these words, and whether floor and goal are reached."""
    (bound,) = [one for one in seen.bounds if words in one.sentence]
    assert bound.value is not None
    return bound.value.median, bound.floor_reached, bound.goal_reached


@pytest.fixture(scope="module")
def server(digits: Sealed) -> Iterator[serve.Server]:
    with serve.start(digits.path, options=serve.Options(profile_cache="off")) as started:
        yield started


@pytest.mark.parametrize("name", PROTOCOLS)
def test_a_real_server_takes_what_is_sent_and_its_labels_are_read(
    server: serve.Server, digits: Sealed, name: str
) -> None:
    protocol = PROTOCOLS[name]
    rows = digits.rows[: protocol.rows]
    body = protocol.body(rows)
    reply = ask(server.http, "POST", protocol.path, body, headers=protocol.headers(body))
    assert reply.status == 200, reply.body
    assert protocol.labels(reply.body) == digits.labels[: protocol.rows]


def test_envelopes_of_both_forms_say_the_same(digits: Sealed) -> None:
    assert ONE_JSON.rows == 1
    assert MANY_JSON.rows == MANY_PROTOBUF.rows == 64
    raw = np.asarray(digits.rows[:64], "<f4").tobytes()
    assert all(raw[at : at + 256] in MANY_PROTOBUF.body(digits.rows[:64]) for at in (0, 256))


def test_the_large_table_has_ten_thousand_rows_of_twenty_columns_of_all_kinds() -> None:
    made = table()
    assert (made.num_rows, made.num_columns) == (ROWS, 20)
    assert len({str(column.type) for column in made.columns}) == len(KINDS) == 7
    assert any(column.null_count for column in made.columns)


def test_every_way_is_compared_and_every_line_is_measured() -> None:
    assert {way.part for way in WAYS} == set(PARTS)
    assert len({way.title for way in WAYS}) == len(WAYS)
    turns = [seen_by(way, number) for way in WAYS for number in (1, 2)]
    seen = result(turns, [Kernel(way.title, number, COSTS) for way in WAYS for number in (1, 2)])
    assert len(seen.bounds) == len(LINES)
    assert all(bound.value is not None for bound in seen.bounds)


def test_a_line_is_the_median_of_what_each_round_says_by_itself() -> None:
    seen = result(
        [
            turn("envelope: wrk, one envelope", 1, 1000.0),
            turn("envelope: wrk, 64 requests at once", 1, 100.0),
            turn("envelope: wrk, one envelope", 2, 1600.0),
            turn("envelope: wrk, 64 requests at once", 2, 200.0),
        ]
    )
    assert value(seen, "requests at once, tasks/s: wrk") == (9.0, True, False)


def test_one_caller_is_compared_by_how_long_it_waits() -> None:
    waits = Seen(tasks=2000, seconds=1.0, p50_us=1062.5, off_p50_us=1000.0)
    seen = result([turn("alone: python, on and off", 1, 2000.0, seen=waits)])
    assert value(seen, "p50: python") == (1.0625, True, False)
    assert "on 1,062 (1,062 to 1,062), off 1,000 (1,000 to 1,000)" in markdown(seen)


def test_the_quicker_of_both_counts_of_ours_and_of_the_peers() -> None:
    rates = {
        "shoal, on": 900.0,
        "shoal over gRPC, on": 600.0,
        "tritonclient.http.aio": 100.0,
        "tritonclient.grpc.aio": 300.0,
    }
    seen = result([turn(f"triton: {name}", 1, rate) for name, rate in rates.items()])
    assert value(seen, "micro-batching on: the quicker") == (3.0, True, False)


def test_the_kernel_is_taken_off_what_the_server_used() -> None:
    way = "server: envelope, JSON"
    slow = msgspec.structs.replace(COSTS, kernel_us_per_call={64: 640.0})
    kernels = [Kernel(way, 1, COSTS), Kernel("server: envelope, protobuf", 1, slow)]
    seen = result([turn(way, 1, 1.0, server_us_per_task=4.5)], kernels)
    assert value(seen, "above its kernel, 1 in flight: JSON") == (3.5, True, False)


def test_ways_that_are_no_rates_have_no_picture() -> None:
    assert picture(result([turn("server: envelope, JSON", 1, 1.0)])) is None


def test_a_line_without_a_value_is_not_reached_and_says_so() -> None:
    seen = result([])
    assert not any(bound.floor_reached or bound.goal_reached for bound in seen.bounds)
    assert markdown(seen).count("not measured") == len(LINES)


def test_a_run_that_others_disturbed_is_not_to_be_quoted() -> None:
    way = "callers: python, on"
    quiet = result([turn(way, 1, 1000.0)])
    assert disturbances(quiet) == []
    assert "do not quote" not in markdown(quiet)
    others = result([turn(way, 1, 1000.0, others_share=0.2)])
    assert disturbances(others) == [f"{way}: others used up to 20% of the machine"]
    assert markdown(others).startswith("**The machine was not quiet")
    stolen = result([turn(way, 1, 1000.0, steal_share=0.02)])
    assert disturbances(stolen) == [f"{way}: the host took up to 2.0% of the time"]


def test_the_page_names_machine_date_commit_and_bytes() -> None:
    page = markdown(result([turn("callers: python, on", 1, 1000.0)]))
    for words in ("2026-01-02T03:04:05", "0123456789", "Processor", "2 cores", "python 3.11.7"):
        assert words in page
    assert "| arrow | 1.00 | 2.00 |" in page
    assert "others used 1.0% of the machine" in page


def test_the_picture_has_a_bar_for_each_way_that_sends_single_rows() -> None:
    turns = [turn(way.title, 1, 1000.0) for way in WAYS]
    drawn = ElementTree.fromstring(picture(result(turns)) or "")
    bars = [each for each in drawn.iter() if each.tag.endswith("rect")]
    single = [way for way in WAYS if way.part in {"envelope", "callers", "triton"}]
    assert len(bars) == len(single) + 1  # and the sheet


def test_the_table_model_gives_all_columns_back(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    from benchmarks.tasks import _mixed

    place = tmp_path_factory.mktemp("mixed") / "mixed"
    _mixed.seal(place)
    asked = table().slice(0, 100)
    with (
        serve.start(place, options=serve.Options(profile_cache="off")) as started,
        Client(f"http://{started.http}") as client,
    ):
        answer = client.predict("mixed", asked)
    assert (answer.rows, len(answer.columns)) == (100, 20)
    assert answer["fp64_0 back"].to_list() == asked["fp64_0"].to_pylist()
    missing = [value is None for value in asked["int64_0"].to_pylist()]
    assert [value == -1 for value in answer["int64_0 back"].to_list()] == missing
