from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from benchmarks.serve import _rounds
from benchmarks.serve._command import _suite
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._figures import Spread, Trial
from benchmarks.serve._loads import CONNECTIONS, OFFERED_SHARES, _Cell, _under_loads, shoal_rows
from benchmarks.serve._material import Material
from benchmarks.serve._plot import Bar, Curve, axis, bars, curves
from benchmarks.serve._readings import Failed, Reading
from benchmarks.serve._rounds import Plan, attempt, choose
from benchmarks.serve._servers import PEERS, SERVERS, Server
from benchmarks.serve._suites import PARTS, SUITES, best_of_each
from benchmarks.serve._window import Cores

if TYPE_CHECKING:
    from collections.abc import Callable

MATERIAL = Material("digits", Path("nowhere"), [[0.0]], [0])
SETTINGS = [
    Server("mosec", "default", (), wait_us=10_000, is_default=True),
    Server("mosec", "quick", (), wait_us=1_000),
    Server("mosec", "broken", (), wait_us=0),
]


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def plan(said: list[str]) -> Plan:
    return Plan({"digits": MATERIAL}, Cores(0, 1), 1, 1.0, said.append)


def test_every_suite_is_made_of_known_parts_and_servers() -> None:
    for suite in SUITES.values():
        assert set(suite.rounds) <= set(PARTS)
        assert set(suite.servers) <= set(SERVERS)
    assert set(SUITES["full"].rounds) == set(PARTS)
    assert set(PEERS) < set(SUITES["full"].servers)


def test_only_the_forms_need_more_than_one_model() -> None:
    assert SUITES["quick"].models == ("digits",)
    assert SUITES["full"].models == ("digits", "forest", "cnn")


def test_options_change_a_suite() -> None:
    short = _suite("full", 1, 2.0, "shoal,echo")
    assert set(short.rounds.values()) == {1}
    assert (short.seconds, short.servers) == (2.0, ("shoal", "echo"))
    assert _suite("peers", 0, 5.0, "") == SUITES["peers"]


@pytest.mark.parametrize(
    ("suite", "servers", "words"),
    [("everything", "", "unknown suite 'everything'"), ("quick", "shoal,nginx", r"\['nginx'\]")],
)
def test_what_is_not_known_is_refused_by_name(suite: str, servers: str, words: str) -> None:
    with pytest.raises(BenchmarkError, match=words):
        _suite(suite, 0, 5.0, servers)


def test_a_peer_that_fails_is_marked_and_the_run_goes_on(plan: Plan, said: list[str]) -> None:
    def fails() -> int:
        raise ConnectionResetError("gone")

    seen = attempt(plan, SETTINGS[0], "round 1", fails)
    assert seen == Failed("mosec", "default", "round 1", "ConnectionResetError: gone")
    assert said == ["FAILED round 1, mosec (default): gone"]
    assert attempt(plan, SETTINGS[0], "round 1", lambda: 5) == 5


def test_without_shoal_or_echo_the_run_is_given_up(plan: Plan) -> None:
    def fails() -> int:
        raise ConnectionResetError("gone")

    for name in ("shoal", "echo"):
        with pytest.raises(BenchmarkError, match=f"round 1, {name}: gone"):
            attempt(plan, replace(SETTINGS[0], name=name), "round 1", fails)


def test_a_setting_that_fails_is_named_and_the_others_are_compared(
    plan: Plan, monkeypatch: pytest.MonkeyPatch
) -> None:
    def trial(_: Plan, __: Material, server: Server) -> Trial:
        if server.setting == "broken":
            raise BenchmarkError("no ready line")
        return Trial(server.name, server.setting, 100.0)

    monkeypatch.setattr(_rounds, "_trial", trial)
    chosen, trials, failures = choose(plan, MATERIAL, SETTINGS)
    assert [server.setting for server in chosen] == ["quick", "default"]
    assert [trial.setting for trial in trials] == ["default", "quick"]
    assert [failed.setting for failed in failures] == ["broken"]
    assert choose(plan, MATERIAL, [SETTINGS[2], SETTINGS[2]])[0] == []


def test_other_parts_take_the_best_setting_of_each_server_and_no_echo() -> None:
    echo = Server("echo", "", ())
    assert best_of_each([SETTINGS[1], SETTINGS[0], echo]) == [SETTINGS[1]]


def test_an_axis_ends_at_the_powers_of_ten_around_its_values() -> None:
    across = axis([20.0, 4_000.0], 0, 300)
    assert (across.first, across.last) == (1, 4)
    assert across.px(100.0) == pytest.approx(100)
    assert [words for _, words in across.ticks()] == ["10", "100", "1,000", "10,000"]
    assert axis([10.0], 0, 100).last == 2


def test_pictures_have_a_sheet_of_their_own_for_dark_pages() -> None:
    drawn = [
        bars("bars", [Bar("<one>", Spread(2.0, 1.0, 3.0), is_own=True)]),
        curves("curves", "x", "y", [Curve("one", [(1.0, 2.0), (10.0, 20.0)])]),
    ]
    for picture in drawn:
        sheet = ElementTree.fromstring(picture)[0]
        assert sheet.attrib["fill"] == "#ffffff"
        assert {"width", "height"} < set(sheet.keys())


class _Visited:
    """Stands for a server that answers 1,000 requests per second, or fails in one load."""

    def __init__(self, reading: Callable[..., Reading], fails_at: int) -> None:
        self.reading, self.fails_at = reading, fails_at
        self.target = self
        self.server = SETTINGS[0]
        self.asked: list[_Cell] = []

    def take(self, cell: _Cell) -> Reading | Failed:
        self.asked.append(cell)
        if cell.connections == self.fails_at and cell.offered_per_s is None:
            return Failed("mosec", "default", cell.words, "gone")
        return self.reading("mosec", 1, 1_000, part="loads", connections=cell.connections)


def test_an_open_loop_is_offered_shares_of_what_the_server_did_before(
    reading: Callable[..., Reading],
) -> None:
    visited = _Visited(reading, fails_at=256)
    seen = _under_loads(visited)  # type: ignore[arg-type]  # what it uses of a visit
    offered = [cell.offered_per_s for cell in visited.asked if cell.offered_per_s]
    assert offered == [1_000 * share for share in OFFERED_SHARES]
    assert [one.where for one in seen if isinstance(one, Failed)] == ["json, 256 connections"]


def test_without_a_capacity_there_is_nothing_to_offer(reading: Callable[..., Reading]) -> None:
    visited = _Visited(reading, fails_at=64)
    assert len(_under_loads(visited)) == len(CONNECTIONS)  # type: ignore[arg-type]  # as above


def test_the_kernel_is_measured_with_the_batches_that_shoal_made(
    reading: Callable[..., Reading],
) -> None:
    seen = [
        reading("mosec", 1, 1, batch_rows_mean=9.0),
        reading("shoal", 1, 1, form="grpc", batch_rows_mean=5.0),
        reading("shoal", 1, 1, batch_rows_mean=31.5),
    ]
    assert shoal_rows(seen) == 31.5
    assert shoal_rows(seen[:2]) == 1.0
