"""The stories of `protocol/stories.toml`: what is asked, and what comes back.

Those of load, deadlines and lost connections are in `test_stories_of_trouble.py`. Each is played
over HTTP and over gRPC, unless it is about one of them.
"""

from __future__ import annotations

import math
import tomllib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shoal import errors
from shoal.client import Result, Table, Task, column
from tests.client.stage import in_a_loop
from tools import blocks

if TYPE_CHECKING:
    from pathlib import Path

    from tests.client.stage import Stage

DOORS = ("http", "grpc")
FORMS = [("http", "json"), ("http", "arrow"), ("http", "protobuf"), ("grpc", "protobuf")]

on_both_doors = pytest.mark.parametrize("door", DOORS)
in_each_form = pytest.mark.parametrize(("door", "encoding"), FORMS)


def echoed(rows: int = 1, **columns: Any) -> dict[str, Any]:
    """A table for `echo`: these columns, and the others with something in them."""
    return {
        "whole": [0] * rows,
        "natural": column([0] * rows, "UINT64"),
        "number": [0.5] * rows,
        "flag": [True] * rows,
        "text": ["text"] * rows,
        "pair": np.ones((rows, 2), np.float32),
        **columns,
    }


def double(*values: Any, **said: Any) -> Task:
    """A task for `double`."""
    return Task(model="double", table={"value": list(values)}, **said)


def doubled(result: Result) -> list[Any]:
    """What `double` answered."""
    return result.table["double"].to_list()


@on_both_doors
@in_a_loop
async def test_happy_path(stage: Stage, door: str) -> None:
    async with stage.client(door) as client:
        (result,) = await client.run([double(1.0, 2.5, 4.0)])
    assert doubled(result) == [2.0, 5.0, 8.0]
    assert (result.model, result.version) == ("double", "1")
    assert result.batch_rows >= 3


def test_one_call(stage: Stage, root: Path) -> None:
    page = (root / "docs/guides/client-python.md").read_text("utf-8")
    shown = [each for each in blocks.blocks_of(page) if each.words[-1] in {"python", "output"}]
    call, output = shown[:2]
    assert len(call.text.split("\n")) <= 21  # a quick start is 20 lines
    printed = blocks.run_python(call, "client-python.md", {"address": stage.address("http")})
    assert printed == output.text


@in_each_form
@in_a_loop
async def test_encodings_agree(stage: Stage, door: str, encoding: Any) -> None:
    sent = Table.of(echoed(2, whole=[1, -2], text=["käse 🐟", ""], number=[0.1, 1e300]))
    async with stage.client(door, encoding=encoding) as client:
        answer = await client.predict("echo", sent)
    assert answer == sent


@on_both_doors
@in_a_loop
async def test_many_models(stage: Stage, door: str) -> None:
    tasks = [
        Task(model="double", table="numbers", id="d"),
        Task(model="echo", table=echoed(whole=[7]), id="e"),
        Task(model="filled", table="numbers", id="f"),
    ]
    async with stage.client({"http": "relay"}.get(door, door)) as client:
        results = await client.run(tasks, tables={"numbers": {"value": [1.0, 2.0]}})
    assert [result.id for result in results] == ["d", "e", "f"]
    assert doubled(results["d"]) == [2.0, 4.0]
    assert results["e"].table["whole"].to_list() == [7]
    assert results["f"].table["seen"].to_list() == [1.0, 2.0]
    assert door == "grpc" or stage.say("seen")["envelopes"] == 1


@on_both_doors
@in_a_loop
async def test_columns_of_choice(stage: Stage, door: str) -> None:
    async with stage.client(door) as client:
        answer = await client.predict("echo", echoed(), outputs=["text", "whole"])
    assert answer.names == ["text", "whole"]


@on_both_doors
@in_a_loop
async def test_one_bad_task(stage: Stage, door: str) -> None:
    async with stage.client(door) as client:
        results = await client.run([double(1.0), double(-1.0, id="bad"), double(3.0)])
    assert [result.error is None for result in results] == [True, False, True]
    assert [doubled(results[0]), doubled(results[2])] == [[2.0], [6.0]]
    with pytest.raises(errors.ModelError) as caught:
        _ = results["bad"].table
    assert caught.value.task_id == "bad"


@on_both_doors
@in_a_loop
async def test_bad_tables(stage: Stage, door: str) -> None:
    with pytest.raises(errors.ShapeError):
        Table.of({"value": [1.0], "more": [1.0, 2.0]})
    tasks = [
        double(1.0),
        Task(model="double", table={"worth": [1.0]}),
        Task(model="double", table={"value": [1.0], "worth": [1.0]}),
        double("1"),
        Task(model="double", table="nothing"),
    ]
    async with stage.client(door) as client:
        results = await client.run(tasks)
    codes = [result.error.code if result.error else None for result in results]
    expected = ["missing_column", "unexpected_column", "wrong_dtype", "unknown_table"]
    assert codes[1:] in (expected, ["unexpected_column", *expected[1:]])
    assert doubled(results[0]) == [2.0]


@on_both_doors
@in_a_loop
async def test_unknown_model(stage: Stage, door: str) -> None:
    tasks = [Task(model="nobody", table={"x": [1]}), double(1.0, version="9"), double(1.0)]
    async with stage.client(door) as client:
        results = await client.run(tasks)
    assert isinstance(results[0].error, errors.UnknownModelError)
    assert isinstance(results[1].error, errors.UnknownVersionError)
    assert doubled(results[2]) == [2.0]


@on_both_doors
@in_a_loop
async def test_refused_envelopes(stage: Stage, door: str) -> None:
    async with stage.client(door) as client:
        with pytest.raises(errors.InvalidRequestError):
            await client.run([])
        with pytest.raises(errors.TooManyTasksError):
            await client.run(Task(model="double", table="t") for _ in range(10_001))
        with pytest.raises(errors.DuplicateTaskError):
            await client.run([double(1.0, id="a"), double(2.0, id="a")])
        with pytest.raises(errors.InvalidRequestError):
            await client.run([double(1.0)], merge="median")


@in_each_form
@in_a_loop
async def test_zero_rows(stage: Stage, door: str, encoding: Any) -> None:
    empty = {"UINT64": "natural", "BOOL": "flag", "INT64": "whole", "FP64": "number"}
    table = {name: column([], dtype) for dtype, name in empty.items()}
    table |= {"text": column([], "UTF8"), "pair": column([], "FP32", shape=[2])}
    async with stage.client(door, encoding=encoding) as client:
        (result,) = await client.run([Task(model="echo", table=table)])
    assert result.table.rows == 0
    assert set(result.table.names) == set(table)
    assert result.batch_rows == 0


@pytest.mark.parametrize(("door", "encoding"), [FORMS[0], FORMS[1], FORMS[3]])
@in_a_loop
async def test_big_table(stage: Stage, door: str, encoding: Any) -> None:
    rows = 100_000
    numbers = np.arange(rows, dtype=np.int64)
    sent = Table.of(
        echoed(
            rows,
            whole=numbers,
            number=numbers / 7,
            text=[f"row {number}" for number in range(rows)],
            pair=np.stack([numbers, -numbers], axis=1).astype(np.float32),
        )
    )
    async with stage.client(door, encoding=encoding, timeout_s=None) as client:
        answer = await client.predict("echo", sent)
    assert answer == sent


@in_each_form
@in_a_loop
async def test_unicode(stage: Stage, door: str, encoding: Any) -> None:
    texts = [chr(plane * 0x10000 + 0x41) for plane in range(17)]
    texts += ["\0", "", "\u2028\ufeff", "e\u0301", "long 🐟" * 16_667]
    name = "täble 🐟\0"
    async with stage.client(door, encoding=encoding) as client:
        results = await client.run(
            [Task(model="echo", table=name, id=f"ï🐟{number}\0") for number in range(2)],
            tables={name: echoed(len(texts), text=texts)},
        )
    assert [result.id for result in results] == ["ï🐟0\0", "ï🐟1\0"]
    assert results[1].table["text"].to_list() == texts


@in_each_form
@in_a_loop
async def test_lone_surrogate(stage: Stage, door: str, encoding: Any) -> None:
    async with stage.client(door, encoding=encoding) as client:
        with pytest.raises(errors.DtypeError):
            await client.predict("echo", echoed(text=["a\ud800"]))
        with pytest.raises(errors.DtypeError):
            await client.predict("echo", echoed(text=column([b"\xff"], "UTF8")))


@in_each_form
@in_a_loop
async def test_nulls(stage: Stage, door: str, encoding: Any) -> None:
    async with stage.client(door, encoding=encoding) as client:
        seen = await client.predict("filled", {"value": [1.0, None, 3.0]})
        assert seen["seen"].to_list() == [1.0, -1.0, 3.0]
        assert seen["same"].to_list() == [1.0, None, 3.0]
        with pytest.raises(errors.NullError):
            await client.predict("double", {"value": [None]})


@in_each_form
@in_a_loop
async def test_extreme_integers(stage: Stage, door: str, encoding: Any) -> None:
    whole = [-(2**63), 2**63 - 1, 2**53 - 1, 2**53, 2**53 + 1]
    natural = column([0, 2**64 - 1, 1, 2**53 + 1, 2**63], "UINT64")
    async with stage.client(door, encoding=encoding) as client:
        answer = await client.predict("echo", echoed(5, whole=whole, natural=natural))
        for name, wrong in (("whole", 2**63), ("natural", -1)):
            with pytest.raises(errors.DtypeError):
                await client.predict("echo", {**echoed(), name: [wrong]})
    assert answer["whole"].to_list() == whole
    assert answer["natural"].to_list() == natural.to_list()
    for beyond in (2**64, -(2**63) - 1):
        with pytest.raises(errors.DtypeError):
            Table.of({"whole": [beyond]})


@in_each_form
@in_a_loop
async def test_not_finite(stage: Stage, door: str, encoding: Any) -> None:
    sent = [math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7976931348623157e308]
    async with stage.client(door, encoding=encoding) as client:
        answer = await client.predict("echo", echoed(len(sent), number=sent))
    assert np.array(sent).tobytes() == answer["number"].elements().tobytes()


@in_each_form
@in_a_loop
async def test_times(stage: Stage, door: str, encoding: Any) -> None:
    moment = datetime(2021, 5, 31, 10, 20, 30, tzinfo=UTC)
    table = Table.of(echoed(whole=[moment]))
    assert (table["whole"].dtype, table["whole"].kind.unit) == ("TIMESTAMP", "us")
    async with stage.client(door, encoding=encoding) as client:
        with pytest.raises(errors.DtypeError):
            await client.predict("echo", table)
        with pytest.raises(errors.ZoneError) as caught:
            await client.predict("echo", echoed(whole=[moment.replace(tzinfo=None)]))
    assert "tzinfo" in (caught.value.hint or "")


@on_both_doors
@in_a_loop
async def test_merged(stage: Stage, door: str) -> None:
    tasks = [double(1.0), double(2.0, 3.0, weight=2.0), double(5.0, weight=0.5)]
    async with stage.client(door) as client:
        mean = (await client.run(tasks, merge="mean")).merged
        assert mean is not None
        expected = (2.0 + 2 * (4.0 + 6.0) + 0.5 * 10.0) / 5.5
        assert mean.table["double"].to_list() == [pytest.approx(expected, rel=1e-12)]
        joined = await client.run([*tasks, double(-1.0, id="bad")], merge="concat")
    assert joined.merged is not None
    assert joined.merged.table["double"].to_list() == [2.0, 4.0, 6.0, 10.0]
    assert joined.merged.left_out == ["bad"]
    assert list(joined.errors) == ["bad"]


def test_every_story_is_played(root: Path) -> None:
    stories = tomllib.loads((root / "protocol" / "stories.toml").read_text("utf-8"))
    played = "\n".join(
        path.read_text("utf-8") for path in (root / "python/tests/client").glob("test_stor*.py")
    )
    missing = [name for name in stories if f"def test_{name}(" not in played]
    assert missing == []
