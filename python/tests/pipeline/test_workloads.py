"""The queries of Nexmark and YSB, in small epochs from many files: what DuckDB answers over all."""

from __future__ import annotations

import functools
from dataclasses import replace
from threading import Event
from typing import TYPE_CHECKING

import pytest

from benchmarks.streams import _nexmark, _ysb
from benchmarks.streams._answers import Oracle
from benchmarks.streams._queries import QUERIES
from benchmarks.streams._shape import Shape, write
from shoal.pipeline import Options
from shoal.source import ParquetSink, folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shoal.pipeline import Pipeline, Result

# A day ends after 40 seconds of events.
BEFORE_MIDNIGHT_US = 1_437_004_760_000_000
DENSE = Shape(200_000, 6, 4_000, 2_000, BEFORE_MIDNIGHT_US)
# Few events in each window: many auctions and bids share the first place, and sessions end.
SPARSE = Shape(20_000, 6, 500, 1, BEFORE_MIDNIGHT_US)
OPTIONS = Options(workers=2, epoch_bytes=100_000)
SHAPES = {"dense": DENSE, "sparse": SPARSE}


class Events:
    """Events of one shape, and the oracle that knows what is to be answered."""

    def __init__(self, place: Path, shape: Shape, *, is_ysb: bool) -> None:
        self.folder, self.shape = place / "events", shape
        make = functools.partial(_ysb.events, skew=True) if is_ysb else _nexmark.events
        write(self.folder, shape, make)
        self.oracle = Oracle(self.folder)


@pytest.fixture(scope="module", params=SHAPES)
def nexmark(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Events]:
    place = tmp_path_factory.mktemp("nexmark")
    events = Events(place, SHAPES[request.param], is_ysb=False)
    with events.oracle:
        yield events


@pytest.fixture(scope="module")
def ysb(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Events]:
    events = Events(tmp_path_factory.mktemp("ysb"), DENSE, is_ysb=True)
    with events.oracle:
        yield events


def built(query: str, events: Events, answers: Path) -> Pipeline:
    return QUERIES[query](events.folder).to(ParquetSink(folder(str(answers))))


def check(query: str, events: Events, place: Path) -> None:
    outcome = built(query, events, place / "answers").run(place / "ledger", options=OPTIONS)
    assert (outcome.rows_in, outcome.rows_dead) == (events.shape.events, 0)
    assert outcome.rows_out > 0
    assert outcome.epochs > 20
    assert events.oracle.differences(query, place / "answers") == []


@pytest.mark.parametrize("query", [name for name in QUERIES if name != "ysb"])
def test_nexmark_is_answered_as_duckdb_does(query: str, nexmark: Events, tmp_path: Path) -> None:
    check(query, nexmark, tmp_path)


def test_the_yahoo_benchmark_with_late_events_is_answered_as_duckdb_does(
    ysb: Events, tmp_path: Path
) -> None:
    check("ysb", ysb, tmp_path)


@pytest.mark.parametrize("query", ["q0", "q5", "q11"])
def test_a_query_that_was_stopped_in_the_middle_goes_on(
    query: str, nexmark: Events, tmp_path: Path
) -> None:
    reached, stopped = Event(), Event()

    def observe(result: Result) -> None:
        if result.totals[0] > 5_000:  # no epoch is committed until the run was told to stop
            reached.set()
            stopped.wait(30)

    pipeline = built(query, nexmark, tmp_path / "answers")
    quick = replace(OPTIONS, commit_every_seconds=0.01)
    with pipeline.start(tmp_path / "ledger", options=quick, progress=observe) as running:
        assert reached.wait(30)
        running.stop()
        stopped.set()
    outcome = built(query, nexmark, tmp_path / "answers").run(tmp_path / "ledger", options=OPTIONS)
    assert 0 < outcome.rows_now < outcome.rows_in == nexmark.shape.events
    assert nexmark.oracle.differences(query, tmp_path / "answers") == []


def test_the_same_shape_gives_the_same_events_and_another_seed_gives_others() -> None:
    shape, other = Shape(1_000), Shape(1_000, seed=1)
    for make in (_nexmark.events, _ysb.events):
        assert make(shape, 500, 1_000).equals(make(shape, 500, 1_000))
        assert not make(shape, 500, 1_000).equals(make(other, 500, 1_000))


def test_of_fifty_events_one_is_a_person_three_are_auctions_and_the_rest_bids() -> None:
    events = _nexmark.events(Shape(5_000), 0, 5_000)
    assert events["event_type"].to_pylist() == ([0, 1, 1, 1] + [2] * 46) * 100
    for kind, column in enumerate(("person_id", "auction_id", "bid_auction")):
        of_kind = events.filter(events["event_type"].to_numpy() == kind)
        assert of_kind[column].null_count == 0
        assert events[column].null_count == 5_000 - of_kind.num_rows
    assert events["auction_id"].drop_null().to_pylist() == list(range(1_000, 1_300))
    # The id of the first person is added twice, as in the original.
    bidders = events["bid_bidder"].drop_null().to_numpy()
    assert (bidders >= 2_000).all()
    assert 0.7 < ((bidders - 2_000) % 100 == 1).mean() < 0.8
