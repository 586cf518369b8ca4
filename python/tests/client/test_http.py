"""What goes over the wire, and what a client makes of servers that misbehave."""

from __future__ import annotations

import asyncio
import json
import math
from typing import TYPE_CHECKING, Any

import pytest
from aiohttp import web

from shoal import errors
from shoal.client import AsyncClient, Gathering, Reduction, Retry, Task
from shoal.client._http import read_error
from tests.client.served import FULL, TABLE, Server, ask, client_of, good, lines, result, serving
from tests.client.stage import in_a_loop

if TYPE_CHECKING:
    from tests.client.served import Answer


@in_a_loop
async def test_what_is_sent() -> None:
    server = Server(good)
    async with serving(server) as running, client_of(running, api_key="secret") as client:
        assert await ask(client, priority=3, outputs=["y"], timeout_ms=5000) == [7]
    (head,), (envelope,) = server.heads, server.envelopes
    assert head["Content-Type"] == "application/json"
    assert head["Authorization"] == "Bearer secret"
    assert {"Accept", "Accept-Encoding", "Cookie"}.isdisjoint(head)
    (task,) = envelope["tasks"]
    assert list(envelope) == ["tasks"]
    assert 4_000_000 < task.pop("timeout_us") <= 5_000_000
    assert len(task.pop("idempotency_key")) > 20
    column = {"name": "x", "dtype": "INT64", "data": [1]}
    table = {"rows": 1, "columns": [column]}
    assert task == {"id": "0", "model": "m", "table": table, "outputs": ["y"], "priority": 3}


@in_a_loop
async def test_headers_of_a_user_are_sent_and_shown_to_nobody() -> None:
    server, headers = Server(good), {"X-Tenant": "blue", "traceparent": "00-1"}
    said: dict[str, Any] = {"headers": headers, "api_key": "secret"}
    async with serving(server) as running, client_of(running, **said) as client:
        assert await ask(client) == [7]
        assert "blue" not in f"{client!r} {client._parts.server!r}"
    (head,) = server.heads
    assert (head["x-tenant"], head["traceparent"]) == ("blue", "00-1")
    assert (head["Authorization"], head["Content-Type"]) == ("Bearer secret", "application/json")


@in_a_loop
async def test_each_task_has_a_key_of_its_own_and_keeps_it() -> None:
    async def busy(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        failed = {"error": "full", "code": "queue_full", "retry_after_ms": 1}
        return web.json_response(
            {"results": [{"id": each["id"], "error": failed} for each in tasks]}
        )

    server = Server(busy, good)
    async with serving(server) as running, client_of(running, retry=Retry()) as client:
        assert list(await asyncio.gather(ask(client), ask(client))) == [[7], [7]]
    keys = [sorted(each["idempotency_key"] for each in e["tasks"]) for e in server.envelopes]
    assert len(set(keys[0])) == 2
    assert sorted(key for again in keys[1:] for key in again) == keys[0]


@in_a_loop
async def test_a_status_with_retry_after_is_waited_for() -> None:
    async def busy(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        body = {"error": "busy", "code": "server_busy"}
        return web.json_response(body, status=503, headers={"Retry-After": "1"})

    server = Server(busy, good)
    async with serving(server) as running, client_of(running, retry=Retry()) as client:
        began = asyncio.get_running_loop().time()
        assert await ask(client) == [7]
        assert asyncio.get_running_loop().time() - began >= 1.0


@in_a_loop
async def test_a_refusal_of_an_envelope_harms_only_who_is_at_fault() -> None:
    async def strict(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        if any(task.get("version") == "bad" for task in tasks):
            body = {"error": "no", "code": "invalid_request"}
            return web.json_response(body, status=400)
        return await good(request, tasks)

    async with serving(Server(strict)) as running, client_of(running) as client:
        calls = [ask(client), ask(client, version="bad"), ask(client)]
        first, wrong, last = await asyncio.gather(*calls, return_exceptions=True)
    assert (first, last) == ([7], [7])
    assert isinstance(wrong, errors.InvalidRequestError)


@in_a_loop
async def test_a_call_that_is_cancelled_takes_no_other_along() -> None:
    entered, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        entered.set()
        await go_on.wait()
        return await good(request, tasks)

    async with serving(Server(slow)) as running, client_of(running) as client:
        one, other = asyncio.create_task(ask(client)), asyncio.create_task(ask(client))
        await entered.wait()
        one.cancel()
        with pytest.raises(asyncio.CancelledError):
            await one
        go_on.set()
        assert await other == [7]


@in_a_loop
async def test_a_request_that_nobody_waits_for_is_ended() -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def endless(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()
        return await good(request, tasks)

    async with serving(Server(endless)) as running, client_of(running) as client:
        calls = [asyncio.create_task(ask(client)) for _ in range(2)]
        await entered.wait()
        for call in calls:
            call.cancel()
        await asyncio.wait_for(ended.wait(), 5)


@in_a_loop
async def test_a_lone_call_is_sent_at_once_and_others_gather_while_it_flies() -> None:
    go_on = asyncio.Event()
    entered = asyncio.Event()

    async def slow(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        entered.set()
        await go_on.wait()
        return await good(request, tasks)

    server = Server(slow)
    limits = Gathering(wait_us=10_000_000)
    async with serving(server) as running, client_of(running, gather=limits) as client:
        first = asyncio.create_task(ask(client))
        await entered.wait()
        later = [asyncio.create_task(ask(client)) for _ in range(3)]
        asyncio.get_running_loop().call_soon(go_on.set)  # behind those three
        assert await asyncio.gather(first, *later) == [[7]] * 4
    assert [len(each["tasks"]) for each in server.envelopes] == [1, 3]


@pytest.mark.parametrize("mixed", [False, True])
@in_a_loop
async def test_models_that_are_mixed_are_answered_line_by_line(*, mixed: bool) -> None:
    async def either(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        is_by_line = "ndjson" in request.headers.get("Accept", "")
        return await (lines if is_by_line else good)(request, tasks)

    server = Server(either)
    async with serving(server) as running, client_of(running) as client:
        models = ["m", "n" if mixed else "m"]
        answers = await asyncio.gather(*(client.predict(name, {"x": [1]}) for name in models))
    assert [answer["y"].to_list() for answer in answers] == [[7], [7]]
    assert ("ndjson" in server.heads[0].get("Accept", "")) == mixed


async def cut(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
    """Breaks off in the middle of an answer."""
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = 1000
    await response.prepare(request)
    await response.write(b'{"results":[')
    assert request.transport is not None
    request.transport.abort()
    return response


async def page(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
    return web.Response(text="<html>", content_type="text/html")


async def gateway(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
    return web.Response(text="<html>", content_type="text/html", status=502)


async def few(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
    return web.json_response({"results": []})


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (cut, errors.UnreachableError),
        (gateway, errors.UnreachableError),
        (page, errors.AnswerError),
        (few, errors.AnswerError),
    ],
)
@in_a_loop
async def test_servers_that_misbehave(answer: Answer, expected: type[errors.ShoalError]) -> None:
    async with serving(Server(answer)) as running, client_of(running) as client:
        with pytest.raises(expected):
            await ask(client)
        with pytest.raises(expected):
            await client.run([Task(model="m", table={"x": [1]})])
        calls = await asyncio.gather(*(ask(client) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in calls] == [expected] * 3
    assert len({id(each) for each in calls}) == 3


@in_a_loop
async def test_a_merge_is_asked_for_again_as_a_whole() -> None:
    async def busy(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        failed = {"error": "full", "code": "queue_full", "retry_after_ms": 1}
        results = [
            {"id": tasks[0]["id"], "model": "m", "version": "1", "batch_rows": 1},
            {"id": tasks[1]["id"], "error": failed},
        ]
        merged = {"table": TABLE, "left_out": ["1"]}
        return web.json_response({"results": results, "merged": merged})

    async def whole(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        results = [result(task) for task in tasks]
        return web.json_response({"results": results, "merged": {"table": TABLE}})

    server = Server(busy, whole)
    async with serving(server) as running, client_of(running, retry=Retry()) as client:
        answer = await client.run([Task(model="m", table={"x": [1]})] * 2, merge="mean")
    assert answer.merged is not None
    assert answer.merged.left_out == []
    assert [len(each["tasks"]) for each in server.envelopes] == [2, 2]


@in_a_loop
async def test_only_what_failed_for_now_is_asked_again() -> None:
    async def busy(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        failed = {"error": "full", "code": "queue_full", "retry_after_ms": 1}
        wrong = {"error": "no", "code": "unknown_model"}
        results = [
            result(tasks[0]),
            {"id": tasks[1]["id"], "error": failed},
            {"id": tasks[2]["id"], "error": wrong},
        ]
        return web.json_response({"results": results})

    server = Server(busy, good)
    async with serving(server) as running, client_of(running, retry=Retry()) as client:
        answer = await client.run([Task(model="m", table={"x": [1]})] * 3)
    assert [len(each["tasks"]) for each in server.envelopes] == [3, 1]
    assert list(answer.errors) == ["2"]
    assert server.envelopes[1]["tasks"][0]["id"] == "1"


@pytest.mark.parametrize(
    ("then", "expected"), [("gone", errors.UnreachableError), ("late", errors.DeadlineError)]
)
@in_a_loop
async def test_what_was_answered_is_kept_when_the_rest_fails(
    then: str, expected: type[errors.ShoalError]
) -> None:
    async def busy(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        return web.json_response({"results": [result(tasks[0]), {"id": "1", "error": FULL}]})

    async def endless(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    server = Server(busy, gateway if then == "gone" else endless)
    async with serving(server) as running, client_of(running, retry=Retry(attempts=2)) as client:
        tasks = [Task(model="m", table={"x": [1]}, timeout_ms=900)] * 2
        first, second = await client.run(tasks)
    assert first.table["y"].to_list() == [7]
    assert isinstance(second.error, expected)
    assert second.error.task_id == "1"


@pytest.mark.parametrize("form", ["whole", "stream"])
@in_a_loop
async def test_a_task_without_time_for_it_does_not_keep_others_from_being_sent_again(
    form: str,
) -> None:
    async def busy(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        said = {"error": "full", "code": "queue_full", "retry_after_ms": 200}
        return web.json_response(said, status=429)

    async def rest(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        if form == "whole":
            return web.json_response({"results": [result(task) for task in tasks]})
        lines = "".join(json.dumps(result(task)) + "\n" for task in tasks)
        return web.Response(text=lines, content_type="application/x-ndjson")

    server = Server(busy, rest)
    async with serving(server) as running, client_of(running, retry=Retry()) as client:
        asked = (("hasty", 100), ("patient", 30_000))
        tasks = [
            Task(model="m", table={"x": [1]}, id=name, timeout_ms=time_ms)
            for name, time_ms in asked
        ]
        if form == "whole":
            results = {each.id: each for each in await client.run(tasks)}
        else:
            results = {each.id: each async for each in client.stream(tasks)}
    assert results["hasty"].error is not None
    assert results["hasty"].error.code == "queue_full"
    assert results["patient"].table["y"].to_list() == [7]
    assert [task["id"] for task in server.envelopes[1]["tasks"]] == ["patient"]


@in_a_loop
async def test_a_refusal_that_is_about_no_call_is_not_taken_apart() -> None:
    async def nowhere(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        return web.json_response({"error": "no", "code": "unknown_route"}, status=404)

    server = Server(nowhere)
    async with serving(server) as running, client_of(running) as client:
        calls = await asyncio.gather(*(ask(client) for _ in range(3)), return_exceptions=True)
    assert [type(each) for each in calls] == [errors.UnknownRouteError] * 3
    assert [len(each["tasks"]) for each in server.envelopes] == [3]


def test_a_refusal_of_a_code_that_nobody_knows_may_say_to_come_again() -> None:
    said = {"error": "no", "code": "brand_new"}
    assert not read_error(500, {}, json.dumps(said).encode()).retryable
    assert read_error(500, {"Retry-After": "1"}, json.dumps(said).encode()).retryable
    assert read_error(400, {}, json.dumps({**said, "retry_after_ms": 5}).encode()).retryable


@in_a_loop
async def test_no_limit_may_be_said_as_infinity() -> None:
    server = Server(good)
    async with serving(server) as running:
        async with client_of(running, timeout_s=math.inf) as client:
            assert list(await asyncio.gather(ask(client), ask(client))) == [[7], [7]]
        async with client_of(running) as client:
            assert await ask(client, timeout_ms=math.inf) == [7]
            with pytest.raises(errors.InvalidRequestError, match="timeout_ms"):
                await ask(client, timeout_ms=math.nan)
    assert not any("timeout_us" in task for each in server.envelopes for task in each["tasks"])


@in_a_loop
async def test_texts_that_are_none_are_told_before_anything_is_sent() -> None:
    task, wrong = Task(model="m", table={"x": [1]}), "\ud800"
    async with AsyncClient("http://127.0.0.1:1", retry=None) as client:
        texts: list[dict[str, Any]] = [{"id": wrong}, {"idempotency_key": wrong}]
        for said in texts:
            with pytest.raises(errors.InvalidRequestError, match="surrogate"):
                await client.run([Task(model="m", table={"x": [1]}, **said)])
        with pytest.raises(errors.InvalidRequestError, match="surrogate"):
            await client.run([task], tables={wrong: {"x": [1]}})
        with pytest.raises(errors.InvalidRequestError, match="surrogate"):
            await client.run([task], merge=Reduction("sum", (wrong,)))


@in_a_loop
async def test_what_a_stream_lost_is_asked_again() -> None:
    async def half(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        await response.write(json.dumps(result(tasks[0])).encode() + b"\n")
        assert request.transport is not None
        request.transport.abort()
        return response

    async def rest(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        lines = "".join(json.dumps(result(task)) + "\n" for task in tasks)
        return web.Response(text=lines, content_type="application/x-ndjson")

    server = Server(half, rest)
    async with serving(server) as running, client_of(running, retry=Retry()) as client:
        tasks = [Task(model="m", table={"x": [1]}, id=name) for name in "abc"]
        found = [each.id async for each in client.stream(tasks)]
    assert sorted(found) == ["a", "b", "c"]
    asked_again = [each["id"] for each in server.envelopes[1]["tasks"]]
    assert asked_again in (["b", "c"], ["a", "b", "c"])  # the line may be lost with the connection


@in_a_loop
async def test_a_closed_client_answers_who_still_waits() -> None:
    entered = asyncio.Event()

    async def endless(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
        entered.set()
        await asyncio.Event().wait()
        raise AssertionError

    async with serving(Server(endless)) as running:
        client = client_of(running)
        call = asyncio.create_task(ask(client))
        await entered.wait()
        await client.close()
        with pytest.raises(errors.UnreachableError):
            await call


def test_addresses_and_options_that_are_none_are_refused() -> None:
    wrong: list[tuple[str, dict[str, Any]]] = [
        ("localhost:8000", {}),
        ("ftp://localhost", {}),
        ("http://user:password@localhost", {}),
        ("grpc://localhost/path", {}),
        ("http://localhost", {"encoding": "xml"}),
        ("grpc://localhost", {"encoding": "json"}),
        ("http://localhost", {"timeout_s": 0}),
        ("http://localhost", {"timeout_s": math.nan}),
        ("http://localhost", {"api_key": "password\n"}),
        ("http://localhost", {"headers": {"Authorization": "password"}}),
        ("http://localhost", {"headers": {"content-type": "text/plain"}}),
        ("grpc://localhost", {"headers": {"grpc-timeout": "1S"}}),
        ("http://localhost", {"headers": {"x y": "1"}}),
        ("http://localhost", {"headers": {"x": "password\r\ny: 1"}}),
        ("http://localhost", {"certificate": "c.pem", "certificate_key": "k.pem"}),
        ("https://localhost", {"certificate": "c.pem"}),
        ("http://localhost:80000", {}),
        ("http://[::1", {}),
        ("http://:8000", {}),
        ("user:password@localhost:8000", {}),
        ("http://localhost", {"timout_s": 5}),
    ]
    for address, options in wrong:
        with pytest.raises(errors.ConfigurationError) as caught:
            AsyncClient(address, **options)
        assert "password" not in str(caught.value)


@in_a_loop
async def test_certificates_that_cannot_be_read_are_told() -> None:
    for scheme in ("https", "grpcs"):
        async with AsyncClient(f"{scheme}://localhost:1", ca="/nowhere", retry=None) as client:
            with pytest.raises(errors.ConfigurationError, match="cannot be read"):
                await ask(client)
