"""Ask a question in one of the forms, judge what comes back, and write its fate into the ledger."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import grpc
from tritonclient.grpc import service_pb2

from tests.end_to_end.driver import DEADLINE_S
from tests.soak.faults.lines import Lines
from tests.soak.wire import ClosedError, TornError, request

if TYPE_CHECKING:
    from tests.soak.faults.ledger import Ledger
    from tests.soak.faults.questions import Question
    from tests.soak.wire import Answer

FORMS = ("json", "binary", "grpc")
CHANNELS = 4
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]
INFER = "/inference.GRPCInferenceService/ModelInfer"

FULL = frozenset({"queue_full"})
LOST = FULL | {"worker_lost", "model_unavailable"}
DUE = {  # what may be refused although nothing is wrong with the request
    "digits": FULL,
    "switched": FULL,
    "pure": LOST,
    "careful": LOST | {"model_failed", "worker_timeout"},  # and what a batch-mate has done
}


class Asker:
    """HTTP connections and gRPC channels to one server."""

    def __init__(self, http: str, grpc_address: str, ledger: Ledger) -> None:
        self.http, self.grpc, self.ledger = http, grpc_address, ledger
        self._lines = Lines(http, self.stray)
        self.channels = [
            grpc.aio.insecure_channel(grpc_address, OWN_CONNECTION) for _ in range(CHANNELS)
        ]

    def stray(self, data: bytes) -> None:
        """Bytes that nobody asked for."""
        self.ledger.fail(f"an answer that nobody asked for: {data[:200]!r}")
        self.ledger.seen.twice += 1

    @staticmethod
    async def pause(seconds: float) -> None:
        """Let that much time pass: for what happens at its own time, not when something is so."""
        passed = asyncio.Event()
        asyncio.get_running_loop().call_later(seconds, passed.set)
        await passed.wait()

    def call(self, channel: int) -> Any:
        """The call of a channel."""
        return self.channels[channel % CHANNELS].unary_unary(
            INFER,
            request_serializer=service_pb2.ModelInferRequest.SerializeToString,
            response_deserializer=service_pb2.ModelInferResponse.FromString,
        )

    async def ask(
        self, question: Question, form: str, *, due: frozenset[str] | None = None, **wishes: object
    ) -> None:
        """Ask; `due` are the codes with which it may be refused instead of answered."""
        allowed = DUE[question.model] if due is None else due
        number = self.ledger.ask(question.model)
        try:
            async with asyncio.timeout(DEADLINE_S):
                await getattr(self, f"_in_{form}")(question, number, allowed, **wishes)
        except (ClosedError, TornError, TimeoutError, OSError) as error:
            self.ledger.fail(f"{question.model} {number} over {form} is not answered: {error!r}")

    async def _in_json(
        self, question: Question, number: str, due: frozenset[str], **wishes: object
    ) -> None:
        body = question.json(number, **wishes)
        answer = await self._lines.ask(request(question.path, body))
        if answer.status != 200:
            self._refused(question, number, answer, due)
            return
        is_right = question.is_answered_in_json(number, answer.body)
        self.ledger.answered(number, question.model, is_right=is_right, said=answer.body)

    async def _in_binary(self, question: Question, number: str, due: frozenset[str]) -> None:
        head, raw = question.binary(number)
        length = {"inference-header-content-length": str(len(head))}
        answer = await self._lines.ask(request(question.path, head + raw, headers=length))
        if answer.status != 200:
            self._refused(question, number, answer, due)
            return
        head_bytes = int(answer.headers["inference-header-content-length"])
        is_right = question.is_answered_in_binary(number, answer.body, head_bytes)
        self.ledger.answered(number, question.model, is_right=is_right, said=answer.body)

    def _refused(
        self, question: Question, number: str, answer: Answer, due: frozenset[str]
    ) -> None:
        code = str(json.loads(answer.body)["code"])
        self.ledger.refused(number, question.model, code, is_due=code in due)

    async def _in_grpc(self, question: Question, number: str, due: frozenset[str]) -> None:
        call = self.call(int(number.rpartition("-")[2]))
        try:
            answer = await call(question.message(number))
        except grpc.aio.AioRpcError as error:
            code = code_of(error)
            self.ledger.refused(number, question.model, code, is_due=code in due)
        else:
            is_right = question.is_answered_by_message(number, answer)
            self.ledger.answered(number, question.model, is_right=is_right, said=answer)

    async def close(self) -> None:
        """Close every connection."""
        self._lines.close()
        for channel in self.channels:
            await channel.close()


def code_of(error: grpc.aio.AioRpcError) -> str:
    """The code of the catalogue, or the words of a client library that had no answer."""
    codes = [str(value) for name, value in error.trailing_metadata() if name == "shoal-code"]
    return codes[0] if codes else f"{error.code().name}: {error.details()}"
