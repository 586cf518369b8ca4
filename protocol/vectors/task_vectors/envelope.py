"""Envelopes in no encoding, and as each encoding writes them."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from protocol.vectors.task_vectors import as_arrow, as_json
from protocol.vectors.task_vectors.as_protobuf import double, message, octets, texts, unsigned
from protocol.vectors.task_vectors.as_protobuf import table as table_message
from protocol.vectors.task_vectors.neutral import Table, described


@dataclass(frozen=True)
class Task:
    """A task; its table is a table, or the name of a shared one."""

    id: str
    model: str
    table: Table | str
    version: str = ""
    outputs: list[str] = field(default_factory=list)
    priority: int = 0
    timeout_us: int = 0
    idempotency_key: str = ""
    weight: float = 1.0

    def described(self) -> dict[str, Any]:
        """Gives the task as `tasks.json` describes it."""
        fields = {name: getattr(self, name) for name in self.__dataclass_fields__}
        table = fields.pop("table")
        input_of = {"shared": table} if isinstance(table, str) else {"table": described(table)}
        return {**fields, **input_of}


@dataclass(frozen=True)
class Merge:
    """How results are joined."""

    by: str
    columns: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Refused:
    """What stands in the place of a task or of a shared table that cannot be used: its code."""

    name: str
    error: str


@dataclass(frozen=True)
class Envelope:
    """Tasks, and what they share."""

    tasks: list[Task | Refused]
    tables: dict[str, Table | Refused] = field(default_factory=dict)
    merge: Merge | None = None
    timeout_us: int = 0

    def described(self) -> dict[str, Any]:
        """Gives the envelope as `tasks.json` describes it."""
        return {
            "tasks": [described_task(task) for task in self.tasks],
            "tables": [described_shared(name, table) for name, table in self.tables.items()],
            "merge": asdict(self.merge) if self.merge else None,
            "timeout_us": self.timeout_us,
        }


def described_task(task: Task | Refused) -> dict[str, Any]:
    """Gives a task, or its error."""
    return task.described() if isinstance(task, Task) else {"id": task.name, "error": task.error}


def described_shared(name: str, table: Table | Refused) -> dict[str, Any]:
    """Gives a shared table, or its error."""
    if isinstance(table, Refused):
        return {"name": name, "error": table.error}
    return {"name": name, "table": described(table)}


def tables_of(envelope: Envelope) -> list[Table]:
    """Gives all tables, in the order in which they follow the head of Arrow."""
    given = [*envelope.tables.values(), *(task.table for task in real_tasks(envelope))]
    return [table for table in given if isinstance(table, Table)]


def real_tasks(envelope: Envelope) -> list[Task]:
    """Gives the tasks of an envelope that is written: it has no others."""
    return [task for task in envelope.tasks if isinstance(task, Task)]


def fields(envelope: Envelope, tables: list[Any]) -> dict[str, Any]:
    """Gives the fields of JSON; `tables` are its tables as they are written there."""
    left = iter(tables)
    said: dict[str, Any] = {
        "tables": {name: next(left) for name in envelope.tables},
        "tasks": [task_fields(task, left) for task in real_tasks(envelope)],
        "merge": filled(asdict(envelope.merge)) if envelope.merge else None,
        "timeout_us": envelope.timeout_us,
    }
    return filled(said)


def filled(said: dict[str, Any]) -> dict[str, Any]:
    """Gives the fields that are not at their default."""
    return {key: value for key, value in said.items() if value}


def task_fields(task: Task, tables: Any) -> dict[str, Any]:
    """Gives the fields of a task; what is at its default is left out."""
    said = {name: getattr(task, name) for name in task.__dataclass_fields__}
    order = ["id", "model", "version", "table", *list(said)[4:]]
    said["table"] = task.table if isinstance(task.table, str) else next(tables)
    weight = said.pop("weight")
    left = {key: said[key] for key in order if key == "table" or said.get(key)}
    return left if weight == 1.0 else {**left, "weight": weight}


def as_json_body(envelope: Envelope) -> bytes:
    """Gives the body in JSON."""
    return as_json.text(fields(envelope, [as_json.table(table) for table in tables_of(envelope)]))


def as_arrow_body(envelope: Envelope) -> bytes:
    """Gives the body in Arrow: the head, and a stream for each table."""
    streams = [as_arrow.table(table) for table in tables_of(envelope)]
    head = fields(envelope, [{"arrow": len(stream)} for stream in streams])
    return as_arrow.head(as_json.text(head)) + b"".join(streams)


def as_protobuf_body(envelope: Envelope) -> bytes:
    """Gives the body in protobuf."""
    parts = [shared_message(name, table) for name, table in envelope.tables.items()]
    parts += [message(2, task_message(task)) for task in real_tasks(envelope)]
    if envelope.merge:
        merge = octets(1, envelope.merge.by) + texts(2, envelope.merge.columns)
        parts.append(message(3, merge))
    return b"".join([*parts, unsigned(4, envelope.timeout_us)])


def shared_message(name: str, table: Table | Refused) -> bytes:
    """Gives a shared table that can be used."""
    if isinstance(table, Refused):
        return b""
    return message(1, octets(1, name) + message(2, table_message(table)))


def task_message(task: Task) -> bytes:
    """Gives a task in protobuf."""
    if isinstance(task.table, str):
        given = message(5, task.table.encode())
    else:
        given = message(4, table_message(task.table))
    parts = [octets(1, task.id), octets(2, task.model), octets(3, task.version), given]
    parts += [texts(6, task.outputs), unsigned(7, task.priority), unsigned(8, task.timeout_us)]
    weight = b"" if task.weight == 1.0 else double(10, task.weight)
    return b"".join([*parts, octets(9, task.idempotency_key), weight])
