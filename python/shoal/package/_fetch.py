"""Packages of a registry, kept on this machine by their digest.

- A tag is looked up each time; what it names is fetched once, and opened from there after that.
- What is kept is verified whole whenever it is opened, and is the package of that digest.
- A signature that is asked for and is not there may have been made since: the registry is asked
  once more before the package is refused.
- The place is `$XDG_CACHE_HOME/shoal/packages`. Nothing is ever removed from it; whoever removes
  something loses only the time to fetch it again.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import CorruptPackageError, SignatureError
from shoal.package._package import Package, open
from shoal.package._registry._pull import pull
from shoal.package._registry._reference import SCHEME
from shoal.package._registry._resolve import resolve

if TYPE_CHECKING:
    from shoal.package._registry._crew import Progress
    from shoal.package._registry._reference import Resolved
    from shoal.package._signing._keys import PublicKey


_HINT = "Remove it, and the package is fetched again."


def fetch(
    reference: str,
    *,
    key: PublicKey | None = None,
    progress: Progress | None = None,
    plain_http: bool | None = None,
) -> Package:
    """The package that a reference names now, from this machine if it is here.

    Args:
        reference: `oci://HOST[:PORT]/NAME:TAG`, or `...@sha256:...`, for which no registry is asked
            if the package is here.
        key: Who must have signed it; None asks for no signature.
        progress: Is given the bytes that are done and those there are, by one thread at a time.
        plain_http: Whether HTTP is spoken without TLS; by default with this machine only.

    Raises:
        InvalidRequestError: the reference is none.
        RegistryNotFoundError: the registry has nothing of that name.
        RegistryError: the registry refuses, or cannot be reached.
        CorruptPackageError: what came, or what was kept, is not, byte for byte, that package.
        SignatureError: the key has not signed it.
        StorageError: it cannot be written.
    """
    found = resolve(reference, plain_http=plain_http)
    place = _place(found.digest)
    kept = _kept(place, found.digest) if place.exists() else None
    if kept is not None and _is_as_asked(kept, key):
        return kept
    pulled = pull(pinned(found), place, progress=progress, plain_http=plain_http)
    _check(pulled, key)
    return pulled


def pinned(found: Resolved) -> str:
    """The reference by digest, whatever becomes of the tag."""
    return f"{SCHEME}{found.registry}/{found.repository}@{found.digest}"


def _place(digest: str) -> Path:
    base = os.environ.get("XDG_CACHE_HOME")
    cache = Path(base) if base else Path.home() / ".cache"
    return cache / "shoal" / "packages" / digest.replace(":", "-")


def _kept(place: Path, digest: str) -> Package:
    try:
        opened = open(place)
    except CorruptPackageError as error:
        message = f"the package that was kept at {place} is damaged: {error}"
        raise CorruptPackageError(message, hint=_HINT) from error
    if opened.digest != digest:
        message = f"{place} holds the package {opened.digest}"
        raise CorruptPackageError(message, hint=_HINT)
    return opened


def _is_as_asked(package: Package, key: PublicKey | None) -> bool:
    try:
        _check(package, key)
    except SignatureError:
        return False
    return True


def _check(package: Package, key: PublicKey | None) -> None:
    if key is not None:
        from shoal.package._signing._sign import verify_signature

        verify_signature(package, key)
