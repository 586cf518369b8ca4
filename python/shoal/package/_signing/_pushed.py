"""Signs packages where they are in a registry: nothing but the signature is sent.

- The package is fetched, verified and signed by its digest: a tag that is moved meanwhile stays
  where it was moved to.
- The signature is stored as what refers to the package, and is listed so by every registry.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.package import _blobs
from shoal.package._attested import ATTESTATION_LIMIT_BYTES
from shoal.package._blobs import DOCUMENT_LIMIT_BYTES
from shoal.package._fetch import fetch, pinned
from shoal.package._registry._referrers import attach
from shoal.package._registry._repository import connected
from shoal.package._registry._resolve import resolve
from shoal.package._signing._keys import read_private_key
from shoal.package._signing._sign import sign_with

if TYPE_CHECKING:
    from os import PathLike
    from pathlib import Path

    from shoal.package._registry._crew import Progress
    from shoal.package._signing._keys import Password
    from shoal.package._signing._sign import Signed


def sign_pushed(
    reference: str,
    key: str | PathLike[str],
    *,
    password: Password | None = None,
    progress: Progress | None = None,
    plain_http: bool | None = None,
) -> Signed:
    """Signs the package that a reference names now, and stores the signature beside it.

    Args:
        reference: `oci://HOST[:PORT]/NAME:TAG`, or `...@sha256:...`.
        key: A PEM file of a private key on P-256, P-384 or P-521.
        password: Opens a key that has one: the password, or a function that is asked for it.
        progress: Is given the bytes fetched and those there are, by one thread at a time.
        plain_http: Whether HTTP is spoken without TLS; by default with this machine only.

    Returns:
        The signature; the one that was there, if this key has signed the package before.

    Raises:
        InvalidRequestError: the reference is none.
        PathError: there is no key.
        ConfigurationError: the key cannot be used, or the password does not open it.
        RegistryError: the registry has no such package, refuses, or cannot be reached.
        CorruptPackageError: what came is not, byte for byte, a package of a model.
        StorageError: it cannot be written on this machine.
        RequirementError: `shoal[sign]` is not installed.
    """
    private = read_private_key(key, password)
    name = pinned(resolve(reference, plain_http=plain_http))
    package = fetch(name, key=None, progress=progress, plain_http=plain_http)
    signed = sign_with(package, private)
    manifest, blobs = _stored(package.path, signed.attestation)
    with connected(name, actions="pull,push", plain_http=plain_http) as repository:
        attach(repository, manifest, blobs)
    return signed


def _stored(root: Path, digest: str) -> tuple[bytes, list[bytes]]:
    """The manifest of an attestation beside a package, and all that it names; verified."""
    size_bytes = _blobs.blob_path(root, digest).stat().st_size
    entry = _blobs.Descriptor("", digest, size_bytes)
    text = _blobs.document(root, entry, DOCUMENT_LIMIT_BYTES)
    manifest = _blobs.decoded(text, _blobs.Manifest, "an attestation")
    named = (manifest.config, *manifest.layers)
    return text, [_blobs.document(root, blob, ATTESTATION_LIMIT_BYTES) for blob in named]
