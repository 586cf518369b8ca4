"""Where a base comes from and where an image goes: a folder, or a registry.

- A base in a registry is kept in the cache by its digest, one platform apart from the other; it is
  fetched once, and everything that is taken from there is verified again, from the digest that it
  was named by. What is damaged or not whole is fetched anew.
- An image for a registry is made in a folder of its own first, and sent when it is whole.
"""

from __future__ import annotations

import json
import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from shoal import package
from shoal.deploy._image._cache import cache_error, cache_folder
from shoal.deploy._image._layout import blob_path, digest_of_file, find_image
from shoal.errors import ConfigurationError, CorruptPackageError, PathError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from os import PathLike

    from shoal.deploy._image._platforms import Platform

REGISTRY = "oci://"

_NAMED = re.compile(r"(?P<place>.+)@(?P<digest>sha256:[0-9a-f]{64})", re.DOTALL)


@dataclass(frozen=True)
class Wire:
    """How registries are spoken to, and who is told of it."""

    plain_http: bool | None
    progress: Callable[[str], None]


def found_base(
    base: str | PathLike[str], platform: Platform, wire: Wire
) -> tuple[Path, str, str | None]:
    """The layout of a base, its name in a registry or "", and the digest it was named by.

    Raises:
        ConfigurationError: a base in a registry is not named by its digest.
        RegistryError: the registry does not give it.
        StorageError: the cache cannot be used.
    """
    text = str(base)
    match = _NAMED.fullmatch(text)
    if not text.startswith(REGISTRY):
        return (Path(match["place"]), "", match["digest"]) if match else (Path(text), "", None)
    if match is None:
        message = f"the base {text} is not named by its digest: a tag is another base tomorrow"
        hint = "Write oci://HOST/NAME@sha256:...; `skopeo inspect` shows the digest of a tag."
        raise ConfigurationError(message, hint=hint)
    name = match["digest"].removeprefix("sha256:")
    place = cache_folder() / "bases" / f"{name}-{platform.architecture}"
    if not _is_whole(place, platform, match["digest"]):
        wire.progress(f"{platform.name}: fetching the base")
        _prepare(place)
        package.pull_layout(text, place, platform=platform.name, plain_http=wire.plain_http)
    return place, _without_digest(match["place"]), match["digest"]


@contextmanager
def kept_at(output: str | PathLike[str], wire: Wire) -> Iterator[Path]:
    """The folder to write an image to; what is meant for a registry is sent there at the end.

    Raises:
        RegistryError: the registry does not take it.
    """
    text = str(output)
    if not text.startswith(REGISTRY):
        yield Path(text)
        return
    with tempfile.TemporaryDirectory(prefix="shoal-image-") as work:
        place = Path(work, "image")
        yield place
        wire.progress(f"sending the image to {text}")
        package.push_layout(place, text, plain_http=wire.plain_http)


def _is_whole(place: Path, platform: Platform, digest: str) -> bool:
    """Whether a layout holds all of the image below a digest, byte for byte."""
    try:
        found = find_image(place, platform, digest)
        return all(
            digest_of_file(blob_path(place, each.digest)) == each.digest for each in found.layers
        )
    except (PathError, ConfigurationError, CorruptPackageError, FileNotFoundError):
        return False


def _prepare(place: Path) -> None:
    """Makes the folder; an index that cannot be read goes, since it would be kept and added to."""
    index = place / "index.json"
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if index.exists():
            json.loads(index.read_bytes())
    except ValueError:
        index.unlink(missing_ok=True)
    except OSError as error:
        raise cache_error(error) from error


def _without_digest(name: str) -> str:
    """The name as others write it: without our scheme, and without a tag beside the digest."""
    plain = name.removeprefix(REGISTRY)
    folder, _, last = plain.rpartition("/")
    return f"{folder}/{last.partition(':')[0]}"
