"""What is said beside a package has limits, and nothing is stored that opening would refuse."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import pytest

from shoal import package
from shoal.errors import CorruptPackageError, InvalidRequestError
from shoal.package import _attestations, _attested, _manifest
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from shoal.package import Package

STATEMENT = {
    "_type": "https://in-toto.io/Statement/v1",
    "predicateType": "https://slsa.dev/provenance/v1",
    "predicate": {},
}


def everything(root: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}


def stored(sealed: Package, kinds: Sequence[str], documents: Sequence[object]) -> None:
    """Puts attestations into a package as somebody else could: what attest refuses, too."""
    blobs = sealed.path / "blobs" / "sha256"
    image = (blobs / sealed.digest.removeprefix("sha256:")).read_bytes()
    index = json.loads((sealed.path / "index.json").read_bytes())
    del index["manifests"][2:]
    entries = []
    for kind, document in zip(kinds, documents, strict=True):
        text = canonical_json(document)
        said = _manifest.Said(_manifest.digest_of(text), len(text))
        manifest = _manifest.attestation_manifest(kind, said, _manifest.subject_of(image))
        for data in (text, manifest):
            (blobs / hashlib.sha256(data).hexdigest()).write_bytes(data)
        entry = {
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "artifactType": json.loads(manifest)["artifactType"],
            "digest": _manifest.digest_of(manifest),
            "size": len(manifest),
        }
        entries.append(entry)
    index["manifests"] += sorted(entries, key=lambda each: str(each["digest"]))
    (sealed.path / "index.json").write_bytes(canonical_json(index))


def kinds(count: int) -> list[str]:
    return [f"k{number}" for number in range(count)]


def test_a_document_that_many_attestations_name_is_read_once(
    sealed: Package, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = {"text": "a" * 1_000_000}
    stored(sealed, ["metrics", *kinds(80)], [{"accuracy": 0.5}, *[document] * 80])
    hashed = 0
    digest_of = _manifest.digest_of

    def counted(data: bytes) -> str:
        nonlocal hashed
        hashed += len(data)
        return digest_of(data)

    monkeypatch.setattr(_manifest, "digest_of", counted)
    found = package.open(sealed.path).attestations()
    assert len({id(each.document) for each in found}) == 2
    assert hashed < 4_000_000


def test_so_many_attestations_are_read_and_no_more(sealed: Package) -> None:
    limit = _attested.ATTESTATIONS_LIMIT
    documents: list[object] = [{"accuracy": 0.5}, *[[1]] * limit]
    stored(sealed, ["metrics", *kinds(limit)][:limit], documents[:limit])
    assert len(package.open(sealed.path).attestations()) == limit
    with pytest.raises(InvalidRequestError, match=f"{limit + 1} attestations, at most {limit}"):
        sealed.attest("another", {})
    assert len(package.open(sealed.path).attestations()) == limit
    stored(sealed, ["metrics", *kinds(limit)], documents)
    with pytest.raises(CorruptPackageError, match=f"at most {limit} are read"):
        package.open(sealed.path)


def test_so_many_bytes_of_documents_are_read_and_no_more(sealed: Package) -> None:
    large = [f"{number}" * (_attested.ATTESTATION_LIMIT_BYTES - 1000) for number in range(5)]
    for document in large[:-1]:
        sealed.attest("large", document)
    with pytest.raises(InvalidRequestError, match="bytes of attestations, at most"):
        sealed.attest("large", large[-1])
    assert len(package.open(sealed.path).attestations()) == 5
    stored(sealed, ["metrics", *["large"] * 5], [{"accuracy": 0.5}, *large])
    with pytest.raises(CorruptPackageError, match="attestations have more than"):
        package.open(sealed.path)


def test_nothing_is_stored_that_opening_would_refuse(sealed: Package) -> None:
    before = everything(sealed.path)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    long = STATEMENT | {"subject": [subject(sealed.digest)], "predicateType": "x" * 5_000_000}
    for document, message in (
        (deep, "cannot be stored as JSON|cannot be read again"),
        (long, "bytes in a manifest, at most 4194304"),
    ):
        with pytest.raises(InvalidRequestError, match=message):
            sealed.attest("another", document)
    assert everything(sealed.path) == before


def test_the_limits_of_an_index_and_of_blobs_hold_before_anything_is_written(
    sealed: Package,
) -> None:
    def check(blobs: list[bytes], index: bytes) -> None:
        (text,) = (
            path.read_bytes()
            for path in (sealed.path / "blobs" / "sha256").iterdir()
            if b"io.shoal.attestation.kind" in path.read_bytes()
        )
        _attestations.check_room(sealed.path, [text], blobs, index)

    check([b"a"], b"{}")
    with pytest.raises(InvalidRequestError, match="bytes in its index, at most 4194304"):
        check([b"a"], bytes(4 * 1024 * 1024 + 1))
    with pytest.raises(InvalidRequestError, match="blobs, at most 20000"):
        check([b"%d" % number for number in range(20_000)], b"{}")


def subject(digest: str) -> dict[str, Any]:
    return {"name": "double:1", "digest": {"sha256": digest.removeprefix("sha256:")}}


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "nobody"},
        {"subject": [{"name": "double:1"}]},
        {"predicateType": 1},
        {"predicateType": ""},
        {"predicateType": None},
    ],
)
def test_a_statement_with_a_field_that_is_none_is_no_ordinary_document(
    sealed: Package, change: dict[str, Any]
) -> None:
    """It could be about another package."""
    whole = STATEMENT | {"subject": [subject(sealed.digest)]}
    document = {name: value for name, value in (whole | change).items() if value is not None}
    before = everything(sealed.path)
    with pytest.raises(InvalidRequestError, match="no whole statement of in-toto"):
        sealed.attest("provenance", document)
    assert everything(sealed.path) == before
    stored(sealed, ["metrics", "provenance"], [{"accuracy": 0.5}, document])
    with pytest.raises(CorruptPackageError, match="no whole statement of in-toto"):
        package.open(sealed.path)


def test_a_document_of_another_type_is_an_ordinary_one(sealed: Package) -> None:
    for document in ({"_type": "https://in-toto.io/Statement/v0.1"}, {"_type": 1}, [1], "x", None):
        attested = sealed.attest("other", document)
    assert {each.predicate_type for each in attested.attestations()} == {None}
    assert len(attested.attestations()) == 6
