"""The stories of `protocol/stories.toml` in which something is slow, full, cut off or gone."""

from __future__ import annotations

import asyncio
import random
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any, ClassVar

import pytest

from shoal import errors
from shoal.client import Merged, Result, Retry, Task
from tests.client.stage import PATIENT, in_a_loop
from tests.end_to_end.driver import poll

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.client import AsyncClient
    from tests.client.stage import Stage

DOORS = ("http", "grpc")
on_both_doors = pytest.mark.parametrize("door", DOORS)
SOON_S = 5.0
TOO_LATE = (errors.DeadlineError, errors.OutOfReachError)


def held(*values: float, **said: Any) -> Task:
    """A task for `held`."""
    return Task(model="held", table={"value": list(values)}, **said)


def double(*values: float, **said: Any) -> Task:
    """A task for `double`."""
    return Task(model="double", table={"value": list(values)}, **said)


async def doubled(client: AsyncClient, value: float, **said: Any) -> float:
    """Asks `double`."""
    table = await client.predict("double", {"value": [value]}, **said)
    answer: float = table["double"][0]
    return answer


async def at_work(stage: Stage, client: AsyncClient) -> asyncio.Task[Any]:
    """Holds `held`, and gives it something to be at work on."""
    await stage.tell("hold")
    working = asyncio.create_task(client.predict("held", {"value": [1.0]}))
    await stage.until_rows_wait(0)
    return working


def relayed(door: str) -> str:
    return "relay" if door == "http" else "relay_grpc"


@on_both_doors
@in_a_loop
async def test_streaming(stage: Stage, door: str) -> None:
    await stage.tell("hold")
    async with stage.client(door) as client:
        results = client.stream([held(1.0, id="late"), double(2.0, id="soon")])
        first = await anext(results)
        assert (first.id, first.table["double"][0]) == ("soon", 4.0)
        await stage.tell("open")
        second = await anext(results)
        assert (second.id, second.table["double"][0]) == ("late", 2.0)
        assert [each async for each in results] == []


@on_both_doors
@in_a_loop
async def test_deadline(stage: Stage, door: str) -> None:
    async with stage.client(door) as client:
        working = await at_work(stage, client)
        results = await client.run([held(1.0, timeout_ms=50), double(2.0, id="other")])
        assert isinstance(results[0].error, TOO_LATE)
        assert results["other"].table["double"][0] == 4.0
        await stage.tell("open")
        await working


@on_both_doors
@in_a_loop
async def test_deadline_of_the_client(stage: Stage, door: str) -> None:
    await stage.tell("hold")
    async with stage.client(door) as client:
        began = time.monotonic()
        with pytest.raises(TOO_LATE):
            await client.predict("held", {"value": [1.0]}, timeout_ms=100)
        assert time.monotonic() - began < 2
    await stage.tell("open")


@in_a_loop
async def test_clock_skew(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time
    for hours in (1, -1):
        monkeypatch.setattr(time, "time", lambda hours=hours: now() + hours * 3600)
        async with stage.client() as client:
            assert await doubled(client, 2.0, timeout_ms=20_000) == 4.0


@on_both_doors
@in_a_loop
async def test_cancellation(stage: Stage, door: str) -> None:
    async with stage.client(door) as client:
        working = await at_work(stage, client)
        waiting = asyncio.create_task(client.predict("held", {"value": [2.0]}))
        await stage.until_rows_wait(1)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await stage.until_rows_wait(0)
        await stage.tell("open")
        await working
        assert (await client.predict("held", {"value": [3.0]}))["double"][0] == 6.0


@on_both_doors
@in_a_loop
async def test_overload(stage: Stage, door: str) -> None:
    await stage.tell("fill")
    async with stage.client(door) as client:
        full, other = await client.run([held(1.0), double(2.0)])
    assert isinstance(full.error, errors.OverloadedError)
    assert full.error.retry_after_ms is not None
    assert other.table["double"][0] == 4.0


class Noted(Retry):
    """A patience that notes after how long it was asked to come again."""

    asked_for_ms: ClassVar[list[float]] = []

    def wait_ms(self, error: errors.ShoalError, **about: Any) -> float | None:
        self.asked_for_ms.append(error.retry_after_ms or 0.0)
        return super().wait_ms(error, **about)


@in_a_loop
async def test_retry_after(stage: Stage) -> None:
    await stage.tell("fill")
    patience = Noted(attempts=1000, max_wait_ms=60_000)
    async with stage.client(retry=patience) as client:
        began = time.monotonic()
        call = asyncio.create_task(client.predict("held", {"value": [1.0]}))
        await asyncio.to_thread(
            poll, lambda: bool(patience.asked_for_ms), "the first answer has come"
        )
        await stage.tell("open")
        assert (await call)["double"][0] == 2.0
    assert (time.monotonic() - began) * 1000 >= sum(patience.asked_for_ms)


@in_a_loop
async def test_no_vain_retries(stage: Stage) -> None:
    async with stage.client("relay", retry=PATIENT) as client:
        with pytest.raises(errors.UnknownModelError):
            await client.predict("nobody", {"value": [1.0]})
        with pytest.raises(errors.ModelError):
            await doubled(client, -1.0)
    assert (await stage.tell("seen"))["envelopes"] == 2


@in_a_loop
async def test_idempotency(stage: Stage) -> None:
    value = random.random()
    await stage.tell("lose")
    async with stage.client("relay", retry=PATIENT) as client:
        assert await doubled(client, value) == 2 * value
    seen = await stage.tell("seen")
    assert seen["envelopes"] == 2
    assert seen["calls"].count(value) == 1


@on_both_doors
@in_a_loop
async def test_same_key(stage: Stage, door: str) -> None:
    value, key = random.random(), f"key {random.random()}"
    async with stage.client(door) as client:
        first = await doubled(client, value, idempotency_key=key)
        assert await doubled(client, value, idempotency_key=key) == first == 2 * value
        with pytest.raises(errors.IdempotencyError):
            await doubled(client, value + 1, idempotency_key=key)
    assert (await stage.tell("seen"))["calls"].count(value) == 1


@on_both_doors
@in_a_loop
async def test_connection_cut(stage: Stage, door: str) -> None:
    async with stage.client(relayed(door), retry=PATIENT) as client:
        assert await doubled(client, 1.0) == 2.0
        await stage.tell("cut")
        assert await doubled(client, 2.0) == 4.0


@in_a_loop
async def test_connection_reuse(stage: Stage) -> None:
    async with stage.client("relay") as client:
        for number in range(20):
            assert await doubled(client, float(number)) == 2.0 * number
    seen = await stage.tell("seen")
    assert (seen["envelopes"], seen["connections"]) == (20, 1)


@in_a_loop
async def test_server_restarted(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(stage.client(door, retry=PATIENT)) for door in DOORS
        ]
        assert [await doubled(client, 1.0) for client in clients] == [2.0] * len(DOORS)
        await stage.tell("restart")
        assert [await doubled(client, 2.0) for client in clients] == [4.0] * len(DOORS)


@in_a_loop
async def test_server_gone(stage: Stage) -> None:
    async with AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(stage.client(door)) for door in DOORS]
        await stage.tell("kill")
        began = time.monotonic()
        for client in clients:
            with pytest.raises(errors.UnreachableError):
                await doubled(client, 1.0)
        assert time.monotonic() - began < SOON_S
        await stage.tell("start")
    for door in DOORS:
        async with stage.client(door, retry=PATIENT) as client:
            assert await doubled(client, 1.0) == 2.0


@on_both_doors
@in_a_loop
async def test_server_gone_mid_stream(stage: Stage, door: str) -> None:
    await stage.tell("hold")
    async with stage.client(relayed(door)) as client:
        results = client.stream([double(1.0, id="soon"), held(1.0, id="never")])
        assert (await anext(results)).id == "soon"
        await stage.tell("cut")
        lost = await anext(results)
    assert lost.id == "never"
    assert isinstance(lost.error, errors.UnreachableError)
    assert lost.error.task_id == "never"


async def together(client: AsyncClient, values: list[float]) -> list[float]:
    """Asks for all at once."""
    return await asyncio.gather(*(doubled(client, value) for value in values))


@in_a_loop
async def test_micro_batching(stage: Stage) -> None:
    values = [float(number) for number in range(64)]
    async with stage.client("relay") as client:
        assert await together(client, values) == [2 * value for value in values]
    assert (await stage.tell("seen"))["envelopes"] < 32


@in_a_loop
async def test_micro_batching_off(stage: Stage) -> None:
    values = [float(number) for number in range(64)]
    async with stage.client("relay", gather=False) as client:
        assert await together(client, values) == [2 * value for value in values]
    assert (await stage.tell("seen"))["envelopes"] == 64


@on_both_doors
@in_a_loop
async def test_micro_batching_one_bad_call(stage: Stage, door: str) -> None:
    async with stage.client(door) as client:
        calls = [doubled(client, float(number)) for number in range(14)]
        calls.append(doubled(client, -1.0))
        unknown = client.predict("nobody", {"value": [1.0]})
        *answers, bad, nobody = await asyncio.gather(*calls, unknown, return_exceptions=True)
    assert answers == [2.0 * number for number in range(14)]
    assert isinstance(bad, errors.ModelError)
    assert isinstance(nobody, errors.UnknownModelError)


@in_a_loop
async def test_micro_batching_wrong_call(stage: Stage) -> None:
    async with stage.client("relay") as client:
        calls = [doubled(client, float(number)) for number in range(14)]
        calls.append(doubled(client, 1.0, priority=256))
        calls.append(doubled(client, 1.0, idempotency_key="k" * 257))
        *answers, priority, key = await asyncio.gather(*calls, return_exceptions=True)
    assert answers == [2.0 * number for number in range(14)]
    assert isinstance(priority, errors.InvalidRequestError)
    assert isinstance(key, errors.InvalidRequestError)


@on_both_doors
@in_a_loop
async def test_micro_batching_deadlines(stage: Stage, door: str) -> None:
    await stage.tell("hold")
    async with stage.client(door) as client:
        late = client.predict("held", {"value": [1.0]}, timeout_ms=50)
        answers = await asyncio.gather(late, doubled(client, 2.0), return_exceptions=True)
    assert isinstance(answers[0], TOO_LATE)
    assert answers[1] == 4.0


@in_a_loop
async def test_tls_and_key(stage: Stage) -> None:
    secure = await stage.tell("secure")
    key, authority = secure["key"], secure["authority"]
    for scheme in [f"{door}s" for door in DOORS]:
        address = f"{scheme}://{secure['http' if scheme == 'https' else 'grpc']}"
        told = []
        async with stage.of(address, api_key=key, ca=authority) as client:
            assert await doubled(client, 2.0) == 4.0
            told += [repr(client), str(vars(client))]
        async with stage.of(address, ca=authority) as client:
            with pytest.raises(errors.UnauthorizedError) as unauthorized:
                await doubled(client, 2.0)
        async with stage.of(address, api_key=key) as client:
            with pytest.raises(errors.UnreachableError) as unreachable:
                await doubled(client, 2.0)
        told += [str(unauthorized.value), str(unreachable.value)]
        assert not any(key in text for text in told)


def test_threads_share_a_client(stage: Stage) -> None:
    values = [float(number) for number in range(64)]

    with stage.threaded("relay") as client, ThreadPoolExecutor(16) as threads:

        def ask(value: float) -> float:
            answer: float = client.predict("double", {"value": [value]})["double"][0]
            return answer

        assert list(threads.map(ask, values)) == [2 * value for value in values]
    assert stage.say("seen")["envelopes"] < 64


def test_threads_have_all_that_asyncio_has(stage: Stage) -> None:
    with stage.threaded() as client:
        results = client.run([double(1.0), double(-1.0)], merge="mean")
        assert results.merged is not None
        assert results.merged.table["double"].to_list() == [2.0]
        found: list[Result | Merged] = list(client.stream([double(1.0)], merge="sum"))
        assert isinstance(found[-1], Merged)
        with pytest.raises(errors.ModelError):
            client.predict("double", {"value": [-1.0]})
        stage.say("hold")
        with pytest.raises(TOO_LATE):
            client.predict("held", {"value": [1.0]}, timeout_ms=50)


@in_a_loop
async def test_any_number_of_tasks_is_streamed(stage: Stage) -> None:
    taken = []

    def tasks() -> Iterator[Task]:
        for number in range(600):
            taken.append(number)
            yield double(float(number))

    async with stage.client() as client:
        results = client.stream(tasks())
        first = await anext(results)
        assert len(taken) == 256  # no more are taken than are on their way
        found = {first.id: first} | {each.id: each async for each in results}
    assert [found[str(number)].table["double"][0] for number in range(600)] == [
        2.0 * number for number in range(600)
    ]
