"""Everything that clients do to a server in malice or by mishap; each kind is counted.

A kind is a method of `Mischief`. `DECK` says how often each is drawn; a shuffled deck is played to
its end before it is shuffled again, so that a short run has each kind as well. The kinds of `RARE`
take turns.
"""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING

import grpc

from tests.end_to_end.test_bad_input import CALLS, CASES
from tests.soak.faults.asking import DUE, LOST, OWN_CONNECTION, code_of
from tests.soak.faults.lines import connect
from tests.soak.faults.questions import doubles
from tests.soak.stories.fickle import ENDS, HANGS, RAISES
from tests.soak.wire import ClosedError, request

if TYPE_CHECKING:
    from random import Random

    from tests.soak.faults.asking import Asker
    from tests.soak.faults.lines import Line
    from tests.soak.faults.questions import Question

POST = b"POST /v2/models/digits/infer HTTP/1.1\r\nhost: x\r\n"
BODY_LIMIT_BYTES = 1 << 20
DROPPED_AT_ONCE = 20
MALFORMED = [case for case in CASES if case.path.startswith("/v2/models/digits")]
HURRIED = frozenset({"deadline_out_of_reach", "deadline_exceeded"})
DECK = {
    "gone_mid_request": 8,
    "gone_mid_request_over_grpc": 8,
    "gone_mid_upload": 8,
    "malformed": 8,
    "malformed_over_grpc": 4,
    "oversize_announced": 2,
    "oversize_sent": 2,
    "hurried": 8,
    "hurried_over_grpc": 4,
    "raising_row": 6,
    "opened_and_dropped": 2,
    "slow_head": 2,
    "slow_body": 2,
}
RARE = ("ending_row", "hanging_row")  # each costs a worker, and a new one seconds of a processor


class Mischief:
    """One client that does what it should not."""

    def __init__(
        self, asker: Asker, questions: dict[str, list[Question]], random: Random, *, turn: int
    ) -> None:
        self._asker, self._questions, self._random = asker, questions, random
        self._ledger = asker.ledger
        self._deck: list[str] = []
        self._rare = itertools.islice(itertools.cycle(RARE), turn, None)

    async def once(self) -> None:
        """Do the next thing of the deck."""
        if not self._deck:
            self._deck = [kind for kind, count in DECK.items() for _ in range(count)]
            self._random.shuffle(self._deck)
        await self._do(self._deck.pop())

    async def once_rare(self) -> None:
        """Do the next thing that is rare."""
        await self._do(next(self._rare))

    async def _do(self, kind: str) -> None:
        self._ledger.seen.faults[kind] += 1
        try:
            await getattr(self, f"_{kind}")()
        except (ClosedError, OSError) as error:
            self._ledger.fail(f"{kind}: {error!r}")

    def _question(self, *models: str) -> Question:
        model = self._random.choice(models or ("digits", "pure", "careful"))
        return self._random.choice(self._questions[model])

    async def _connect(self) -> Line:
        return await connect(self._asker.http, lambda _: None)

    def _leave(self, line: Line) -> None:
        self._random.choice([line.close, line.vanish])()

    async def _gone_mid_request(self) -> None:
        question, line = self._question(), await self._connect()
        number = self._ledger.ask(question.model)
        line.send(request(question.path, question.json(number)))
        if self._random.random() < 0.5:
            await self._asker.pause(self._random.random() * 0.01)
        self._leave(line)
        self._ledger.left(number, question.model)

    async def _gone_mid_request_over_grpc(self) -> None:
        question = self._question()
        number = self._ledger.ask(question.model)
        call = self._asker.call(0)(question.message(number))
        await self._asker.pause(self._random.random() * 0.005)
        call.cancel()
        self._ledger.left(number, question.model)

    async def _gone_mid_upload(self) -> None:
        line = await self._connect()
        data = request("/v2/models/digits/infer", self._question("digits").json("torn"))
        line.send(data[: self._random.randrange(1, len(data) - 1)])
        if self._random.random() < 0.5:
            await self._asker.pause(self._random.random() * 0.01)
        self._leave(line)

    async def _malformed(self) -> None:
        case, line = self._random.choice(MALFORMED), await self._connect()
        body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
        body = b"" if case.body is None else body
        data = request(case.path, body, method=case.method, headers=case.headers)
        await self._expect(line, data, case.code)

    async def _malformed_over_grpc(self) -> None:
        call = self._random.choice(CALLS)
        try:
            await self._asker.call(0)(call.request)
            self._ledger.fail(f"gRPC: {call.name} is answered")
        except grpc.aio.AioRpcError as error:
            self._ledger.seen.other_codes[code_of(error)] += 1
            if error.code() != call.status or call.says not in (error.details() or ""):
                self._ledger.fail(f"gRPC: {call.name}: {error.code()} {error.details()}")

    async def _oversize_announced(self) -> None:
        length = {"content-length": str(BODY_LIMIT_BYTES + 1)}
        data = request("/v2/models/digits/infer", b"{", headers=length)
        await self._expect(await self._connect(), data, "body_too_large")

    async def _oversize_sent(self) -> None:
        """In chunks, so that its size is not known before it is here."""
        chunk = b"10000\r\n" + b" " * 0x10000 + b"\r\n"
        head = POST + b"transfer-encoding: chunked\r\n\r\n"
        data = head + chunk * (BODY_LIMIT_BYTES // 0x10000 + 1) + b"0\r\n\r\n"
        await self._expect(await self._connect(), data, "body_too_large")

    async def _expect(self, line: Line, data: bytes, code: str) -> None:
        answer = await line.ask(data)
        found = json.loads(answer.body).get("code")
        self._ledger.seen.other_codes[found] += 1
        if found != code:
            self._ledger.fail(f"{found} is not {code}: {answer.body!r}")
        line.close()

    async def _hurried(self) -> None:
        """Right, or refused at the door, or too late."""
        question = self._question()
        patience_us = self._random.choice([1, 50, 500, 2000])
        due = DUE[question.model] | HURRIED
        await self._asker.ask(question, "json", due=due, timeout=patience_us)

    async def _hurried_over_grpc(self) -> None:
        """The client may be the first to say that it is too late: then it did not wait."""
        question = self._question()
        number = self._ledger.ask(question.model)
        call = self._asker.call(0)
        try:
            patience_s = self._random.choice([1e-3, 5e-3])
            answer = await call(question.message(number), timeout=patience_s)
        except grpc.aio.AioRpcError:
            self._ledger.left(number, question.model)
        else:
            is_right = question.is_answered_by_message(number, answer)
            self._ledger.answered(number, question.model, is_right=is_right, said=answer)

    async def _raising_row(self) -> None:
        await self._ask_row(RAISES, "model_failed")

    async def _ending_row(self) -> None:
        await self._ask_row(ENDS, "worker_lost")

    async def _hanging_row(self) -> None:
        await self._ask_row(HANGS, "worker_timeout")

    async def _ask_row(self, row: float, code: str) -> None:
        """The row is never answered: with its own error, or by what happens to its worker."""
        model = self._random.choice(["pure", "careful"])
        form = self._random.choice(["json", "grpc"])
        own = LOST | {code} if model == "pure" else DUE["careful"]
        await self._asker.ask(doubles(model, [row]), form, due=own)

    async def _opened_and_dropped(self) -> None:
        for _ in range(DROPPED_AT_ONCE):
            self._leave(await self._connect())
        async with grpc.aio.insecure_channel(self._asker.grpc, OWN_CONNECTION) as channel:
            await channel.channel_ready()

    async def _slow_head(self) -> None:
        await self._drip(POST)

    async def _slow_body(self) -> None:
        await self._drip(POST + b"content-length: 1000\r\n\r\n{")

    async def _drip(self, begun: bytes) -> None:
        """One byte at a time, until the server has had enough of it."""
        line = await self._connect()
        line.send(begun)
        while line.is_open:
            line.send(b"x")
            await self._asker.pause(0.1)
        line.close()
