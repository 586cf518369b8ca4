"""Writes the golden vectors of tasks: `tasks/tasks.json` and the bodies it names.

Run it from the root of the repository: `python -m protocol.vectors.generate_tasks`. A test fails
when the files on disk are not what this program writes. JSON comes from `json`, protobuf from the
wire format byte by byte, and Arrow from pyarrow, which is no part of Shoal: so no codec and no
client can agree with itself. How the files are read stands in `protocol/protocol.md`.
"""
# ruff: noqa: INP001 - a program, not a package

from __future__ import annotations

import json
from pathlib import Path

from protocol.vectors.task_vectors import (
    arrow_tables,
    inputs,
    json_tables,
    protobuf_tables,
    requests,
    responses,
    tables,
)
from protocol.vectors.task_vectors.collection import Vectors

FOLDER = Path(__file__).parent / "tasks"
# Arrow streams are the bytes of this version of pyarrow; others may lay them out otherwise.
PYARROW = "26.0.1"


def build() -> Vectors:
    """Gives all vectors."""
    vectors = Vectors()
    for part in (tables, json_tables, arrow_tables, protobuf_tables, inputs, requests, responses):
        part.add_all(vectors)
    return vectors


def index_text(vectors: Vectors) -> str:
    """Gives the text of `tasks.json`: one vector on each line."""
    lines = [json.dumps(entry, ensure_ascii=False) for entry in vectors.index]
    return "[\n" + ",\n".join(lines) + "\n]\n"


def main() -> None:
    """Writes the files anew; those that no vector names any more are removed."""
    vectors = build()
    (FOLDER / "bodies").mkdir(parents=True, exist_ok=True)
    for old in (FOLDER / "bodies").iterdir():
        old.unlink()
    for file, body in vectors.bodies.items():
        (FOLDER / file).write_bytes(body)
    (FOLDER / "tasks.json").write_text(index_text(vectors), encoding="utf-8")


if __name__ == "__main__":
    main()
