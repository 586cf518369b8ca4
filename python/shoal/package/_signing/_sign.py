"""Signs packages, and says who signed them.

- A signature is an attestation: it stands beside the content, the digest stays the same, and it
  goes wherever the package goes. Several, by several keys, may stand beside one package.
- A key signs a package once: where a signature of it holds, no other is added.
- A check is for one key. It passes if any signature of that key is of this very package; what else
  stands beside it, whoever put it there, cannot make a package refused that the key has signed.
- Nothing of a package is run, and nothing is asked of the network or of a clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from shoal.errors import SignatureError
from shoal.package._package import Package, open
from shoal.package._signing import _statement
from shoal.package._signing._keys import (
    Password,
    PrivateKey,
    PublicKey,
    read_private_key,
    read_public_key,
)
from shoal.package._signing._statement import Bundle, Content

if TYPE_CHECKING:
    from os import PathLike

KIND = "signature"

_SHOWN = 5
_HINT = "Who has the private key signs a package: shoal package sign DIR --key KEY.pem"
_FINGERPRINT = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class Signed:
    """A signature that holds.

    Attributes:
        package: The digest of the package.
        key: The fingerprint of the key that signed it.
        attestation: The digest of the attestation that the signature is.
    """

    package: str
    key: str
    attestation: str


class _Found(NamedTuple):
    """A signature beside a package, and the digest of its attestation."""

    attestation: str
    bundle: Bundle


def sign(
    package: Package | str | PathLike[str],
    key: str | PathLike[str],
    *,
    password: Password | None = None,
) -> Signed:
    """Signs a package: its files, their paths and its digest.

    Args:
        package: The package, or its directory.
        key: A PEM file of a private key on P-256, P-384 or P-521.
        password: Opens a key that has one: the password, or a function that is asked for it.

    Returns:
        The signature; the one that was there, if this key has signed the package before.

    Raises:
        PathError: there is no package, or no key.
        ConfigurationError: the key cannot be used, or the password does not open it.
        CorruptPackageError: the package is not, byte for byte, one.
        InvalidRequestError: no more can be stored beside the package.
        StorageError: the package cannot be written.
        RequirementError: `shoal[sign]` is not installed.
    """
    return sign_with(package, read_private_key(key, password))


def sign_with(package: Package | str | PathLike[str], private: PrivateKey) -> Signed:
    """Signs a package with a key that was read; see `sign`."""
    current = open(package.path if isinstance(package, Package) else package)
    held = _holding(current, private.public)
    if isinstance(held, Signed):
        return held
    payload = _statement.payload(_content(current))
    signature = private.signature(_statement.encoded(payload))
    document = _statement.bundle(payload, signature, private.public.fingerprint)
    return verify_signature(current.attest(KIND, document), private.public)


def verify_signature(
    package: Package | str | PathLike[str], key: PublicKey | str | PathLike[str]
) -> Signed:
    """Checks that a key has signed this very package.

    Args:
        package: The package, or its directory.
        key: A PEM file of the public key, or what `read_public_key` read from one.

    Raises:
        SignatureError: it is not signed, or not by this key, or is not what the key signed.
        PathError: there is no package, or no key.
        ConfigurationError: the key cannot be used.
        CorruptPackageError: the package is not, byte for byte, one.
        RequirementError: `shoal[sign]` is not installed.
    """
    public = key if isinstance(key, PublicKey) else read_public_key(key)
    opened = package if isinstance(package, Package) else open(package)
    held = _holding(opened, public)
    if isinstance(held, Signed):
        return held
    raise SignatureError(held, hint=_HINT)


def _holding(package: Package, key: PublicKey) -> Signed | str:
    """A signature of the key that holds, or in words why none does."""
    found, content, differs = _signatures(package), _content(package), None
    for attestation, (_, signature, payload) in found:
        if key.made(signature, _statement.encoded(payload)):
            differs = _statement.difference(payload, content)
            if differs is None:
                return Signed(package.digest, key.fingerprint, attestation)
    return _why(package, key.fingerprint, [each.bundle.hint for each in found], differs)


def _why(package: Package, fingerprint: str, hints: list[str | None], differs: str | None) -> str:
    called = f"the package {package.name} {package.version}"
    if differs is not None:
        return f"{called} is not what the key {fingerprint} signed: {differs}"
    if fingerprint in hints:
        return f"a signature of {called} names the key {fingerprint}, which has not made it"
    if hints:
        return f"{called} is not signed by the key {fingerprint}, but by {_listed(hints)}"
    return f"{called} is not signed"


def _listed(hints: list[str | None]) -> str:
    """The keys that signatures name, as far as they are fingerprints: anybody can write a hint."""
    plain = {
        hint if hint and _FINGERPRINT.fullmatch(hint) else "one without name" for hint in hints
    }
    others = f" and {len(plain) - _SHOWN} others" if len(plain) > _SHOWN else ""
    return ", ".join(sorted(plain)[:_SHOWN]) + others


def _signatures(package: Package) -> list[_Found]:
    """The signatures beside a package, of whatever key."""
    found = []
    for attestation in package.attestations():
        if attestation.predicate_type == _statement.PREDICATE_TYPE:
            bundle = _statement.read_bundle(attestation.document)
            if bundle is not None:
                found.append(_Found(attestation.digest, bundle))
    return found


def _content(package: Package) -> Content:
    # However many signatures stand beside it, its files are read once.
    return Content(package.name, package.digest, package.files(), cache(package.digests))
