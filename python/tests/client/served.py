"""A server over HTTP that says what a test has it say, and clients of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.test_utils import BaseTestServer, TestServer

from shoal.client import AsyncClient

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    Answer = Callable[[web.Request, list[dict[str, Any]]], Awaitable[web.StreamResponse]]

TABLE = {"rows": 1, "columns": [{"name": "y", "dtype": "INT64", "data": [7]}]}


def result(task: dict[str, Any]) -> dict[str, Any]:
    return {"id": task["id"], "model": "m", "version": "1", "table": TABLE, "batch_rows": 1}


async def good(_: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
    return web.json_response({"results": [result(task) for task in tasks]})


class Server:
    """A server that answers with what a test says, and keeps what it was asked."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.heads: list[dict[str, str]] = []
        self.envelopes: list[dict[str, Any]] = []

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.heads.append(dict(request.headers))
        self.envelopes.append(json.loads(await request.read()))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        return await answer(request, self.envelopes[-1]["tasks"])


def serving(server: Server) -> BaseTestServer:
    application = web.Application()
    application.router.add_post("/v1/tasks", server.answer)
    return TestServer(application)


def client_of(running: BaseTestServer, **options: Any) -> AsyncClient:
    options.setdefault("retry", None)
    return AsyncClient(f"{running.scheme}://{running.host}:{running.port}", **options)


async def ask(client: AsyncClient, **said: Any) -> list[Any]:
    table = await client.predict("m", {"x": [1]}, **said)
    return table["y"].to_list()


FULL = {"error": "full", "code": "queue_full", "retry_after_ms": 1}


async def lines(request: web.Request, tasks: list[dict[str, Any]]) -> web.StreamResponse:
    """Answers line by line, the last task first."""
    response = await begun(request)
    for task in reversed(tasks):
        await response.write(line(result(task)))
    return response


async def begun(request: web.Request) -> web.StreamResponse:
    """An answer of lines, of which there is none yet."""
    response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
    await response.prepare(request)
    return response


def line(said: dict[str, Any]) -> bytes:
    return json.dumps(said).encode() + b"\n"
