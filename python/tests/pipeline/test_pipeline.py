"""What users rely on: steps, dead letters, retries, promises, and what a pipeline remembers."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from shoal import batch
from shoal.errors import (
    ConflictError,
    DtypeError,
    InvalidRequestError,
    MissingColumnError,
    PipelineError,
    SinkError,
)
from shoal.pipeline import Ledger, Options, Pipeline, read_status, session, tumbling
from shoal.source import Guarantee, SinkState
from tests.pipeline.parts import (
    FakeClock,
    Memory,
    records,
    run,
    source,
    values,
)
from tests.pipeline.steps import POISON, careful, doubled
from tests.services import until

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from shoal.pipeline import Running
    from shoal.source import Offset, Token

    from .conftest import Records

STEPS = "tests.pipeline.steps"


def test_records_come_out_in_their_order_however_they_are_cut() -> None:
    cut = source(records(1000), rows_of_a_batch=7, cuts=[[1], [333], [2]])
    assert values(run(Pipeline(cut).map(doubled), workers=3)) == [2 * n for n in range(1000)]


def test_a_filter_is_a_function_or_an_expression() -> None:
    by_name = Pipeline(source()).filter(f"{STEPS}:positive")
    assert values(run(by_name)) == list(range(1, 10))
    assert values(run(Pipeline(source()).filter(pc.field("value") > 7))) == [8, 9]


def test_a_function_may_give_more_records_than_it_takes() -> None:
    schema = pa.schema([*records(0).schema, pa.field("half", pa.int64())])
    rows = run(Pipeline(source()).map(f"{STEPS}:split_in_two", schema=schema))
    assert [(row["value"], row["half"]) for row in rows] == [
        (n, h) for n in range(10) for h in (0, 1)
    ]


def test_a_table_puts_its_columns_beside_records_of_the_same_key() -> None:
    names = pa.table({"key": [1], "name": ["odd"]})
    rows = run(Pipeline(source()).lookup(names, on="key"))
    assert values(rows, "name") == [None, "odd"] * 5
    rows = run(Pipeline(source()).lookup(names, on="key", missing="drop"))
    assert values(rows) == [1, 3, 5, 7, 9]


def test_columns_are_chosen_and_renamed() -> None:
    rows = run(Pipeline(source()).select("time", number="value"))
    assert [list(row) for row in rows] == [["time", "number"]] * 10
    assert values(rows, "number") == list(range(10))


def test_a_list_becomes_a_record_for_each_element() -> None:
    lists = pa.RecordBatch.from_pydict(
        {"id": [1, 2, 3, 4], "list": [[{"a": 1, "b": "x"}, {"a": 2, "b": None}], [], None, [None]]}
    )
    rows = run(Pipeline(source(lists)).explode("list"))
    assert rows == [
        {"id": 1, "a": 1, "b": "x"},
        {"id": 1, "a": 2, "b": None},
        {"id": 4, "a": None, "b": None},
    ]
    numbers = pa.RecordBatch.from_pydict({"id": [1, 2], "n": [[1, 2], [3]]})
    assert values(run(Pipeline(source(numbers)).explode("n")), "n") == [1, 2, 3]


def test_the_greatest_of_each_window_come_out_as_records() -> None:
    pipeline = Pipeline(source()).window(tumbling("5s"), on="time")
    rows = run(pipeline.aggregate(batch.top(2, "value", ["key"])).explode("top"))
    assert values(rows) == [4, 3, 9, 8]


def test_a_package_answers_beside_what_goes_along(
    adder: Path, request: pytest.FixtureRequest
) -> None:
    asked: Records = request.getfixturevalue("records")
    part = asked.table.combine_chunks().to_batches()[0]
    pipeline = Pipeline(source(part)).map(adder, columns={"x": ("a", "b", "c", "d")}, keep=["id"])
    rows = run(pipeline)
    assert values(rows, "id") == list(range(len(rows)))
    assert values(rows, "total") == asked.total


@pytest.mark.parametrize(
    ("wrong", "error", "words"),
    [
        (lambda p: p.map("no.module:here"), InvalidRequestError, "no.module"),
        (lambda p: p.map(f"{STEPS}:split_in_two"), InvalidRequestError, "without saying"),
        (lambda p: p.select("none"), MissingColumnError, "'none'"),
        (lambda p: p.explode("none"), MissingColumnError, "'none'"),
        (lambda p: p.explode("value"), DtypeError, "expected lists"),
        (lambda p: p.filter(pc.field("none") > 1), InvalidRequestError, "none"),
        (lambda p: p.filter(pc.field("value")), InvalidRequestError, "expected a truth value"),
        (lambda p: p.filter(lambda records: records), InvalidRequestError, "tried on no records"),
        (lambda p: p.lookup(pa.table({"x": [1]}), on="key"), MissingColumnError, "'key'"),
        (lambda p: p.lookup(pa.table({"key": [1, 1]}), on="key"), InvalidRequestError, "twice"),
        (lambda p: p.key_by("nokey").aggregate(batch.count()), MissingColumnError, "'nokey'"),
        (lambda p: p.window(tumbling("1s")).aggregate(batch.count()), InvalidRequestError, "time"),
        (lambda p: p.window(tumbling("1s"), on="time").map(doubled), InvalidRequestError, "window"),
        (lambda p: p.aggregate(), InvalidRequestError, "count"),
        (lambda p: p.aggregate(batch.mean("no")), MissingColumnError, "'no'"),
        (lambda p: p.map(doubled, keep=["a"]), InvalidRequestError, "packages"),
    ],
)
def test_what_cannot_work_is_refused_before_the_first_record(
    wrong: Any, error: type[Exception], words: str
) -> None:
    taken = source()
    with pytest.raises(error, match=words):
        run(wrong(Pipeline(taken)))
    assert taken.taken == 0


@pytest.mark.parametrize("number", [{"workers": 0}, {"error_rate": 2.0}, {"retry_seconds": -1}])
def test_an_option_out_of_range_is_refused(number: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequestError, match=next(iter(number))):
        Options(**number)


def test_a_window_of_no_length_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="no length"):
        tumbling("ten seconds")


def test_a_poison_record_is_set_aside_and_its_neighbours_arrive(tmp_path: Path) -> None:
    rows = run(Pipeline(source(records(100))).map(careful), tmp_path)
    assert values(rows) == [n for n in range(100) if n != POISON]
    with Ledger.read(tmp_path) as ledger:
        (letter,) = ledger.dead()
    assert letter.reason == "failed"
    assert "unlucky" in letter.message
    assert letter.place == "p0, row 13"
    assert json.loads(letter.record)["value"] == POISON


def test_dead_letters_are_taken_again_once_the_cause_is_mended(tmp_path: Path) -> None:
    liked = source(records(20))
    sink = Memory()
    Pipeline(liked).map(careful).to(sink).run(tmp_path)
    mended = Pipeline(liked).map(doubled).to(sink)
    with pytest.raises(ConflictError, match=r"migrate") as refused:
        mended.run(tmp_path)
    assert "careful" in str(refused.value)
    mended.migrate(tmp_path)
    with Ledger.open(tmp_path) as ledger:
        assert ledger.ask_again(None) == 1
    mended.run(tmp_path)
    assert sorted(values(sink.rows())) == sorted([*(n for n in range(20) if n != 13), 2 * POISON])
    with Ledger.read(tmp_path) as ledger:
        assert ledger.dead_counts() == {}
    mended.run(tmp_path)
    assert len(sink.rows()) == 20


def test_too_many_failures_end_the_run_and_nothing_of_that_epoch_is_seen(tmp_path: Path) -> None:
    bad = pa.RecordBatch.from_pydict({"value": [POISON] * 100})
    with pytest.raises(PipelineError, match=r"100 of 100 records failed.*unlucky"):
        run(Pipeline(source(bad)).map(careful), tmp_path)
    assert read_status(tmp_path).rows_out == 0


def test_a_lost_connection_is_tried_again() -> None:
    tries: list[int] = []

    def shaky(taken: pa.RecordBatch) -> pa.RecordBatch:
        tries.append(taken.num_rows)
        if len(tries) < 5:
            raise ConnectionError
        return taken

    assert values(run(Pipeline(source()).map(shaky, schema=records(0).schema))) == list(range(10))
    assert len(tries) == 5


def test_a_connection_that_stays_lost_ends_the_run_after_the_time_for_it() -> None:
    def gone(_taken: pa.RecordBatch) -> pa.RecordBatch:
        raise TimeoutError

    clock = FakeClock()
    with pytest.raises(Exception, match="TimeoutError"):
        run(Pipeline(source()).map(gone, schema=records(0).schema), clock=clock, retry_seconds=30)
    assert 20 < clock.seconds < 60


def test_a_function_without_a_name_is_refused_where_it_must_be_found_again(tmp_path: Path) -> None:
    pipeline = Pipeline(source()).map(lambda taken: taken)
    assert len(run(pipeline)) == 10
    with pytest.raises(InvalidRequestError, match="lambda"):
        run(pipeline, tmp_path)


class Forgetful(Memory):
    """A sink that says less of itself."""

    def __init__(self) -> None:
        super().__init__(guarantee=Guarantee.AT_LEAST_ONCE)


def test_a_promise_that_cannot_be_kept_is_refused_at_the_start(tmp_path: Path) -> None:
    options = Options(exactly_once=True)
    with pytest.raises(InvalidRequestError, match="Forgetful may store a record twice"):
        Pipeline(source()).to(Forgetful()).run(tmp_path, options=options)
    with pytest.raises(InvalidRequestError, match="cannot be read again"):
        Pipeline(source(replayable=False)).to(Memory()).run(tmp_path, options=options)
    with pytest.raises(InvalidRequestError, match="no ledger"):
        Pipeline(source()).to(Memory()).run(options=options)
    Pipeline(source()).to(Memory()).run(tmp_path, options=options)


def test_an_answer_at_the_end_of_what_has_no_end_is_refused() -> None:
    endless = source(is_bounded=False)
    with pytest.raises(InvalidRequestError, match="has no end"):
        Pipeline(endless).key_by("key").aggregate(batch.count()).to(Memory()).start()


def test_the_source_hears_of_the_last_epoch_also_if_that_run_has_ended(tmp_path: Path) -> None:
    sink = Memory()
    Pipeline(source(records(10))).to(sink).run(tmp_path)
    again = source(records(10))
    Pipeline(again).to(sink).run(tmp_path)
    assert again.seen == [{"p0": 10}]


def test_a_second_runner_is_refused(tmp_path: Path) -> None:
    endless = source(records(0), is_bounded=False)
    with Pipeline(endless).to(Memory()).start(tmp_path):
        with pytest.raises(ConflictError, match="another process"):
            Pipeline(source()).to(Memory()).run(tmp_path)
        assert read_status(tmp_path).is_running
    assert not read_status(tmp_path).is_running


def test_a_run_that_was_done_takes_only_what_is_new(tmp_path: Path) -> None:
    sink = Memory()
    Pipeline(source(records(10))).to(sink).run(tmp_path)
    outcome = Pipeline(source(records(25))).to(sink).run(tmp_path)
    assert values(sink.rows()) == list(range(25))
    assert (outcome.rows_in, outcome.rows_now) == (25, 15)


class Crash(BaseException):
    """The process is gone."""


class Crashing(Memory):
    """A sink whose process ends after a commit, before the ledger hears of it."""

    crashes_left = 1

    def commit(self, epoch: int, start: Offset, end: Offset, tokens: Sequence[Token]) -> None:
        super().commit(epoch, start, end, tokens)
        if epoch == 2 and self.crashes_left:
            self.crashes_left -= 1
            raise Crash


@pytest.mark.parametrize("windowed", [False, True])
def test_an_epoch_that_the_sink_has_and_the_ledger_has_not_is_stored_once(
    tmp_path: Path, *, windowed: bool
) -> None:
    def pipeline() -> Pipeline:
        cut = Pipeline(source(records(40), cuts=[[10], [10], [10]]))
        if windowed:
            cut = cut.key_by("key").window(tumbling("4s"), on="time").aggregate(batch.count())
        return cut

    sink = Crashing()
    options = Options(workers=1, clock=FakeClock())
    with pytest.raises(Crash):
        pipeline().to(sink).run(tmp_path, options=options)
    pipeline().to(sink).run(tmp_path, options=options)
    assert sink.rows() == run(pipeline(), workers=1)


def test_a_ledger_and_a_sink_that_tell_different_stories_are_refused(tmp_path: Path) -> None:
    Pipeline(source()).to(Memory()).run(tmp_path)
    with pytest.raises(ConflictError, match="the sink ends with its epoch 0, the ledger with 1"):
        Pipeline(source()).to(Memory()).run(tmp_path)
    ahead = Memory(state=SinkState(7, {"p0": 70}))
    with pytest.raises(ConflictError, match="epoch 7"):
        Pipeline(source()).to(ahead).run(tmp_path)


def test_an_idle_partition_does_not_hold_windows_back_for_ever() -> None:
    clock = FakeClock()
    quiet = source(records(1), records(30), is_bounded=False, cuts=[[1, 10], [0, 10], [0, 10]])
    sink = Memory()
    pipeline = Pipeline(quiet).window(tumbling("5s"), on="time").aggregate(batch.count())
    options = Options(clock=clock, idle_after_seconds=60, commit_every_seconds=1)
    with pipeline.to(sink).start(options=options):
        until(
            lambda: len(sink.records) and sum(values(sink.rows(), "count")) == 31,
            "all windows are answered",
        )
    # Event time went on with the clock once both were silent, so the last window is closed too.
    assert clock.seconds > 60


def test_a_burst_of_late_records_is_kept_with_its_reason(tmp_path: Path) -> None:
    late = source(pa.concat_batches([records(60), records(30)]), cuts=[[60]])
    pipeline = Pipeline(late).window(tumbling("10s"), on="time", lateness="5s")
    rows = run(pipeline.aggregate(batch.count()), tmp_path)
    with Ledger.read(tmp_path) as ledger:
        letters = ledger.dead()
    assert {letter.reason for letter in letters} == {"late"}
    assert sum(letter.rows for letter in letters) == 30
    assert sum(values(rows, "count")) == 60


def test_a_record_without_a_time_is_set_aside(tmp_path: Path) -> None:
    timeless = pa.RecordBatch.from_pydict({"time": pa.array([None, 5], pa.timestamp("s"))})
    pipeline = Pipeline(source(timeless)).window(session("1s"), on="time").aggregate(batch.count())
    assert values(run(pipeline, tmp_path), "count") == [1]
    with Ledger.read(tmp_path) as ledger:
        assert ledger.dead()[0].code == "null_not_allowed"


def _has_taken(running: Running, rows: int) -> bool:
    return running.totals[0] == rows


def test_state_that_was_stored_many_times_answers_as_if_it_never_was(tmp_path: Path) -> None:
    many = records(600)
    keyed = many.set_column(1, "key", pa.array(np.arange(600) % 97))
    cuts = [[10]] * 60

    def pipeline(taken: pa.RecordBatch) -> Pipeline:
        keyed_by = Pipeline(source(taken, cuts=cuts)).key_by("key")
        return keyed_by.window(session("40s"), on="time").aggregate(batch.sum("value"))

    sink = Memory()
    for rows in (50, 170, 430, 600):
        stopping = Options(clock=FakeClock(), idle_after_seconds=None)
        with pipeline(keyed.slice(0, rows)).to(sink).start(tmp_path, options=stopping) as running:
            until(partial(_has_taken, running, rows), "records are taken")
    pipeline(keyed).to(sink).run(tmp_path)
    assert sink.rows() == run(pipeline(keyed))


def test_a_ledger_does_not_grow_with_its_epochs(tmp_path: Path) -> None:
    sizes = []
    for rows in (300, 600, 900):
        cut = source(records(rows), cuts=[[1]] * 1000)
        pipeline = Pipeline(cut).window(tumbling("5s"), on="time").aggregate(batch.count())
        sink = Memory(owner=None)
        with Ledger.open(tmp_path / str(rows)):
            pass
        pipeline.to(sink).run(tmp_path / str(rows), options=Options(clock=FakeClock()))
        with Ledger.read(tmp_path / str(rows)) as ledger:
            assert len(ledger.results(10_000)) == 100
        sizes.append((tmp_path / str(rows) / "ledger.db").stat().st_size)
    assert sizes[2] <= sizes[1] * 1.2


class Full(Memory):
    """A sink that is full for a while."""

    refusals_left = 3

    def write(self, epoch: int, batches: Iterator[pa.RecordBatch]) -> Token:
        if self.refusals_left:
            self.refusals_left -= 1
            raise SinkError("no space left on device")
        return super().write(epoch, batches)


@pytest.mark.parametrize("windowed", [False, True])
def test_a_sink_that_is_full_is_tried_again_and_nothing_is_lost(*, windowed: bool) -> None:
    sink = Full()
    pipeline = Pipeline(source(records(50)))
    if windowed:
        pipeline = pipeline.window(tumbling("5s"), on="time").aggregate(batch.count())
    pipeline.to(sink).run(options=Options(clock=FakeClock()))
    assert sink.rows() == run(pipeline)


def test_a_sink_that_stays_full_ends_the_run_and_it_goes_on_later(tmp_path: Path) -> None:
    sink = Full()
    sink.refusals_left = 10_000
    pipeline = Pipeline(source(records(50))).to(sink)
    with pytest.raises(SinkError, match="no space"):
        pipeline.run(tmp_path, options=Options(clock=FakeClock()))
    sink.refusals_left = 0
    pipeline.run(tmp_path)
    assert values(sink.rows()) == list(range(50))


class Refusing(Memory):
    """A sink that belongs to somebody else after a while."""

    def commit(self, epoch: int, start: Offset, end: Offset, tokens: Sequence[Token]) -> None:
        if epoch == 2:
            raise ConflictError("it belongs to another pipeline")
        super().commit(epoch, start, end, tokens)


def test_what_ended_a_run_is_said_and_not_that_later_epochs_were_given_up() -> None:
    slow = source(records(2000), rows_of_a_batch=1, cuts=[[100]] * 20)
    pipeline = Pipeline(slow).window(tumbling("10s"), on="time").aggregate(batch.count())
    for _ in range(5):
        with pytest.raises(ConflictError):
            pipeline.to(Refusing()).run(options=Options(workers=2))


def test_what_was_staged_and_will_not_be_committed_is_thrown_away() -> None:
    sink = Refusing()
    with pytest.raises(ConflictError):
        Pipeline(source(records(50), cuts=[[10]] * 5)).to(sink).run(options=Options(workers=2))
    assert values(sink.rows()) == list(range(10))
    assert sink.staged == {}


def test_the_source_hears_what_is_stored_for_good() -> None:
    taken = source(records(30), cuts=[[10], [10], [10]])
    run(Pipeline(taken), workers=1)
    assert {"p0": 10} in taken.seen
