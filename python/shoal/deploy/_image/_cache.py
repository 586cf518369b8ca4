"""Layers that were made before: `$XDG_CACHE_HOME/shoal/layers`, by what they are made from.

- A key is the digest of everything that decides the layer's bytes; whoever asks says what that is.
- A layer is made beside its place and moved there when it is whole, so that several may make it at
  once. One that was damaged since is made anew.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.deploy._image._layer import Written
from shoal.deploy._image._layout import digest_of_file
from shoal.errors import StorageError
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable

_LAYER = "layer.tar"
_NOTE = "layer.json"


@dataclass(frozen=True)
class Kept:
    """A layer in the cache: where it lies, what was written, and what else was found out."""

    path: Path
    written: Written
    facts: Any


class _Note(msgspec.Struct, frozen=True):
    digest: str
    size_bytes: int
    unpacked_bytes: int
    facts: Any


def cache_folder() -> Path:
    """Where Shoal keeps what it can make again.

    Raises:
        StorageError: nobody says where, and the user has no home.
    """
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "shoal"
    try:
        return Path.home() / ".cache" / "shoal"
    except RuntimeError as error:
        message = "there is no place for the cache: this user has no home"
        raise StorageError(message, hint="Name a folder by XDG_CACHE_HOME.") from error


def cache_error(error: OSError) -> StorageError:
    """Says that the cache cannot be used, and why."""
    message = f"the cache {cache_folder()} cannot be used: {error.strerror or error}"
    hint = "Free some space, or name another folder by XDG_CACHE_HOME."
    return StorageError(message, hint=hint)


def kept_layer(made_from: object, make: Callable[[Path, Path], tuple[Written, Any]]) -> Kept:
    """The layer that is made from this, out of the cache or made now.

    Args:
        made_from: All that decides its bytes, as JSON.
        make: Makes it: from the path to write to and an empty folder to work in to what was
            written, and what is to be known of it later, as JSON.

    Raises:
        StorageError: the cache cannot be used.
    """
    place = cache_folder() / "layers" / hashlib.sha256(canonical_json(made_from)).hexdigest()
    try:
        return _kept(place) or _made(place, make)
    except OSError as error:
        raise cache_error(error) from error


def _made(place: Path, make: Callable[[Path, Path], tuple[Written, Any]]) -> Kept:
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = Path(tempfile.mkdtemp(prefix=".making-", dir=place.parent))
    try:
        written, facts = make(staging / _LAYER, _folder(staging / "work"))
        note = _Note(written.digest, written.size_bytes, written.unpacked_bytes, facts)
        (staging / _NOTE).write_bytes(canonical_json(note))
        shutil.rmtree(staging / "work")
        _move(staging, place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return Kept(place / _LAYER, written, facts)


def _kept(place: Path) -> Kept | None:
    """What lies there, if it is whole; what is not is removed."""
    try:
        note = msgspec.json.decode((place / _NOTE).read_bytes(), type=_Note)
        if digest_of_file(place / _LAYER) == note.digest:
            written = Written(note.digest, note.size_bytes, note.unpacked_bytes)
            return Kept(place / _LAYER, written, note.facts)
    except (FileNotFoundError, msgspec.MsgspecError):
        pass
    shutil.rmtree(place, ignore_errors=True)
    return None


def _folder(path: Path) -> Path:
    path.mkdir()
    return path


def _move(staging: Path, place: Path) -> None:
    try:
        staging.rename(place)
    except OSError:
        if not place.exists():  # else another process has made it meanwhile: the same bytes
            raise
