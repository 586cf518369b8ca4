"""What clients do over gRPC: each visit asks, checks what comes back, and tallies it."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from tests.end_to_end.driver import DEADLINE_S
from tests.end_to_end.test_bad_input import CALLS

if TYPE_CHECKING:
    from random import Random

    from tests.soak.material import Pool, Question
    from tests.soak.tally import Tally

MOST_ROWS = 64
OWN_CONNECTION = [("grpc.use_local_subchannel_pool", 1)]


def raw_request(question: Question) -> Any:
    """A question to `digits` in raw form; the answer is raw, too."""
    message = service_pb2.ModelInferRequest(model_name="digits")
    message.inputs.add(name="X", datatype="FP32", shape=[question.rows, 64])
    message.raw_input_contents.append(question.raw)
    return message


def typed_request(question: Question) -> Any:
    """A question to `digits` in typed form; the answer is typed, too."""
    message = service_pb2.ModelInferRequest(model_name="digits")
    column = message.inputs.add(name="X", datatype="FP32", shape=[question.rows, 64])
    column.contents.fp32_contents.extend(struct.unpack(f"<{64 * question.rows}f", question.raw))
    return message


def value_request(value: float) -> Any:
    """A question to `fragile`."""
    message = service_pb2.ModelInferRequest(model_name="fragile")
    message.inputs.add(name="value", datatype="FP64", shape=[1])
    message.raw_input_contents.append(struct.pack("<d", value))
    return message


def raw_answer(answer: Any) -> tuple[list[int], list[float]]:
    """Labels and scores of a raw answer."""
    labels, scores = answer.raw_output_contents
    return (
        list(struct.unpack(f"<{len(labels) // 8}q", labels)),
        list(struct.unpack(f"<{len(scores) // 4}f", scores)),
    )


def typed_answer(answer: Any) -> tuple[list[int], list[float]]:
    """Labels and scores of a typed answer."""
    label, scores = answer.outputs
    return list(label.contents.int64_contents), list(scores.contents.fp32_contents)


TOO_LATE = {grpc.StatusCode.DEADLINE_EXCEEDED, grpc.StatusCode.UNAVAILABLE}


class GrpcVisitor:
    """A client with one channel."""

    def __init__(self, address: str, pool: Pool, random: Random, tally: Tally) -> None:
        self._address, self._pool, self._random, self._tally = address, pool, random, tally
        self._channel = grpc.insecure_channel(address, OWN_CONNECTION)
        self._stub = service_pb2_grpc.GRPCInferenceServiceStub(self._channel)

    def close(self) -> None:
        """Close the channel."""
        self._channel.close()

    def _check(self, question: Question, found: tuple[list[int], list[float]]) -> None:
        is_right = found == (question.labels, question.scores)
        if not is_right:
            self._tally.fail(f"gRPC: {question.rows} rows: {found}")
        self._tally.counts["ok/digits"] += is_right

    def _check_error(self, error: Any, *, status: grpc.StatusCode, says: str) -> None:
        """The status, the words, and the code of the catalogue beside them."""
        codes = [value for name, value in error.trailing_metadata() if name == "shoal-code"]
        if error.code() != status or says not in error.details() or len(codes) != 1:
            self._tally.fail(f"gRPC: {error.code()} {error.details()} {codes} is not {status}")
        self._tally.counts.update(codes)

    def ask_raw(self) -> None:
        question = self._pool.question(1, 4 * MOST_ROWS)
        answer = self._stub.ModelInfer(raw_request(question), timeout=DEADLINE_S)
        self._check(question, raw_answer(answer))

    def ask_typed(self) -> None:
        question = self._pool.question(1, MOST_ROWS)
        answer = self._stub.ModelInfer(typed_request(question), timeout=DEADLINE_S)
        self._check(question, typed_answer(answer))

    def ask_several_at_once(self) -> None:
        """On one connection; they may come back in any order."""
        questions = [self._pool.question(1, 4) for _ in range(self._random.randint(2, 8))]
        calls = [self._stub.ModelInfer.future(raw_request(each), DEADLINE_S) for each in questions]
        for question, call in zip(questions, calls, strict=True):
            self._check(question, raw_answer(call.result()))

    def ask_fragile(self) -> None:
        value = float(self._random.randrange(1 << 40))
        answer = self._stub.ModelInfer(value_request(value), timeout=DEADLINE_S)
        is_right = struct.unpack("<d", answer.raw_output_contents[0]) == (2 * value,)
        if not is_right:
            self._tally.fail(f"gRPC: the double of {value}: {answer}")
        self._tally.counts["ok/fragile"] += is_right

    def break_fragile(self) -> None:
        self._fail_as(value_request(-1.0), grpc.StatusCode.INTERNAL, "below zero")

    def ask_wrongly(self) -> None:
        call = self._random.choice(CALLS)
        self._fail_as(call.request, call.status, call.says)

    def _fail_as(self, request: Any, status: grpc.StatusCode, says: str) -> None:
        try:
            answer = self._stub.ModelInfer(request, timeout=DEADLINE_S)
            self._tally.fail(f"gRPC: {says} is answered: {answer}")
        except grpc.RpcError as error:
            self._check_error(error, status=status, says=says)

    def ask_in_a_hurry(self) -> None:
        """Right, or refused at the door, or too late; the client may be the first to say so."""
        question = self._pool.question(1, MOST_ROWS)
        try:
            patience_s = self._random.choice([1e-4, 1e-3, 5e-3])
            answer = self._stub.ModelInfer(raw_request(question), timeout=patience_s)
            self._check(question, raw_answer(answer))
        except grpc.RpcError as error:
            if error.code() not in TOO_LATE:
                self._tally.fail(f"gRPC: {error.code()} {error.details()} in a hurry")
            self._tally.counts["abandoned/digits"] += 1

    def cancel(self) -> None:
        call = self._stub.ModelInfer.future(raw_request(self._pool.question(1, 3 * MOST_ROWS)))
        call.cancel()
        self._tally.counts["abandoned/digits"] += 1

    def vanish(self) -> None:
        """The connection goes with calls under way."""
        with grpc.insecure_channel(self._address, OWN_CONNECTION) as channel:
            grpc.channel_ready_future(channel).result(DEADLINE_S)
            stub = service_pb2_grpc.GRPCInferenceServiceStub(channel)
            stub.ModelInfer.future(raw_request(self._pool.question(1, MOST_ROWS)))
            stub.ModelInfer.future(value_request(1.0))
        self._tally.counts.update(["abandoned/digits", "abandoned/fragile"])
