"""A client that is closed while somebody waits: all are told, and nobody waits for ever."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from shoal import errors
from shoal.client import Client, Gathering, Retry, Task
from tests.client.served import FULL, Server, ask, begun, client_of, line, result, serving
from tests.client.stage import in_a_loop
from tests.end_to_end.driver import poll

if TYPE_CHECKING:
    from collections.abc import Callable

TASKS = [Task(model="m", table={"x": [1]})] * 2
WAITING = {
    "alone": lambda client: client.predict("m", {"x": [1]}),
    "large": lambda client: client.predict("m", {"x": [1] * 5000}),
    "run": lambda client: client.run(TASKS),
    "stream": lambda client: list(client.stream(TASKS)),
}


class Endless(Server):
    """A server that never answers, and says when it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = asyncio.Event()

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.entered.set()
        await asyncio.Event().wait()
        raise AssertionError


async def busy(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
    failed = {**FULL, "retry_after_ms": 60_000}
    return web.json_response({"results": [{"id": each["id"], "error": failed} for each in tasks]})


async def check_told(call: Callable[[Client], Any], client: Client, entered: asyncio.Event) -> None:
    """Has a thread wait, closes the client, and sees what the thread is told."""
    with ThreadPoolExecutor(1) as threads:
        waiting = asyncio.wrap_future(threads.submit(call, client))
        await asyncio.wait_for(entered.wait(), 5)
        await check_closed(client, waiting)


async def check_closed(client: Client, *waiting: asyncio.Future[Any]) -> None:
    await asyncio.wait_for(asyncio.to_thread(client.close), 5)
    for each in waiting:
        with pytest.raises(errors.UnreachableError, match="closed"):
            await asyncio.wait_for(each, 5)


@pytest.mark.parametrize("call", WAITING.values(), ids=WAITING.keys())
@in_a_loop
async def test_a_thread_that_waits_is_told(call: Callable[[Client], Any]) -> None:
    server = Endless()
    async with serving(server) as running:
        client = Client(f"http://{running.host}:{running.port}")
        await check_told(call, client, server.entered)


@in_a_loop
async def test_a_call_that_was_not_sent_yet_is_told_too() -> None:
    server = Endless()
    async with serving(server) as running:
        limits = Gathering(wait_us=60_000_000)
        client = Client(f"http://{running.host}:{running.port}", gather=limits)
        with ThreadPoolExecutor(2) as threads:
            first = asyncio.wrap_future(threads.submit(WAITING["alone"], client))
            await asyncio.wait_for(server.entered.wait(), 5)
            second = asyncio.wrap_future(threads.submit(WAITING["alone"], client))
            gatherer = client._parts._open[0]._gatherer  # type: ignore[index]  # it is open
            await asyncio.to_thread(poll, lambda: len(gatherer) == 1, "the second call waits")
            await check_closed(client, first, second)


class Told(Retry):
    """A patience that says when it was asked for."""

    loop: asyncio.AbstractEventLoop
    asked: asyncio.Event

    def wait_ms(self, error: errors.ShoalError, **about: Any) -> float | None:
        Told.loop.call_soon_threadsafe(Told.asked.set)
        return super().wait_ms(error, **about)


@pytest.mark.parametrize("name", ["alone", "run"])
@in_a_loop
async def test_who_waits_to_be_sent_again_is_told(name: str) -> None:
    Told.loop, Told.asked = asyncio.get_running_loop(), asyncio.Event()
    async with serving(Server(busy)) as running:
        patience = Told(max_wait_ms=100_000)
        client = Client(f"http://{running.host}:{running.port}", retry=patience, timeout_s=None)
        await check_told(WAITING[name], client, Told.asked)


@in_a_loop
async def test_what_asyncio_has_under_way_is_told_and_not_sent_again() -> None:
    server = Endless()
    async with serving(server) as running:
        client = client_of(running, retry=Retry())
        calls = [asyncio.create_task(ask(client)), asyncio.create_task(client.run(TASKS))]
        await server.entered.wait()
        await client.close()
        for call in calls:
            with pytest.raises(errors.UnreachableError, match="closed"):
                await asyncio.wait_for(call, 5)


@in_a_loop
async def test_a_stream_that_was_half_read_is_told() -> None:
    async def half(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        response = await begun(request)
        await response.write(line(result(tasks[0])))
        await asyncio.Event().wait()
        return response

    async with serving(Server(half)) as running:
        client = Client(f"http://{running.host}:{running.port}")
        results = client.stream(TASKS)
        assert (await asyncio.to_thread(next, results)).id == "0"
        await asyncio.to_thread(client.close)
        with pytest.raises(errors.UnreachableError, match="closed"):
            await asyncio.to_thread(next, results)


def test_a_call_that_cannot_be_made_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> None:
        raise ValueError("no transport")

    monkeypatch.setattr("shoal.client._options._transport", broken)
    with (
        Client("http://localhost") as client,
        pytest.raises(errors.InternalError, match="no transport"),
    ):
        client.predict("m", {"x": [1]})
