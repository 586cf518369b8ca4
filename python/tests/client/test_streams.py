"""Results as they are ready: how long they are waited for, and what travels for them."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest

from shoal import errors
from shoal.client import Client, Task
from shoal.client._prepare import Preparation
from shoal.client._wire._json_envelopes import JsonEncoding
from tests.client.served import Server, begun, client_of, line, lines, result, serving
from tests.client.stage import in_a_loop

if TYPE_CHECKING:
    from aiohttp import web

    from shoal.client import Result


def tasks_of(count: int = 2, **said: Any) -> list[Task]:
    return [Task(model="m", table={"x": [1]}, **said) for _ in range(count)]


async def stuck(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
    """Answers the first task, and then nothing."""
    response = await begun(request)
    await response.write(line(result(tasks[0])))
    await asyncio.Event().wait()
    return response


def check_stuck(found: list[Result]) -> None:
    assert [each.id for each in found] == ["0", "1"]
    assert found[0].table["y"].to_list() == [7]
    assert isinstance(found[1].error, errors.DeadlineError)


@in_a_loop
async def test_what_does_not_come_in_time_is_told() -> None:
    async with serving(Server(stuck)) as running, client_of(running) as client:
        check_stuck([each async for each in client.stream(tasks_of(timeout_ms=500))])


@in_a_loop
async def test_a_thread_does_not_wait_longer_either() -> None:
    async with serving(Server(stuck)) as running:
        with Client(f"http://{running.host}:{running.port}", retry=None) as client:
            found = await asyncio.to_thread(list, client.stream(tasks_of(timeout_ms=500)))
    check_stuck(found)


@in_a_loop
async def test_nothing_at_all_in_time_ends_the_stream() -> None:
    async def silent(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(Server(silent)) as running, client_of(running) as client:
        with pytest.raises(errors.DeadlineError):
            await anext(client.stream(tasks_of(timeout_ms=50)))


@in_a_loop
async def test_who_is_slow_is_not_cancelled_and_gets_what_came_meanwhile() -> None:
    async with serving(Server(lines)) as running, client_of(running) as client:
        results = client.stream(tasks_of(3, timeout_ms=300))
        found = [await anext(results)]
        with pytest.raises(TimeoutError):  # work of its own, beyond budget and grace
            await asyncio.wait_for(asyncio.Event().wait(), 0.7)
        found += [each async for each in results]
    assert sorted(each.id for each in found) == ["0", "1", "2"]
    assert [each.table["y"].to_list() for each in found] == [[7]] * 3


@in_a_loop
async def test_a_stream_that_is_left_ends_its_request() -> None:
    ended = asyncio.Event()

    async def endless(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        try:
            return await stuck(request, tasks)
        finally:
            ended.set()

    async with serving(Server(endless)) as running, client_of(running) as client:
        results: Any = client.stream(tasks_of())
        assert (await anext(results)).id == "0"
        await results.aclose()
        await asyncio.wait_for(ended.wait(), 5)


@in_a_loop
async def test_no_tasks_are_no_results() -> None:
    server = Server(lines)
    async with serving(server) as running, client_of(running) as client:
        assert [each async for each in client.stream([])] == []
        with pytest.raises(errors.InvalidRequestError, match="no tasks"):
            await anext(client.stream([], merge="sum"))
    assert server.envelopes == []


@in_a_loop
async def test_two_tasks_of_one_id_are_refused() -> None:
    server = Server(lines)
    async with serving(server) as running, client_of(running) as client:
        with pytest.raises(errors.DuplicateTaskError, match="twice"):
            await anext(client.stream(tasks_of(id="twice")))
    assert server.envelopes == []


def test_shared_tables_are_encoded_once_and_sent_where_they_are_named() -> None:
    names = ["a"] * 300 + ["b"] * 300
    tasks = [Task(model="m", table=name) for name in names]
    tables = {name: {"x": [1]} for name in "abc"}
    first, second, third = Preparation(JsonEncoding(), None).orders(tasks, tables, None)
    assert [[name for name, _ in each.shared] for each in (first, second, third)] == [
        ["a"],
        ["a", "b"],
        ["b"],
    ]
    assert first.shared[0][1] is second.shared[0][1]
