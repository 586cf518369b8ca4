"""What clients do over HTTP: each visit asks, checks what comes back, and tallies it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from tests.end_to_end.test_bad_input import CASES, DEEP_CASES, LIMIT_BYTES, Case
from tests.soak.wire import Connection, request

if TYPE_CHECKING:
    from random import Random

    from tests.soak.material import Pool, Question
    from tests.soak.tally import Tally
    from tests.soak.wire import Answer

DIGITS, FRAGILE = "/v2/models/digits/infer", "/v2/models/fragile/infer"
MOST_ROWS = 64  # of one micro-batch: more are split
OF_MODELS_HERE = [case for case in (*CASES, *DEEP_CASES) if "tickets" not in case.path]


def value_body(value: float) -> bytes:
    """A question to `fragile`."""
    column = {"name": "value", "shape": [1], "datatype": "FP64", "data": [value]}
    return json.dumps({"inputs": [column]}).encode()


class HttpVisitor:
    """A client with one connection, which it keeps as long as the server does."""

    def __init__(self, address: str, pool: Pool, random: Random, tally: Tally) -> None:
        self._address, self._pool, self._random, self._tally = address, pool, random, tally
        self._connection: Connection | None = None

    def close(self) -> None:
        """Close the connection; nothing may be left in it."""
        if self._connection is not None:
            self._expect(self._connection.is_silent(), "an answer that nobody asked for")
            self._connection.close()
            self._connection = None

    def _expect(self, is_so: bool, what: str) -> None:  # noqa: FBT001 - reads as an assertion
        if not is_so:
            self._tally.fail(what)

    def _open(self) -> Connection:
        if self._connection is None:
            self._connection = Connection(self._address)
        return self._connection

    def _exchange(self, data: bytes) -> Answer:
        self._open().send(data)
        return self._answer()

    def _answer(self) -> Answer:
        answer = self._open().answer()
        if answer.is_last:
            self.close()
        return answer

    def _check(self, question: Question, answer: Answer) -> None:
        is_right = answer.status == 200 and question.is_answered_by(answer.body)
        self._expect(is_right, f"{question.rows} rows, {answer.status}: {answer.body!r}")
        self._tally.counts["ok/digits"] += is_right

    def _check_error(self, answer: Answer, *, status: int, code: str) -> None:
        found = (answer.status, json.loads(answer.body).get("code"))
        self._expect(found == (status, code), f"{found} is not {status} {code}: {answer.body!r}")
        self._tally.counts[code] += found == (status, code)

    def ask_one_row(self) -> None:
        question = self._pool.question(1, 1)
        self._check(question, self._exchange(request(DIGITS, question.body())))

    def ask_many_rows(self) -> None:
        question = self._pool.question(2, MOST_ROWS)
        self._check(question, self._exchange(request(DIGITS, question.body())))

    def ask_more_rows_than_a_micro_batch_holds(self) -> None:
        question = self._pool.question(MOST_ROWS + 1, 10 * MOST_ROWS)
        self._check(question, self._exchange(request(DIGITS, question.body())))

    def ask_in_binary(self) -> None:
        question = self._pool.question(1, 2 * MOST_ROWS)
        column: dict[str, Any] = {"name": "X", "shape": [question.rows, 64], "datatype": "FP32"}
        column["parameters"] = {"binary_data_size": len(question.raw)}
        head = json.dumps({"inputs": [column]}).encode()
        length = {"inference-header-content-length": str(len(head))}
        answer = self._exchange(request(DIGITS, head + question.raw, headers=length))
        self._check(question, answer)

    def ask_several_at_once(self) -> None:
        """Pipelined: the answers come in the order of the questions."""
        questions = [self._pool.question(1, 4) for _ in range(self._random.randint(2, 8))]
        self._open().send(b"".join(request(DIGITS, each.body()) for each in questions))
        for question in questions:
            self._check(question, self._answer())

    def ask_fragile(self) -> None:
        value = float(self._random.randrange(1 << 40))
        answer = self._exchange(request(FRAGILE, value_body(value)))
        is_right = answer.status == 200 and json.loads(answer.body)["outputs"][0]["data"] == [
            2 * value
        ]
        self._expect(is_right, f"the double of {value}: {answer.body!r}")
        self._tally.counts["ok/fragile"] += is_right

    def break_fragile(self) -> None:
        answer = self._exchange(request(FRAGILE, value_body(-1.0)))
        self._check_error(answer, status=500, code="model_failed")

    def ask_in_a_hurry(self) -> None:
        """A deadline of microseconds: right, or refused at the door, or too late."""
        question = self._pool.question(1, MOST_ROWS)
        body = question.body(timeout=self._random.choice([1, 50, 500]))
        answer = self._exchange(request(DIGITS, body))
        if answer.status == 200:
            self._check(question, answer)
        elif answer.status == 503:
            self._check_error(answer, status=503, code="deadline_out_of_reach")
        else:
            self._check_error(answer, status=504, code="deadline_exceeded")

    def ask_wrongly(self) -> None:
        case = self._random.choice(OF_MODELS_HERE)
        body = case.body if isinstance(case.body, bytes) else json.dumps(case.body).encode()
        body = b"" if case.body is None else body
        data = request(case.path, body, method=case.method, headers=case.headers)
        self._check_case(case, self._exchange(data))

    def _check_case(self, case: Case, answer: Answer) -> None:
        self._check_error(answer, status=case.status, code=case.code)
        self._expect(case.says in json.loads(answer.body)["error"], f"{case.name}: {answer.body!r}")

    def announce_too_much(self) -> None:
        length = {"content-length": str(LIMIT_BYTES + 1)}
        answer = self._exchange(request(DIGITS, b"{", headers=length))
        self._check_error(answer, status=413, code="body_too_large")
        self.close()  # the body never comes: what follows would be taken for it

    def speak_no_http(self) -> None:
        self.close()
        self._check_noise(self._exchange(self._noise()))

    def speak_no_http_after_a_question(self) -> None:
        """The question is answered as if nothing had come behind it."""
        question = self._pool.question(1, 4)
        self._open().send(request(DIGITS, question.body()) + self._noise())
        self._check(question, self._answer())
        self._check_noise(self._answer())

    def begin_the_next_question_early(self) -> None:
        """An answer does not wait for the rest of a question that has only begun to arrive."""
        first, second = self._pool.question(1, 4), self._pool.question(1, 4)
        data = request(DIGITS, second.body())
        torn = self._random.randrange(1, len(data))
        self._open().send(request(DIGITS, first.body()) + data[:torn])
        self._check(first, self._answer())
        self._open().send(data[torn:])
        self._check(second, self._answer())

    def _noise(self) -> bytes:
        return self._random.randbytes(64) + b"\r\n\r\n"

    def _check_noise(self, answer: Answer) -> None:
        self._expect(answer.status == 400, f"noise is answered with {answer.status}")
        self._tally.counts["no_http"] += 1
        self.close()

    def vanish_while_asking(self) -> None:
        """The question is whole; nobody waits for the answer."""
        self.close()
        connection = Connection(self._address)
        connection.send(request(DIGITS, self._pool.question(1, 3 * MOST_ROWS).body()))
        self._tally.counts["abandoned/digits"] += 1
        self._leave(connection)

    def vanish_while_fragile_works(self) -> None:
        connection = Connection(self._address)
        connection.send(request(FRAGILE, value_body(1.0)))
        self._tally.counts["abandoned/fragile"] += 1
        self._leave(connection)

    def vanish_while_sending(self) -> None:
        """The question is torn at a random byte, of its head or of its body."""
        connection = Connection(self._address)
        data = request(DIGITS, self._pool.question(1, 3 * MOST_ROWS).body())
        connection.send(data[: self._random.randrange(1, len(data) - 1)])
        self._tally.counts["torn"] += 1
        self._leave(connection)

    def _leave(self, connection: Connection) -> None:
        self._random.choice([connection.close, connection.vanish])()
