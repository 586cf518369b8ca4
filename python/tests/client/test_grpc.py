"""What goes over gRPC, and what a client makes of servers that misbehave."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import grpc.aio
import pytest

from shoal import errors
from shoal.client import AsyncClient, Merged, Retry, Task
from shoal.client._wire._messages import message
from tests.client.stage import in_a_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    Answer = Callable[[Any, Any], Awaitable[Any]]

TABLE = {"rows": 1, "columns": [{"name": "y", "dtype": "INT64", "values": b"\7" + b"\0" * 7}]}


def result(task: Any) -> dict[str, Any]:
    return {"id": task.id, "model": "m", "version": "1", "table": TABLE, "batch_rows": 1}


async def good(request: Any, _: Any) -> Any:
    return message("RunResponse")(results=[result(task) for task in request.tasks])


class Server:
    """A server that answers with what a test says, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[Any] = []
        self.metadata: list[dict[str, Any]] = []
        self.streamed: list[Any] = []

    async def run(self, content: bytes, context: Any) -> bytes:
        self.requests.append(message("RunRequest").FromString(content))
        self.metadata.append(dict(context.invocation_metadata()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answered: bytes = (await answer(self.requests[-1], context)).SerializeToString()
        return answered

    async def stream(self, requests: Any, context: Any) -> AsyncIterator[bytes]:
        async for content in requests:
            self.streamed.append(message("StreamRequest").FromString(content))
        for each in reversed(self.streamed):
            if each.WhichOneof("request") == "task":
                yield message("TaskResult")(**result(each.task)).SerializeToString()


@asynccontextmanager
async def asking(
    server: Server, credentials: grpc.ServerCredentials | None = None, **options: Any
) -> AsyncIterator[AsyncClient]:
    """A client of a server that runs meanwhile, over TLS where it has credentials."""
    running = grpc.aio.server()
    handlers = {
        "Run": grpc.unary_unary_rpc_method_handler(server.run),
        "Stream": grpc.stream_stream_rpc_method_handler(server.stream),
    }
    running.add_generic_rpc_handlers(
        (grpc.method_handlers_generic_handler("shoal.v1.Tasks", handlers),)
    )
    if credentials is None:
        address = f"grpc://127.0.0.1:{running.add_insecure_port('127.0.0.1:0')}"
    else:
        address = f"grpcs://127.0.0.1:{running.add_secure_port('127.0.0.1:0', credentials)}"
    await running.start()
    options.setdefault("retry", None)
    try:
        async with AsyncClient(address, **options) as client:
            yield client
    finally:
        await running.stop(None)


async def ask(client: AsyncClient, **said: Any) -> list[Any]:
    return (await client.predict("m", {"x": [1]}, **said))["y"].to_list()


@in_a_loop
async def test_what_is_sent() -> None:
    server = Server(good)
    async with asking(server, api_key="secret", headers={"X-Tenant": "blue"}) as client:
        assert await ask(client, priority=3, outputs=["y"], timeout_ms=5000) == [7]
    (request,), (metadata,) = server.requests, server.metadata
    (task,) = request.tasks
    assert metadata["authorization"] == "Bearer secret"
    assert metadata["x-tenant"] == "blue"
    assert (task.id, task.model, list(task.outputs), task.priority) == ("0", "m", ["y"], 3)
    assert 4_000_000 < task.timeout_us <= 5_000_000
    assert len(task.idempotency_key) > 20
    assert task.table.columns[0].values == b"\1" + b"\0" * 7


@in_a_loop
async def test_calls_travel_together_and_a_merge_is_asked_for() -> None:
    server = Server(good)
    async with asking(server) as client:
        assert list(await asyncio.gather(*(ask(client) for _ in range(5)))) == [[7]] * 5
        with pytest.raises(errors.AnswerError, match="merged"):
            await client.run([Task(model="m", table={"x": [1]})], merge="mean")
    assert [len(each.tasks) for each in server.requests] == [5, 1]
    assert server.requests[1].merge.by == "mean"


@in_a_loop
async def test_tasks_are_streamed_behind_their_shared_tables() -> None:
    server = Server(good)
    tasks = [Task(model="m", table="t", id=name) for name in "abc"]
    async with asking(server) as client:
        found = [each async for each in client.stream(tasks, tables={"t": {"x": [1]}})]
    assert [each.id for each in found] == ["c", "b", "a"]
    assert server.streamed[0].table.name == "t"
    assert [each.task.shared for each in server.streamed[1:]] == ["t"] * 3


@in_a_loop
async def test_a_merge_comes_behind_all_results() -> None:
    async def merged(request: Any, context: Any) -> Any:
        answer = await good(request, context)
        answer.merged.CopyFrom(message("Merged")(table=TABLE, left_out=["x"]))
        return answer

    async with asking(Server(merged)) as client:
        tasks = [Task(model="m", table={"x": [1]})]
        *_, last = [each async for each in client.stream(tasks, merge="sum")]
    assert isinstance(last, Merged)
    assert last.left_out == ["x"]
    assert last.table["y"].to_list() == [7]


def refusing(
    status: grpc.StatusCode, *metadata: tuple[str, str], told: str = "no"
) -> Callable[[Any, Any], Awaitable[Any]]:
    async def refuse(_: Any, context: Any) -> Any:
        await context.abort(status, told, metadata)

    return refuse


@pytest.mark.parametrize(
    ("answer", "expected"),
    [
        (
            refusing(grpc.StatusCode.INVALID_ARGUMENT, ("shoal-code", "duplicate_task")),
            errors.DuplicateTaskError,
        ),
        (refusing(grpc.StatusCode.UNAVAILABLE), errors.UnreachableError),
        (refusing(grpc.StatusCode.UNAUTHENTICATED), errors.UnauthorizedError),
        (refusing(grpc.StatusCode.UNIMPLEMENTED), errors.UnknownRouteError),
        (refusing(grpc.StatusCode.DEADLINE_EXCEEDED), errors.DeadlineError),
        (refusing(grpc.StatusCode.UNKNOWN), errors.InternalError),
        (
            refusing(grpc.StatusCode.RESOURCE_EXHAUSTED, ("shoal-code", "brand_new")),
            errors.OverloadedError,
        ),
    ],
)
@in_a_loop
async def test_errors_of_servers(answer: Answer, expected: type[errors.ShoalError]) -> None:
    async with asking(Server(answer)) as client:
        with pytest.raises(expected) as caught:
            await ask(client)
    assert type(caught.value) is expected


@in_a_loop
async def test_an_overloaded_server_is_asked_again_when_it_says() -> None:
    busy = refusing(
        grpc.StatusCode.UNAVAILABLE,
        ("shoal-code", "server_busy"),
        ("grpc-retry-pushback-ms", "500"),
    )
    async with asking(Server(busy, good), retry=Retry()) as client:
        began = asyncio.get_running_loop().time()
        assert await ask(client) == [7]
        assert asyncio.get_running_loop().time() - began >= 0.5


@in_a_loop
async def test_a_code_that_nobody_knows_may_say_to_come_again() -> None:
    newer = refusing(
        grpc.StatusCode.INTERNAL, ("shoal-code", "brand_new"), ("grpc-retry-pushback-ms", "1")
    )
    async with asking(Server(newer, good), retry=Retry()) as client:
        assert await ask(client) == [7]


@in_a_loop
async def test_a_closed_client_ends_what_is_under_way() -> None:
    entered = asyncio.Event()

    async def endless(_: Any, context: Any) -> Any:
        entered.set()
        await asyncio.Event().wait()

    async with asking(Server(endless), retry=Retry()) as client:
        run = asyncio.create_task(client.run([Task(model="m", table={"x": [1]})]))
        await entered.wait()
        await client.close()
        with pytest.raises(errors.UnreachableError, match="closed"):
            await run


@in_a_loop
async def test_an_answer_that_is_none_is_told() -> None:
    async def other(request: Any, context: Any) -> Any:
        return message("RunResponse")(results=[{"id": "x", "model": "m"}])

    async with asking(Server(other)) as client:
        with pytest.raises(errors.AnswerError):
            await ask(client)


@in_a_loop
async def test_a_request_that_nobody_waits_for_is_ended() -> None:
    entered, ended = asyncio.Event(), asyncio.Event()

    async def endless(_: Any, context: Any) -> Any:
        context.add_done_callback(lambda _: ended.set())
        entered.set()
        await asyncio.Event().wait()

    async with asking(Server(endless)) as client:
        call = asyncio.create_task(ask(client))
        await entered.wait()
        call.cancel()
        await asyncio.wait_for(ended.wait(), 5)


@in_a_loop
async def test_a_server_that_is_not_there_is_told() -> None:
    async with AsyncClient("grpc://127.0.0.1:1", retry=None) as client:
        with pytest.raises(errors.UnreachableError, match=r"grpc://127\.0\.0\.1:1"):
            await ask(client)
