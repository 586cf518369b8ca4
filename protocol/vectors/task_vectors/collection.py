"""What has been made so far: the index of vectors, and their bodies by file name."""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from protocol.vectors.task_vectors import as_arrow, as_json, as_protobuf
from protocol.vectors.task_vectors.neutral import Table, described

if TYPE_CHECKING:
    from collections.abc import Callable

SUFFIXES = {"json": "json", "arrow": "arrow", "protobuf": "pb", "ndjson": "ndjson"}
WRITERS: dict[str, Callable[[Table], bytes]] = {
    "json": lambda table: as_json.text(as_json.table(table)),
    "arrow": as_arrow.table,
    "protobuf": as_protobuf.table,
}


class Vectors:
    """The index, in the order in which vectors were added, and the bodies."""

    def __init__(self) -> None:
        self.index: list[dict[str, Any]] = []
        self.bodies: dict[str, bytes] = {}

    def add(self, name: str, encoding: str, body: bytes, **entry: Any) -> None:
        """Adds a vector; `entry` holds kind, expect, and what else is said of it."""
        file = f"bodies/{name}.{SUFFIXES[encoding]}"
        if file in self.bodies:
            message = f"two vectors are called {name}"
            raise ValueError(message)
        self.bodies[file] = body
        self.index.append({"name": name, "encoding": encoding, "body": file, **entry})

    def add_table(
        self, name: str, encoding: str, body: bytes, expect: Table | str, **entry: Any
    ) -> None:
        """Adds a table that is read as `expect`, or refused with that code."""
        found = {"error": expect} if isinstance(expect, str) else described(expect)
        about = {"kind": "table", "of": "both", **entry}
        self.add(name, encoding, body, **about, expect=found)

    def add_plain(self, name: str, table: Table, *encodings: str, written: bool = True) -> None:
        """Adds a table in some encodings, as it is written."""
        for encoding in encodings:
            # Notation of numbers is free in JSON, and Arrow may be laid out in many ways.
            held = encoding == "protobuf" or (encoding == "json" and written)
            body, flag = WRITERS[encoding](table), {"written": True} if held else {}
            self.add_table(f"{name}_{encoding}", encoding, body, table, **flag)

    def add_everywhere(self, name: str, table: Table, *, written: bool = True) -> None:
        """Adds a table in each encoding; `written` is whether all write the same JSON."""
        self.add_plain(name, table, *WRITERS, written=written)
