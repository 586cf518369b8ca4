"""Whole answers, and what a client hands out of them."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from protocol.vectors.task_vectors import as_arrow, as_json
from protocol.vectors.task_vectors.as_protobuf import (
    VARINT,
    message,
    octets,
    tag,
    texts,
    unsigned,
    varint,
)
from protocol.vectors.task_vectors.as_protobuf import table as table_message
from protocol.vectors.task_vectors.neutral import Column, Table, described

if TYPE_CHECKING:
    from collections.abc import Iterator

    from protocol.vectors.task_vectors.collection import Vectors


@dataclass(frozen=True)
class Error:
    """The error of a task."""

    code: str
    error: str = ""
    hint: str = ""
    retry_after_ms: int | None = None

    def fields(self) -> dict[str, Any]:
        """Gives the object of JSON."""
        said: dict[str, Any] = {"error": self.error, "code": self.code}
        said |= {"hint": self.hint} if self.hint else {}
        later = self.retry_after_ms
        return said if later is None else {**said, "retry_after_ms": later}

    def message(self) -> bytes:
        """Gives the message of protobuf."""
        later = self.retry_after_ms
        wait = b"" if later is None else tag(4, VARINT) + varint(later)
        return octets(1, self.code) + octets(2, self.error) + octets(3, self.hint) + wait


def handed(error: Error) -> dict[str, Any]:
    """Gives an error as a client hands it out; texts of its own are its own affair."""
    return {key: value for key, value in error.fields().items() if value != ""}


@dataclass(frozen=True)
class Result:
    """The entry of a task: its answer, or its error; with a merge neither where it succeeded."""

    id: str
    outcome: Table | Error | None
    model: str = "m"
    version: str = "1"
    batch_rows: int = 0

    def about(self) -> dict[str, Any]:
        """Gives who answered, or the error."""
        if isinstance(self.outcome, Error):
            return {"id": self.id, "error": self.outcome.fields()}
        return {name: getattr(self, name) for name in ("id", "model", "version")}

    def fields(self, table: Any) -> dict[str, Any]:
        """Gives all fields; `table` is its table as it is written there."""
        if isinstance(self.outcome, Error):
            return self.about()
        answer = {} if self.outcome is None else {"table": table}
        return {**self.about(), **answer, "batch_rows": self.batch_rows}

    def described(self) -> dict[str, Any]:
        """Gives the entry as `tasks.json` describes it."""
        outcome = self.outcome
        if isinstance(outcome, Error):
            return {"id": self.id, "error": handed(outcome)}
        return self.fields(None if outcome is None else described(outcome))

    def message(self) -> bytes:
        """Gives the entry in protobuf."""
        if isinstance(self.outcome, Error):
            return octets(1, self.id) + message(6, self.outcome.message())
        parts = octets(1, self.id) + octets(2, self.model) + octets(3, self.version)
        table = self.outcome
        answer = b"" if table is None else message(5, table_message(table))
        return parts + unsigned(4, self.batch_rows) + answer


@dataclass(frozen=True)
class Merged:
    """The results joined."""

    outcome: Table | Error
    left_out: list[str] = field(default_factory=list)

    def fields(self, table: Any) -> dict[str, Any]:
        """Gives the object; `table` is its table as it is written there."""
        outcome = self.outcome
        said = {"error": outcome.fields()} if isinstance(outcome, Error) else {"table": table}
        return {**said, "left_out": self.left_out}

    def described(self) -> dict[str, Any]:
        """Gives it as `tasks.json` describes it."""
        outcome = self.outcome
        if isinstance(outcome, Error):
            return {"error": handed(outcome), "left_out": self.left_out}
        return self.fields(described(outcome))

    def message(self) -> bytes:
        """Gives it in protobuf."""
        outcome = self.outcome
        if isinstance(outcome, Error):
            return message(2, outcome.message()) + texts(3, self.left_out)
        return message(1, table_message(outcome)) + texts(3, self.left_out)


@dataclass(frozen=True)
class Answer:
    """Results in the order of the tasks, and the merge if one was asked for."""

    results: list[Result]
    merged: Merged | None = None

    def described(self) -> dict[str, Any]:
        """Gives the answer as `tasks.json` describes it."""
        results = [result.described() for result in self.results]
        return {"results": results, "merged": self.merged.described() if self.merged else None}

    def tables(self) -> list[Table]:
        """Gives all tables, in the order in which they follow the head of Arrow."""
        outcomes = [result.outcome for result in self.results]
        outcomes += [self.merged.outcome] if self.merged else []
        return [outcome for outcome in outcomes if isinstance(outcome, Table)]

    def fields(self, tables: list[Any]) -> dict[str, Any]:
        """Gives the fields of JSON; `tables` are its tables as they are written there."""
        left = iter(tables)
        said: dict[str, Any] = {"results": [entry(result, left) for result in self.results]}
        if self.merged:
            is_table = isinstance(self.merged.outcome, Table)
            said["merged"] = self.merged.fields(next(left) if is_table else None)
        return said

    def asked(self) -> list[str]:
        """Gives the ids of the tasks."""
        return [result.id for result in self.results]


def entry(result: Result, tables: Iterator[Any]) -> dict[str, Any]:
    """Gives the fields of a result."""
    return result.fields(next(tables) if isinstance(result.outcome, Table) else None)


def in_json(answer: Answer) -> bytes:
    """Gives the body in JSON."""
    return as_json.text(answer.fields([as_json.table(table) for table in answer.tables()]))


def in_arrow(answer: Answer) -> bytes:
    """Gives the body in Arrow."""
    streams = [as_arrow.table(table) for table in answer.tables()]
    head = answer.fields([{"arrow": len(stream)} for stream in streams])
    return as_arrow.head(as_json.text(head)) + b"".join(streams)


def in_protobuf(answer: Answer) -> bytes:
    """Gives the body in protobuf."""
    results = b"".join(message(1, result.message()) for result in answer.results)
    return results + (message(2, answer.merged.message()) if answer.merged else b"")


def in_lines(answer: Answer) -> bytes:
    """Gives the body line by line, in the order of the results."""
    fields = answer.fields([as_json.table(table) for table in answer.tables()])
    lines = [as_json.text(one) for one in fields["results"]]
    lines += [as_json.text({"merged": fields["merged"]})] if answer.merged else []
    return b"".join(line + b"\n" for line in lines)


FORMS = {"json": in_json, "arrow": in_arrow, "protobuf": in_protobuf, "ndjson": in_lines}
NUMBERS = Table.of(
    Column("y", "INT64", [1, None, 2**53 + 1]), Column("p", "FP32", [0.1, 0.5, -1.5])
)
WORDS = Table.of(Column("label", "UTF8", ["käse 🐟", ""]), Column("raw", "BYTES", [b"\xff", None]))
FULL = Error("queue_full", 'the queue of "m" is full', "try again a little later", 250)
WRONG = Error("wrong_dtype", 'column "x" record 1 is 300, expected a value that INT8 holds')
GONE, NOT_UNDERSTOOD = Error("server_unreachable"), Error("invalid_answer")
MIXED = Table.of(Column("z", "MIXED", [1, None, 0.5, "a", True, 2**63 - 1]))
BOTH = Answer([Result("a", NUMBERS, batch_rows=64), Result("b", WORDS, "n", "2", 2)])


class Responses:
    """Adds answers."""

    def __init__(self, vectors: Vectors) -> None:
        self.vectors = vectors

    def everywhere(self, name: str, answer: Answer) -> None:
        """Adds an answer in each encoding, as it is written."""
        for encoding, form in FORMS.items():
            written = {} if encoding == "arrow" else {"written": True}
            self.add(f"{name}_{encoding}", encoding, form(answer), answer, **written)

    def add(self, name: str, encoding: str, body: bytes, answer: Answer, **more: Any) -> None:
        """Adds an answer to tasks of these ids, of which a client makes `answer`."""
        about = {"kind": "tasks_response", "status": 200, "headers": {}, "asked": answer.asked()}
        about |= {"merge": answer.merged is not None, **more}
        self.vectors.add(f"response_{name}", encoding, body, **about, expect=answer.described())

    def refused(
        self, name: str, body: bytes, error: Error, encoding: str = "json", **more: Any
    ) -> None:
        """Adds an answer of which a client makes one error for all tasks."""
        about = {"kind": "tasks_response", "status": 200, "headers": {}, "asked": ["a", "b"]}
        about |= {"merge": False, **more}
        self.vectors.add(
            f"response_{name}", encoding, body, **about, expect={"error": handed(error)}
        )


def add_written(add: Responses) -> None:
    """Adds answers as they are written."""
    add.everywhere("two_tasks", BOTH)
    one_bad = [Result("a", NUMBERS, batch_rows=3), Result("b", WRONG), Result("c", FULL)]
    add.everywhere("one_bad_task", Answer(one_bad))
    codes = ["deadline_exceeded", "unknown_model", "model_failed", "no_route", "internal"]
    errors = [Result(code, Error(code, f"of {code}", "a hint")) for code in codes]
    at_once = Result("at once", Error("server_busy", "full", "", 0))
    add.everywhere("errors_alone", Answer([*errors, at_once]))
    failed = [Result("a", None, batch_rows=3), Result("b", WRONG), Result("c", None, batch_rows=2)]
    merged = Merged(Table.of(Column("y", "FP64", [0.25])), ["b"])
    add.everywhere("merged", Answer(failed, merged))
    all_in = [Result("a", None, batch_rows=3)]
    add.everywhere("merged_of_all", Answer(all_in, Merged(NUMBERS)))
    mismatch = Error("merge_mismatch", 'task "c" has no column "y"', "name the columns")
    add.everywhere("merge_refused", Answer(failed, Merged(mismatch, ["b"])))
    none = Table.of(Column("y", "FP32", []), Column("v", "FP32", [], [3]))
    add.everywhere("no_rows", Answer([Result("0", none)]))
    strange = Result("ä" * 128, MIXED, "modèle 🐟", "v 1", 6)
    add.everywhere("names", Answer([strange, Result("\0", NUMBERS, batch_rows=2**20)]))


def add_lines(add: Responses) -> None:
    """Adds answers line by line that come in another order, or end early."""
    first, second = in_lines(BOTH).splitlines(keepends=True)
    add.add("lines_in_another_order", "ndjson", second + first, BOTH)
    gone = Answer([Result("a", GONE), BOTH.results[1]])
    add.add("line_missing", "ndjson", second, gone)
    add.add("line_cut_short", "ndjson", second + first[:-20], gone)
    add.add("line_without_its_end", "ndjson", second + first[:-1], BOTH)
    add.add("no_lines", "ndjson", b"", Answer([Result("a", GONE), Result("b", GONE)]))
    add.add("empty_lines", "ndjson", b"\n" + first + b"\r\n\n" + second, BOTH)
    merged = Answer([Result("a", None, batch_rows=3)], Merged(NUMBERS))
    line, last = in_lines(merged).splitlines(keepends=True)
    lost = Answer(merged.results, Merged(GONE))
    add.add("merge_missing", "ndjson", line, lost)
    add.add("merge_cut_short", "ndjson", line + last[:-9], lost)
    broken = Answer([Result("a", NOT_UNDERSTOOD), BOTH.results[1]])
    add.add("line_that_is_no_json", "ndjson", second + b"<html>\n" + first, broken)
    other = first.replace(b'"a"', b'"c"')
    add.add("line_of_a_task_not_asked", "ndjson", second + other + first, broken)
    add.add("two_lines_of_a_task", "ndjson", second + second + first, broken)


def add_forms(add: Responses) -> None:
    """Adds answers of a newer server, and with tables that are wrong in themselves."""
    body = in_json(BOTH)
    newer = body.replace(b'{"results":', b'{"said":[1],"results":').replace(
        b'"model":"n"', b'"model":"n","cost":{}'
    )
    add.add("unknown_fields", "json", newer, BOTH)
    packed = unsigned(91, 7) + in_protobuf(BOTH) + octets(92, "said")
    add.add("protobuf_unknown_fields", "protobuf", packed, BOTH)
    with_arrow = octets(1, "b") + octets(2, "n") + octets(3, "2") + unsigned(4, 2)
    with_arrow += message(5, octets(3, as_arrow.table(WORDS)))
    mixed = message(1, BOTH.results[0].message()) + message(1, with_arrow)
    add.add("protobuf_with_arrow", "protobuf", mixed, BOTH)
    swapped = Answer(BOTH.results[::-1])
    add.add("results_in_another_order", "json", in_json(swapped), BOTH)
    wrong = Answer([BOTH.results[0], Result("b", NOT_UNDERSTOOD)])
    add.add("one_wrong_table", "json", body.replace(b'"UTF8"', b'"FP31"'), wrong)
    ragged = body.replace(b'"data":["/w==",null]', b'"data":["/w=="]')
    add.add("one_ragged_table", "json", ragged, wrong)
    stream = as_arrow.table(WORDS)
    add.add(
        "one_broken_stream", "arrow", in_arrow(BOTH)[: -len(stream)] + b"\0" * len(stream), wrong
    )
    unknown = Error("brand_new", "something new", "", 20)
    answer = Answer([Result("a", unknown), BOTH.results[1]])
    add.add("code_that_nobody_knows", "json", in_json(answer), answer)


def add_not_understood(add: Responses) -> None:
    """Adds answers that are none."""
    json, arrow, protobuf = in_json(BOTH), in_arrow(BOTH), in_protobuf(BOTH)
    add.refused("cut_short", json[:-1], NOT_UNDERSTOOD)
    add.refused("empty", b"", NOT_UNDERSTOOD)
    add.refused("page", b"<html></html>", NOT_UNDERSTOOD, headers={"content-type": "text/html"})
    add.refused("no_results", b"{}", NOT_UNDERSTOOD)
    add.refused("too_few_results", in_json(Answer(BOTH.results[:1])), NOT_UNDERSTOOD)
    add.refused("of_another_task", json.replace(b'"a"', b'"c"'), NOT_UNDERSTOOD)
    add.refused("twice_of_one_task", json.replace(b'"b"', b'"a"'), NOT_UNDERSTOOD)
    neither = b'{"results":[{"id":"a"},{"id":"b","error":{"error":"e","code":"internal"}}]}'
    add.refused("without_an_outcome", neither, NOT_UNDERSTOOD)
    add.refused("without_the_merge_asked_for", json, NOT_UNDERSTOOD, merge=True)
    add.refused("arrow_bytes_missing", arrow[:-8], NOT_UNDERSTOOD, "arrow")
    add.refused("arrow_bytes_left_over", arrow + b"\0" * 8, NOT_UNDERSTOOD, "arrow")
    add.refused("protobuf_cut_short", protobuf[:-1], NOT_UNDERSTOOD, "protobuf")
    add.refused(
        "protobuf_too_few_results",
        in_protobuf(Answer(BOTH.results[1:])),
        NOT_UNDERSTOOD,
        "protobuf",
    )


def add_refused(add: Responses) -> None:
    """Adds refusals of whole envelopes: whatever was asked for, they are JSON, and of a status."""

    def refused(name: str, status: int, error: Error, *, code: str = "", **headers: str) -> None:
        said = Error(error.code, error.error, error.hint)
        found = Error(code or error.code, error.error, error.hint, error.retry_after_ms)
        add.refused(
            f"refused_{name}", as_json.text(said.fields()), found, status=status, headers=headers
        )

    refused(
        "duplicate_task", 400, Error("duplicate_task", 'two tasks have the id "a"', "number them")
    )
    refused("too_many_tasks", 413, Error("too_many_tasks", "the envelope has 10001 tasks"))
    refused("unauthorized", 401, Error("unauthorized", "there is no key"))
    busy = Error("server_busy", "the server holds as much as it may", "", 2000)
    refused("busy", 503, busy, **{"retry-after": "2"})
    refused("queue_full", 429, Error("queue_full", "full", "", 0), **{"retry-after": "0"})
    refused(
        "retry_after_that_is_no_number",
        503,
        Error("server_busy", "full"),
        **{"retry-after": "soon"},
    )
    refused(
        "unknown_code", 429, Error("brand_new", "something new", "", 1000), **{"retry-after": "1"}
    )
    html = {"content-type": "text/html"}
    page = b"<html>502 Bad Gateway</html>"
    add.refused("page_of_a_proxy_502", page, GONE, status=502, headers=html)
    add.refused("page_of_a_proxy_404", page, NOT_UNDERSTOOD, status=404, headers=html)
    later = Error("server_unreachable", "", "", 3000)
    add.refused("page_of_a_proxy_503", b"", later, status=503, headers={"retry-after": "3"})


def add_all(vectors: Vectors) -> None:
    """Adds all answers of this file."""
    add = Responses(vectors)
    for part in (add_written, add_lines, add_forms, add_not_understood, add_refused):
        part(add)
