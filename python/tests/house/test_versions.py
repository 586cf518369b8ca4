"""One version, wherever it stands."""

from __future__ import annotations

import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import shoal._native

ROOT = Path(__file__).parents[3]


def toml(name: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / name).read_text("utf-8"))


VERSION = toml("pyproject.toml")["project"]["version"]


def test_rust_and_python_have_one_version() -> None:
    assert toml("Cargo.toml")["workspace"]["package"]["version"] == VERSION


def test_the_compiled_core_has_that_version() -> None:
    assert shoal._native.__version__ == VERSION


def test_the_installed_package_has_that_version() -> None:
    assert metadata.version("shoal") == VERSION


def test_the_toolchain_is_the_one_the_workspace_asks_for() -> None:
    channel = toml("rust-toolchain.toml")["toolchain"]["channel"]
    assert channel.startswith(toml("Cargo.toml")["workspace"]["package"]["rust-version"])


def test_every_crate_takes_version_and_lints_from_the_workspace() -> None:
    for path in sorted((ROOT / "crates").glob("*/Cargo.toml")):
        crate = toml(str(path.relative_to(ROOT)))
        assert crate["package"]["version"] == {"workspace": True}, path
        assert crate["lints"] == {"workspace": True}, path
