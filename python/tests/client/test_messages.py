"""The messages that are made at run time are those of `protocol/shoal/v1/tasks.proto`."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from shoal.client._wire._messages import MESSAGES, PACKAGE, message

if TYPE_CHECKING:
    from pathlib import Path


def fields_of(body: str) -> dict[str, str]:
    """The fields of a message, each as the table of messages has it."""
    found: dict[str, str] = {}
    one_of = ""
    for line in body.splitlines():
        if opened := re.fullmatch(r"oneof (\w+) \{", line.strip()):
            one_of = f"{opened[1]} "
        elif line.strip() == "}":
            one_of = ""
        elif field := re.fullmatch(r"((?:repeated |optional )?)(\w+) (\w+) = (\d+);", line.strip()):
            label, kind, name, number = field.groups()
            found[name] = f"{label or one_of}{kind} {number}"
    return found


def test_messages_are_those_of_the_file(root: Path) -> None:
    text = (root / "protocol" / "shoal" / "v1" / "tasks.proto").read_text("utf-8")
    text = re.sub(r"//.*", "", text)
    assert f"package {PACKAGE};" in text
    bodies = dict(re.findall(r"^message (\w+) \{\n(.*?)^\}", text, re.MULTILINE | re.DOTALL))
    assert {name: fields_of(body) for name, body in bodies.items()} == MESSAGES


def test_every_message_can_be_made() -> None:
    for name, fields in MESSAGES.items():
        assert {field.name for field in message(name).DESCRIPTOR.fields} == set(fields)
