"""What was changed, or is of something else, is no signature of a package."""

from __future__ import annotations

import base64
import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal import package
from shoal.errors import CorruptPackageError, InvalidRequestError
from shoal.package import _package
from shoal.package._read import content_digest
from shoal.package._signing import _statement
from shoal.runtime import canonical_json
from tests.package.signed import PREDICATE, bundle_of, content, refused, signatures, signed_as
from tests.package.test_attestations import stored

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package
    from tests.package.keys import Pair

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner),
    max_leaves=10,
)


def flipped(document: dict[str, Any], where: str, bit: int) -> dict[str, Any]:
    """A bundle with one bit of its signature or of its payload turned over."""
    changed: dict[str, Any] = json.loads(json.dumps(document))
    envelope = changed["dsseEnvelope"]
    place, name = (envelope, where) if where == "payload" else (envelope["signatures"][0], where)
    data = bytearray(base64.b64decode(place[name]))
    data[bit // 8 % len(data)] ^= 1 << bit % 8
    place[name] = base64.b64encode(bytes(data)).decode()
    return changed


@pytest.mark.parametrize("where", ["payload", "sig"])
def test_one_flipped_bit_in_a_signature_or_in_what_it_signs_is_refused(
    sealed: Package, ann: Pair, where: str
) -> None:
    document = signed_as(_statement.payload(content(sealed)), ann)
    key = package.read_public_key(ann.public)
    for bit in range(0, 8 * 60, 7):
        changed = _statement.read_bundle(flipped(document, where, bit))
        assert changed is not None
        assert not key.made(changed.signature, _statement.encoded(changed.payload))
    in_a_digest = _statement.payload(content(sealed)).index(b'"digest":"') + len('"digest":"')
    sealed.attest("signature", flipped(document, where, 8 * in_a_digest))
    assert refused(sealed, ann).endswith(f"names the key {key.fingerprint}, which has not made it")
    package.sign(sealed, ann.private)
    package.sign(sealed, ann.private)
    assert package.verify_signature(sealed.path, ann.public).key == key.fingerprint
    assert len(signatures(sealed.path)) == 2


def test_one_flipped_bit_in_any_file_of_a_signed_package_is_refused(
    sealed: Package, ann: Pair
) -> None:
    package.sign(sealed, ann.private)
    for path in sorted(sealed.path.rglob("*")):
        if path.is_file():
            before = path.read_bytes()
            path.write_bytes(before[:-1] + bytes([before[-1] ^ 1]))
            with pytest.raises(CorruptPackageError):
                package.verify_signature(sealed.path, ann.public)
            path.write_bytes(before)
    package.verify_signature(sealed.path, ann.public)


def test_content_that_changes_after_opening_is_not_signed(sealed: Package, ann: Pair) -> None:
    document = signed_as(json_of(sealed, without="io.shoal.package"), ann)
    opened = sealed.attest("signature", document)
    blobs = sorted(
        (sealed.path / "blobs" / "sha256").iterdir(), key=lambda blob: blob.stat().st_size
    )
    blobs[-1].write_bytes(blobs[-1].read_bytes()[::-1])
    with pytest.raises(CorruptPackageError, match="changed after the package was opened"):
        package.verify_signature(opened, ann.public)


def test_files_are_read_once_however_many_signatures_there_are(
    sealed: Package, other: Package, ann: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        payload = json.loads(json_of(sealed, without="io.shoal.package"))
        payload["predicate"]["resources"][0]["digest"] = f"{number}" * 64
        digests = [bytes.fromhex(each["digest"]) for each in payload["predicate"]["resources"]]
        payload["subject"][0]["digest"]["sha256"] = hashlib.sha256(b"".join(digests)).hexdigest()
        other.attest("signature", signed_as(canonical_json(payload), ann))
    read: list[str] = []

    def counted(root: Path, description: Any, layer: Any) -> str:
        read.append(layer.path)
        return content_digest(root, description, layer)

    monkeypatch.setattr(_package, "content_digest", counted)
    assert "is not the one that it signs" in refused(other, ann)
    assert sorted(read) == sorted(other.files())


def json_of(sealed: Package, *, without: str) -> bytes:
    payload = json.loads(_statement.payload(content(sealed)))
    del payload["predicate"][without]
    return canonical_json(payload)


def test_a_signature_of_another_package_is_no_signature_of_this_one(
    sealed: Package, other: Package, ann: Pair
) -> None:
    package.sign(other, ann.private)
    sealed.attest("signature", bundle_of(other.path))
    said = refused(sealed, ann)
    assert f"it signs the package {other.digest}, this is {sealed.digest}" in said
    signed = package.sign(sealed, ann.private)
    assert package.verify_signature(sealed.path, ann.public) == signed


def changed_payload(payload: dict[str, Any], how: str) -> None:
    predicate = payload["predicate"]
    if how == "shards":
        predicate["serialization"]["method"] = "shards"
    elif how == "twice":
        predicate["resources"].append(predicate["resources"][0])
    elif how == "no digest":
        predicate["resources"][0]["digest"] = "zz"
    elif how == "root":
        payload["subject"][0]["digest"]["sha256"] = "0" * 64
    elif how == "digest":
        predicate["io.shoal.package"]["digest"] = "sha256:" + "0" * 64
    elif how == "fewer":
        predicate["resources"].pop()
    elif how == "more":
        predicate["resources"].append({"name": "x", "algorithm": "sha256", "digest": "00" * 32})
    elif how == "type":
        payload["predicateType"] = "https://model_signing/Digests/v0.1"
    else:
        del payload["subject"]
    if how in {"fewer", "more"}:
        digests = [bytes.fromhex(each["digest"]) for each in predicate["resources"]]
        payload["subject"][0]["digest"]["sha256"] = hashlib.sha256(b"".join(digests)).hexdigest()


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("shards", "it signs shards by sha256, expected files"),
        ("twice", "it signs a file twice"),
        ("no digest", "it signs something that is no digest"),
        ("root", "its list of files has not the digest"),
        ("digest", "it signs the package sha256:000000"),
        ("fewer", "the file shoal.json is not signed"),
        ("more", "it signs a file that the package lacks: 'x'"),
        ("type", "what it signs cannot be read"),
        ("subject", "what it signs cannot be read"),
    ],
    ids=["shards", "twice", "no-digest", "root", "digest", "fewer", "more", "type", "subject"],
)
def test_a_statement_that_does_not_fit_is_refused_even_if_the_key_signed_it(
    sealed: Package, how: str, said: str
) -> None:
    payload = json.loads(_statement.payload(content(sealed)))
    changed_payload(payload, how)
    assert said in str(_statement.difference(canonical_json(payload), content(sealed)))


def test_what_else_a_key_has_signed_is_no_signature_of_the_package(
    sealed: Package, ann: Pair
) -> None:
    statement = {
        "_type": "https://in-toto.io/Statement/v1",
        "subject": [{"name": "x", "digest": {"sha256": sealed.digest.removeprefix("sha256:")}}],
        "predicateType": "https://slsa.dev/provenance/v1",
        "predicate": {},
    }
    attested = sealed.attest("provenance", signed_as(canonical_json(statement), ann))
    assert "https://slsa.dev/provenance/v1" in {
        each.predicate_type for each in attested.attestations()
    }
    assert refused(sealed, ann) == "the package double 1 is not signed"


def nested(depth: int) -> bytes:
    statement = canonical_json(
        {
            "_type": "https://in-toto.io/Statement/v1",
            "subject": [{"name": "x", "digest": {}}],
            "predicateType": PREDICATE,
        }
    )
    return statement[:-1] + b',"predicate":' + b"[" * depth + b"]" * depth + b"}"


@pytest.mark.parametrize(
    "payload",
    [b"", b"\xff\xfe", b"[]", b'{"_type":"https://in-toto.io/Statement/v1"}', nested(200_000)],
    ids=["empty", "no-text", "list", "half", "deep"],
)
def test_a_bundle_around_no_statement_is_refused_and_changes_nothing(
    sealed: Package, ann: Pair, payload: bytes
) -> None:
    before = {path: path.stat().st_mtime_ns for path in sealed.path.rglob("*")}
    with pytest.raises(InvalidRequestError, match="no whole bundle around a statement"):
        sealed.attest("signature", signed_as(payload, ann))
    assert {path: path.stat().st_mtime_ns for path in sealed.path.rglob("*")} == before
    assert "cannot be read" in str(_statement.difference(payload, content(sealed)))
    stored(sealed, ["metrics", "signature"], [{"accuracy": 0.5}, signed_as(payload, ann)])
    with pytest.raises(CorruptPackageError, match="no whole bundle around a statement"):
        package.open(sealed.path)


@pytest.mark.parametrize("lacking", ["dsseEnvelope", "payload", "payloadType"])
def test_a_bundle_that_lacks_a_part_is_refused(sealed: Package, ann: Pair, lacking: str) -> None:
    document = signed_as(_statement.payload(content(sealed)), ann)
    document.pop(lacking, None)
    document.get("dsseEnvelope", {}).pop(lacking, None)
    with pytest.raises(InvalidRequestError, match="no whole bundle"):
        sealed.attest("signature", document)


def test_a_bundle_without_a_signature_or_with_two_signs_nothing(sealed: Package, ann: Pair) -> None:
    document = signed_as(_statement.payload(content(sealed)), ann)
    (one,) = document["dsseEnvelope"]["signatures"]
    for held in ([], [one, one]):
        document["dsseEnvelope"]["signatures"] = held
        sealed.attest("signature", document)
    assert refused(sealed, ann) == "the package double 1 is not signed"


def test_a_bundle_that_is_too_large_is_not_stored(sealed: Package, ann: Pair) -> None:
    document = signed_as(_statement.payload(content(sealed)), ann)
    document["dsseEnvelope"]["signatures"][0]["keyid"] = "x" * 17_000_000
    with pytest.raises(InvalidRequestError, match="the most that is stored"):
        sealed.attest("signature", document)


@given(document=JSON, payload=st.binary(max_size=200), at=st.integers(0, 5000), by=st.binary())
def test_whatever_a_bundle_holds_it_is_read_or_it_signs_nothing(
    document: Any, payload: bytes, at: int, by: bytes
) -> None:
    digests = {"shoal.json": "sha256:" + "0" * 64}
    held = _statement.Content("double", "sha256:" + "1" * 64, tuple(digests), lambda: digests)
    whole = _statement.payload(held)
    assert _statement.difference(whole, held) is None
    changed = whole[: at % len(whole)] + by + whole[at % len(whole) :]
    assert _statement.difference(changed, held) or is_same(changed, whole)
    assert _statement.difference(payload, held)
    assert _statement.read_bundle(document) is None
    assert (
        _statement.read_bundle({**_statement.bundle(whole, b"", ""), "dsseEnvelope": document})
        is None
    )


def is_same(changed: bytes, whole: bytes) -> bool:
    """Whether what was put in says nothing: white space, or fields that nobody reads."""
    one, other = json.loads(changed.decode(errors="replace")), json.loads(whole)
    return (
        all(one[name] == other[name] for name in ("_type", "predicateType"))
        and one["predicate"]["resources"] == other["predicate"]["resources"]
    )
