"""What a story does to its server, see `protocol/stories.toml`."""

from __future__ import annotations

import asyncio
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec

from shoal.client import AsyncClient, Client, Retry
from tests.end_to_end.driver import ask, poll

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from typing import Unpack

    from shoal.client import ClientOptions

_Arguments = ParamSpec("_Arguments")
PATIENT = Retry(attempts=8, first_wait_ms=20)


class Stage:
    """The server of the stories, and clients of it that do not try again unless told so."""

    def __init__(self, addresses: dict[str, Any]) -> None:
        self.addresses = addresses

    def say(self, word: str) -> Any:
        """Has something done to the server, and gives what it says."""
        reply = ask(self.addresses["control"], "POST", f"/{word}")
        assert reply.status == 200, reply.body.decode()
        return reply.json()

    async def tell(self, word: str) -> Any:
        """The same, while an event loop goes on."""
        return await asyncio.to_thread(self.say, word)

    async def until_rows_wait(self, rows: int) -> None:
        """Waits until so many rows are in the queue of `held`, which is at work."""
        expected = {"rows": rows, "reached": True}
        await asyncio.to_thread(poll, lambda: self.say("waiting") == expected, f"{rows} rows wait")

    def client(self, door: str = "http", **options: Unpack[ClientOptions]) -> AsyncClient:
        """A client for asyncio, of one of the addresses."""
        return self.of(self.address(door), **options)

    @staticmethod
    def of(address: str, **options: Unpack[ClientOptions]) -> AsyncClient:
        """A client for asyncio, of any address."""
        options.setdefault("retry", None)
        return AsyncClient(address, **options)

    def threaded(self, door: str = "http", **options: Unpack[ClientOptions]) -> Client:
        """A client for threads, of one of the addresses."""
        options.setdefault("retry", None)
        return Client(self.address(door), **options)

    def address(self, door: str) -> str:
        """Where to a client goes: `http`, `grpc`, `relay` or `relay_grpc`."""
        return f"{'grpc' if 'grpc' in door else 'http'}://{self.addresses[door]}"


def in_a_loop(
    test: Callable[_Arguments, Coroutine[Any, Any, None]],
) -> Callable[_Arguments, None]:
    """Runs a test in an event loop."""

    @wraps(test)
    def run(*arguments: _Arguments.args, **named: _Arguments.kwargs) -> None:
        asyncio.run(test(*arguments, **named))

    return run
