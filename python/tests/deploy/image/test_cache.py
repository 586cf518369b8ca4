"""Layers that were made before are taken again, as long as they are whole."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING, Any

import pytest

from shoal.deploy._image._cache import cache_folder, kept_layer
from shoal.deploy._image._layer import Entry, Written, write_layer
from shoal.errors import StorageError

if TYPE_CHECKING:
    from pathlib import Path


class Making:
    """Makes a layer of one file, and counts how often."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self, target: Path, work: Path) -> tuple[Written, Any]:
        self.count += 1
        (work / "file").write_bytes(b"content")
        return write_layer(target, {"file": Entry(work / "file")}), {"wheels": ["one"]}


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Making:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return Making()


def test_a_layer_is_made_once(making: Making) -> None:
    first = kept_layer({"locked": ["a==1"]}, making)
    assert kept_layer({"locked": ["a==1"]}, making) == first
    assert first.facts == {"wheels": ["one"]}
    assert making.count == 1
    assert sorted(path.name for path in first.path.parent.iterdir()) == ["layer.json", "layer.tar"]


def test_something_else_is_another_layer(making: Making) -> None:
    kept_layer({"locked": ["a==1"]}, making)
    kept_layer({"locked": ["a==2"]}, making)
    assert making.count == 2


@pytest.mark.parametrize("damaged", ["layer.tar", "layer.json"])
def test_a_damaged_layer_is_made_anew(making: Making, damaged: str) -> None:
    first = kept_layer("same", making)
    data = bytearray((first.path.parent / damaged).read_bytes())
    data[20] ^= 1
    (first.path.parent / damaged).write_bytes(data)
    assert kept_layer("same", making) == first
    assert making.count == 2


def test_a_layer_that_cannot_be_made_leaves_nothing(making: Making) -> None:
    def failing(target: Path, work: Path) -> tuple[Written, Any]:
        making(target, work)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(StorageError, match=f"cannot be used: {os.strerror(errno.ENOSPC)}"):
        kept_layer("same", failing)
    assert list((cache_folder() / "layers").iterdir()) == []


def test_a_cache_that_is_no_folder_is_named(making: Making) -> None:
    cache_folder().write_bytes(b"")
    with pytest.raises(StorageError, match=f"the cache {cache_folder()} cannot be used"):
        kept_layer("same", making)


def test_a_user_without_a_home_is_told_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(os, "getuid", lambda: 4_000_000_000)  # as of a container of any number
    with pytest.raises(StorageError, match="this user has no home") as caught:
        cache_folder()
    assert caught.value.hint == "Name a folder by XDG_CACHE_HOME."
