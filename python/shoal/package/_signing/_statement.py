"""What is signed, and the bundle that a signature is kept in: pure, no file and no key.

- What is signed is the list of the package's files, each by its path and the SHA-256 of what is in
  it, as a statement of in-toto in the form of OpenSSF model-signing; its program checks it on the
  unpacked package. The subject is the package's name, its digest that of all digests of the list.
- `io.shoal.package` in the predicate states the package's digest, which that program passes over.
  Whatever is derived from the files, both manifests and so the digest, is bound in either case.
- A bundle has one envelope (DSSE) with one signature, and says by its fingerprint which key made
  it. That is a hint, which anybody can write: what counts is whether the key made the signature.
- Reading takes what a verifier needs and passes over other fields, as the format asks for.

Source: OpenSSF model-signing 1.1, `signing.py` (predicate v1.0); DSSE 1.0.2, protocol.md; sigstore
protobuf-specs, bundle v0.3; in-toto attestation framework, statement v1.
"""

from __future__ import annotations

import base64
import hashlib
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

import msgspec

from shoal.package._manifest import BUNDLE, IN_TOTO, STATEMENT
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

PREDICATE_TYPE = "https://model_signing/signature/v1.0"

_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Content(NamedTuple):
    """A package, as far as it is signed.

    Attributes:
        name: Its name.
        digest: Its digest.
        paths: The paths of its files.
        digests: Reads all files, and gives the digest of each by its path.
    """

    name: str
    digest: str
    paths: Sequence[str]
    digests: Callable[[], Mapping[str, str]]


class _Resource(msgspec.Struct):
    name: str
    algorithm: str
    digest: str


class _Serialization(msgspec.Struct):
    method: str
    hash_type: str


class _Stated(msgspec.Struct):
    digest: str


class _Predicate(msgspec.Struct):
    serialization: _Serialization
    resources: list[_Resource]
    package: _Stated | None = msgspec.field(name="io.shoal.package", default=None)


class _Subject(msgspec.Struct):
    digest: dict[str, str]


class _Statement(msgspec.Struct, rename="camel"):
    subject: Annotated[list[_Subject], msgspec.Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"]
    predicate: _Predicate
    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")


class _Signature(msgspec.Struct):
    sig: bytes


class _Envelope(msgspec.Struct, rename="camel"):
    payload: bytes
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[list[_Signature], msgspec.Meta(min_length=1, max_length=1)]


class _PublicKey(msgspec.Struct):
    hint: str | None = None


class _Material(msgspec.Struct, rename="camel"):
    public_key: _PublicKey = msgspec.field(default_factory=_PublicKey)


class _Bundle(msgspec.Struct, rename="camel"):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: _Material
    dsse_envelope: _Envelope


class Bundle(NamedTuple):
    """A signature, and what it is of.

    Attributes:
        hint: The fingerprint of the key that it says it was made with, or None.
        signature: The signature.
        payload: What is signed.
    """

    hint: str | None
    signature: bytes
    payload: bytes


def payload(content: Content) -> bytes:
    """The statement that is signed."""
    digests = content.digests()
    resources = [
        {"name": path, "algorithm": "sha256", "digest": digests[path].removeprefix("sha256:")}
        for path in sorted(digests, key=lambda path: path.split("/"))
    ]
    root = _root([resource["digest"] for resource in resources])
    predicate = {
        "serialization": {"method": "files", "hash_type": "sha256", "allow_symlinks": False},
        "resources": resources,
        "io.shoal.package": {"digest": content.digest},
    }
    return canonical_json(
        {
            "_type": STATEMENT,
            "subject": [{"name": content.name, "digest": {"sha256": root}}],
            "predicateType": PREDICATE_TYPE,
            "predicate": predicate,
        }
    )


def encoded(payload: bytes) -> bytes:
    """The bytes that a signature is of: the pre-authentication encoding of DSSE."""
    return b"DSSEv1 %d %s %d %s" % (len(IN_TOTO), IN_TOTO.encode(), len(payload), payload)


def bundle(payload: bytes, signature: bytes, fingerprint: str) -> dict[str, Any]:
    """The document that keeps a signature."""
    return {
        "mediaType": BUNDLE,
        "verificationMaterial": {"publicKey": {"hint": fingerprint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(payload).decode(),
            "payloadType": IN_TOTO,
            "signatures": [{"sig": base64.b64encode(signature).decode(), "keyid": ""}],
        },
    }


def read_bundle(document: object) -> Bundle | None:
    """The signature in a document, or None if there is none of this form."""
    try:
        found = msgspec.convert(document, type=_Bundle)
    except _UNREADABLE:
        return None
    envelope = found.dsse_envelope
    hint = found.verification_material.public_key.hint
    return Bundle(hint, envelope.signatures[0].sig, envelope.payload)


def difference(payload: bytes, content: Content) -> str | None:
    """In which way a statement is not of the package, in words; None if it is of it."""
    try:
        statement = msgspec.json.decode(payload, type=_Statement)
    except _UNREADABLE as error:
        return f"what it signs cannot be read: {error}"
    predicate = statement.predicate
    signed = {each.name: f"{each.algorithm}:{each.digest}" for each in predicate.resources}
    return (
        _inconsistent(statement, signed)
        or _other_package(predicate.package, content.digest)
        or _other_paths(set(signed), set(content.paths))
        # The digest that is stated has been compared: nothing is left that could differ.
        or (None if predicate.package else _other_content(signed, content.digests()))
    )


def _inconsistent(statement: _Statement, signed: Mapping[str, str]) -> str | None:
    way, resources = statement.predicate.serialization, statement.predicate.resources
    if (way.method, way.hash_type) != ("files", "sha256"):
        return f"it signs {way.method} by {way.hash_type}, expected files by sha256"
    if len(signed) != len(resources):
        return "it signs a file twice"
    try:
        root = _root([each.digest for each in resources])
    except ValueError:
        return "it signs something that is no digest"
    if statement.subject[0].digest.get("sha256") != root:
        return "its list of files has not the digest that it states"
    return None


def _other_package(stated: _Stated | None, digest: str) -> str | None:
    if stated is None or stated.digest == digest:
        return None
    return f"it signs the package {stated.digest}, this is {digest}"


def _other_paths(signed: set[str], held: set[str]) -> str | None:
    if unsigned := sorted(held - signed):
        return f"the file {unsigned[0]} is not signed"
    if missing := sorted(signed - held):
        return f"it signs a file that the package lacks: {missing[0]!r}"
    return None


def _other_content(signed: Mapping[str, str], held: Mapping[str, str]) -> str | None:
    for path in sorted(held):
        if signed[path] != held[path]:
            return f"the file {path} is not the one that it signs"
    return None


def _root(digests: Sequence[str]) -> str:
    """The digest of a list of digests, each in hexadecimal."""
    return hashlib.sha256(b"".join(map(bytes.fromhex, digests))).hexdigest()
