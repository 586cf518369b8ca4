"""What tests of signatures do with a package and a key."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from shoal import package
from shoal.errors import SignatureError
from shoal.package._signing import _keys, _statement

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Attestation, Package
    from tests.package.keys import Pair

PREDICATE = "https://model_signing/signature/v1.0"


def signatures(path: Path) -> list[Attestation]:
    return [each for each in package.open(path).attestations() if each.kind == "signature"]


def bundle_of(path: Path) -> dict[str, Any]:
    (found,) = signatures(path)
    document: dict[str, Any] = found.document
    return document


def payload_of(document: dict[str, Any]) -> dict[str, Any]:
    payload: dict[str, Any] = json.loads(base64.b64decode(document["dsseEnvelope"]["payload"]))
    return payload


def signed_as(payload: bytes, key: Pair) -> dict[str, Any]:
    """A bundle that the key makes of any bytes."""
    private = _keys.read_private_key(key.private)
    signature = private.signature(_statement.encoded(payload))
    return _statement.bundle(payload, signature, private.public.fingerprint)


def refused(sealed: Package, key: Pair) -> str:
    with pytest.raises(SignatureError) as caught:
        package.verify_signature(sealed.path, key.public)
    assert "shoal package sign" in str(caught.value.hint)
    return str(caught.value)


def content(sealed: Package) -> _statement.Content:
    return _statement.Content(sealed.name, sealed.digest, sealed.files(), sealed.digests)
