"""Every crate we link comes from the allowed source, under an allowed licence: see deny.toml."""

from __future__ import annotations

import json
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]
RULES = tomllib.loads((ROOT / "deny.toml").read_text("utf-8"))
ALLOWED = set(RULES["licenses"]["allow"])
REGISTRIES = {f"registry+{address}" for address in RULES["sources"]["allow-registry"]}


def is_allowed(expression: str) -> bool:
    """Whether an SPDX expression can be met; AND binds stronger than OR, `/` is the old OR."""
    while inner := re.search(r"\(([^()]*)\)", expression):
        met = "MIT" if is_allowed(inner[1]) else "refused"
        expression = expression.replace(inner[0], met)
    choices = re.split(r" OR |/", expression)
    return any(all(part.strip() in ALLOWED for part in choice.split(" AND ")) for choice in choices)


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("MIT", True),
        ("MIT/Apache-2.0", True),
        ("GPL-3.0", False),
        ("GPL-3.0 OR MIT", True),
        ("GPL-3.0 AND MIT", False),
        ("(MIT OR Apache-2.0) AND Unicode-3.0", True),
        ("(MIT OR Apache-2.0) AND GPL-3.0", False),
        ("Apache-2.0 WITH LLVM-exception OR GPL-3.0", True),
    ],
)
def test_a_licence_expression_is_understood(expression: str, *, expected: bool) -> None:
    assert is_allowed(expression) == expected


@pytest.fixture(scope="module")
def crates() -> list[dict[str, Any]]:
    command = ["cargo", "metadata", "--locked", "--offline", "--format-version", "1"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    packages: list[dict[str, Any]] = json.loads(answer.stdout)["packages"]
    return packages


def test_every_crate_has_an_allowed_licence(crates: list[dict[str, Any]]) -> None:
    refused = {crate["name"]: crate["license"] for crate in crates}
    assert {name: text for name, text in refused.items() if not is_allowed(text or "none")} == {}


def test_every_crate_is_ours_or_from_an_allowed_registry(crates: list[dict[str, Any]]) -> None:
    sources = {crate["name"]: crate["source"] for crate in crates}
    assert {name for name, source in sources.items() if source not in REGISTRIES | {None}} == set()
