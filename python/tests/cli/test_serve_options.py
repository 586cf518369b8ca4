"""The options of `shoal serve` are those of `shoal.serve.Options`, and are told on the page."""

from __future__ import annotations

import inspect
import json
from typing import TYPE_CHECKING

import msgspec

from shoal import serve
from shoal.cli import _serve
from tests.cli.test_command_line import refused, run

if TYPE_CHECKING:
    from pathlib import Path

NOT_OF_OPTIONS = {"packages", "repository", "http", "grpc", "allow_code"}
FEWER_WORDS_IN_PYTHON = {"log_level"}  # the command tells its start and end


def test_every_choice_has_an_option_of_the_same_default() -> None:
    parameters = inspect.signature(_serve.serve).parameters.values()
    given = {each.name: each.default for each in parameters if each.name not in NOT_OF_OPTIONS}
    assert set(given) == set(serve.Options.__struct_fields__)
    for name, default in msgspec.structs.asdict(serve.Options()).items():
        if name not in FEWER_WORDS_IN_PYTHON:
            assert (given[name] or None) == (default or None), name


def test_every_option_has_its_row_and_default_on_the_page(root: Path) -> None:
    page = (root / "docs" / "reference" / "command-line.md").read_text(encoding="utf-8")
    for name, default in msgspec.structs.asdict(serve.Options()).items():
        option = f"`--{name.replace('_', '-')}"
        row = next(
            line for line in page.splitlines() if line.startswith((f"| {option} ", f"| {option}`"))
        )
        assert name in FEWER_WORDS_IN_PYTHON or str(default or "") in row


def test_a_key_is_made_and_shown_once_beside_its_line() -> None:
    done = run("key", "new", "ann")
    key, line = done.stdout.splitlines()
    assert line.startswith("ann sha256:")
    assert key not in done.stderr + line
    made = json.loads(run("key", "new", "ben", "--json").stdout)
    assert set(made) == {"name", "key", "line"}
    assert refused("key", "new", "two words", code=2)[0].startswith("error: 'two words' is no name")
