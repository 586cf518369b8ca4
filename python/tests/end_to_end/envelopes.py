"""Envelopes of tasks as tests write them: tables in JSON, and results by the ids of their tasks.

A `Gated` server has a model that waits, so that a test decides when it answers.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.end_to_end.driver import poll, serving

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from tests.end_to_end.driver import Reply, Served

PATH = "/v1/tasks"
JSON = "application/json"
LINES = "application/x-ndjson"
ARROW = "application/vnd.apache.arrow.stream"


def column(name: str, dtype: str | None, data: Sequence[Any], **more: Any) -> dict[str, Any]:
    """A column; without a dtype it is read as the model's signature says."""
    said = {} if dtype is None else {"dtype": dtype}
    return {"name": name, **said, **more, "data": list(data)}


def table(*columns: dict[str, Any], **more: Any) -> dict[str, Any]:
    """A table of columns."""
    return {**more, "columns": list(columns)}


def values(*numbers: Any, dtype: str | None = "FP64") -> dict[str, Any]:
    """A table for the models of `stories`: one column `value`."""
    return table(column("value", dtype, numbers))


def pixels(*rows: Sequence[float]) -> dict[str, Any]:
    """A table for `digits`: one column `X` of 64 numbers a record."""
    return table(column("X", "FP32", rows, shape=[64]))


def task(model: str, given: object, **fields: Any) -> dict[str, Any]:
    """A task with a table of its own, or the name of a shared one."""
    return {"model": model, "table": given, **fields}


def send(
    served: Served,
    *tasks: dict[str, Any],
    headers: Mapping[str, str] | None = None,
    **fields: Any,
) -> Reply:
    """One envelope, and what came back."""
    return served.ask("POST", PATH, {"tasks": tasks, **fields}, headers=headers)


def run(served: Served, *tasks: dict[str, Any], **fields: Any) -> list[dict[str, Any]]:
    """The results of one envelope, in the order of its tasks."""
    reply = send(served, *tasks, **fields)
    assert reply.status == 200, reply.body
    results: list[dict[str, Any]] = reply.json()["results"]
    return results


def data(result: dict[str, Any], name: str) -> list[Any]:
    """The values of a column of a result that is an answer."""
    assert "error" not in result, result
    columns = {each["name"]: each["data"] for each in result["table"]["columns"]}
    found: list[Any] = columns[name]
    return found


def code(result: dict[str, Any]) -> str:
    """The code of a result that is an error, or ""."""
    return str(result["error"]["code"]) if "error" in result else ""


@dataclass(frozen=True)
class Gated:
    """A server of `gated`, which waits for its gate, and of `fragile`, which does not."""

    served: Served
    gate: Path

    def close(self) -> None:
        """Let `gated` wait from here on."""
        for mark in ("open", "reached"):
            (self.gate / mark).unlink(missing_ok=True)

    def open(self) -> None:
        """Let it answer."""
        (self.gate / "open").touch()

    def until_reached(self) -> None:
        """Return when a micro-batch waits in it."""
        poll((self.gate / "reached").exists, "the model was reached")

    def until_waiting(self, rows: int) -> None:
        """Return when so many rows wait for it."""
        sample = 'shoal_queue_rows{model="gated",version="1"}'
        poll(lambda: self.served.counted(sample) == rows, f"{rows} rows wait for the model")


@contextmanager
def gated_server(gated: Path, fragile: Path, gate: Path) -> Iterator[Gated]:
    """A server whose gate is closed."""
    arguments = ("--allow-code",)
    with serving(gated, fragile, arguments=arguments, SHOAL_GATE=str(gate)) as served:
        yield Gated(served, gate)
