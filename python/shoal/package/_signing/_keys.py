"""The keys that packages are signed with, and their files.

- Keys are on the curves P-256, P-384 and P-521, in PEM: `openssl ecparam -genkey` makes them.
- A key is called by its fingerprint: the SHA-256 of its public half in PEM, in hexadecimal. It is
  what `openssl ec -in KEY.pem -pubout | sha256sum` prints, and what signatures name their key by.
- A private key may have a password. No message has it, nor any byte of a private key.

Source: OpenSSF model-signing 1.1, `sign_ec_key.py`; RFC 7468 (PEM); FIPS 186-5 (ECDSA).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from shoal.errors import ConfigurationError, PathError, RequirementError

try:
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        PublicFormat,
        load_pem_private_key,
        load_pem_public_key,
    )
except ImportError as error:
    _message = f"signatures of packages need the library cryptography: {error}"
    raise RequirementError(_message, hint="pip install 'shoal[sign]'") from error

if TYPE_CHECKING:
    from os import PathLike

    from cryptography.hazmat.primitives.asymmetric.types import PrivateKeyTypes

Password: TypeAlias = str | Callable[[], str]
"""The password of a private key, or who tells it; asked only if the key has one."""

LIMIT_BYTES = 64 * 1024
"""A file of a key has no more."""

_HASHES: dict[str, type[hashes.SHA256 | hashes.SHA384 | hashes.SHA512]] = {
    "secp256r1": hashes.SHA256,
    "secp384r1": hashes.SHA384,
    "secp521r1": hashes.SHA512,
}
_CURVES = "one of the curves P-256, P-384 or P-521"
_LABEL = re.compile(rb"-----BEGIN ([A-Z0-9 ]{1,40})-----")


class PublicKey:
    """A key that signatures are checked with.

    Attributes:
        fingerprint: What it is called by.
    """

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        """Takes a key on one of the curves; `read_public_key` is the way to get one."""
        self._key = key
        pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        self.fingerprint = hashlib.sha256(pem).hexdigest()

    def __repr__(self) -> str:
        return f"PublicKey({self.fingerprint!r})"

    def made(self, signature: bytes, data: bytes) -> bool:
        """Whether its private half made this signature of these bytes."""
        try:
            self._key.verify(signature, data, ec.ECDSA(_HASHES[self._key.curve.name]()))
        except InvalidSignature:
            return False
        return True


class PrivateKey:
    """A key that signs.

    Attributes:
        public: The key that its signatures are checked with.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Takes a key on one of the curves; `read_private_key` is the way to get one."""
        self._key = key
        self.public = PublicKey(key.public_key())

    def signature(self, data: bytes) -> bytes:
        """A signature of these bytes."""
        return self._key.sign(data, ec.ECDSA(_HASHES[self._key.curve.name]()))


def read_public_key(path: str | PathLike[str]) -> PublicKey:
    """Reads the public key in a PEM file.

    Raises:
        PathError: there is no such file.
        ConfigurationError: it holds no public key, or one of another kind or curve.
        RequirementError: `shoal[sign]` is not installed.
    """
    place = Path(path)
    text = _read(place)
    hint = f"The public half of a private key: openssl ec -in KEY.pem -pubout -out {place.name}"
    try:
        key = load_pem_public_key(text)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(_other_than("a public key", place, text), hint=hint) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or key.curve.name not in _HASHES:
        raise ConfigurationError(f"{place} holds {_kind(key)}, expected {_CURVES}", hint=hint)
    return PublicKey(key)


def read_private_key(path: str | PathLike[str], password: Password | None = None) -> PrivateKey:
    """Reads the private key in a PEM file.

    Args:
        path: The file.
        password: Opens a key that has one.

    Raises:
        PathError: there is no such file.
        ConfigurationError: it holds no private key, or one of another kind or curve, or the
            password does not open it.
    """
    place = Path(path)
    text = _read(place)
    hint = "A new key: openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem"
    try:
        key = load_pem_private_key(text, None)
    except TypeError:  # said of a key that has a password
        key = _opened(place, text, password)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise ConfigurationError(_other_than("a private key", place, text), hint=hint) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name not in _HASHES:
        raise ConfigurationError(f"{place} holds {_kind(key)}, expected {_CURVES}", hint=hint)
    return PrivateKey(key)


def _opened(place: Path, text: bytes, password: Password | None) -> PrivateKeyTypes:
    """The private key behind a password."""
    if password is None:
        message = f"the private key in {place} has a password, and none was given"
        hint = "The command takes it from SHOAL_KEY_PASSWORD, or asks on a terminal."
        raise ConfigurationError(message, hint=hint)
    word = password() if callable(password) else password
    try:
        return load_pem_private_key(text, word.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        message = f"the password given does not open the private key in {place}"
        raise ConfigurationError(message) from error


def _read(place: Path) -> bytes:
    try:
        with place.open("rb") as file:
            text = file.read(LIMIT_BYTES + 1)
    except FileNotFoundError as error:
        raise PathError(f"there is no key at {place}") from error
    except OSError as error:
        message = f"the key {place} cannot be read: {error.strerror or error}"
        raise ConfigurationError(message) from error
    if len(text) > LIMIT_BYTES:
        message = f"{place} has more than {LIMIT_BYTES} bytes, the most that a key is read from"
        raise ConfigurationError(message)
    return text


def _other_than(expected: str, place: Path, text: bytes) -> str:
    labels = [label.decode().lower() for label in _LABEL.findall(text)]
    held = f"{place} holds {' and '.join(labels[:3])}" if labels else f"{place} is no PEM file"
    return f"{held}, expected {expected} that can be read"


def _kind(key: object) -> str:
    """What a key is, in words."""
    name = type(key).__name__.removesuffix("PublicKey").removesuffix("PrivateKey")
    curve = getattr(getattr(key, "curve", None), "name", None)
    return f"a key of the kind {name}" if curve is None else f"a key on the curve {curve}"
