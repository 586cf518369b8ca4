"""Who signed a package is found out from the package and a key, and from nothing else."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from shoal import package
from shoal.package._signing import _statement
from tests.package.signed import (
    PREDICATE,
    bundle_of,
    content,
    payload_of,
    refused,
    signatures,
    signed_as,
)

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package
    from tests.package.keys import Maker, Pair

CURVES = ("prime256v1", "secp384r1", "secp521r1")
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"


def model_signing(*words: str) -> subprocess.CompletedProcess[str]:
    """The program of OpenSSF."""
    command = [sys.executable, "-m", "model_signing", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("curve", CURVES)
def test_a_package_is_signed_and_keeps_its_digest(sealed: Package, keys: Maker, curve: str) -> None:
    key = keys.on(curve, f"of-{curve}")
    signed = package.sign(sealed.path, key.private)
    opened = package.open(sealed.path)
    assert opened.digest == sealed.digest == signed.package
    assert package.verify_signature(opened, key.public) == signed
    assert package.verify(sealed.path, key=key.public).signed_by == signed.key
    assert signed.attestation in {each.digest for each in opened.attestations()}


def test_a_key_signs_a_package_once_and_others_sign_beside_it(
    sealed: Package, ann: Pair, ben: Pair
) -> None:
    first = package.sign(sealed, ann.private)
    assert package.sign(sealed, ann.private) == first
    second = package.sign(sealed, ben.private)
    assert package.sign(package.open(sealed.path), ann.private) == first
    assert {each.digest for each in signatures(sealed.path)} == {
        first.attestation,
        second.attestation,
    }
    for pair, signed in ((ann, first), (ben, second)):
        assert package.verify_signature(sealed.path, pair.public) == signed


def test_a_signature_is_stored_as_cosign_stores_bundles(sealed: Package, ann: Pair) -> None:
    signed = package.sign(sealed, ann.private)
    blobs = sealed.path / "blobs" / "sha256"
    manifest = json.loads((blobs / signed.attestation.removeprefix("sha256:")).read_bytes())
    assert manifest["artifactType"] == BUNDLE
    assert [layer["mediaType"] for layer in manifest["layers"]] == [BUNDLE]
    assert manifest["config"]["mediaType"] == "application/vnd.oci.empty.v1+json"
    assert manifest["subject"]["digest"] == sealed.digest
    assert manifest["annotations"] == {
        "dev.sigstore.bundle.content": "dsse-envelope",
        "dev.sigstore.bundle.predicateType": PREDICATE,
        "io.shoal.attestation.kind": "signature",
    }
    index = json.loads((sealed.path / "index.json").read_bytes())
    types = {entry["digest"]: entry.get("artifactType") for entry in index["manifests"]}
    assert types[signed.attestation] == BUNDLE
    assert signatures(sealed.path)[0].predicate_type == PREDICATE


def test_what_is_signed_are_the_files_as_they_are_unpacked(
    sealed: Package, ann: Pair, tmp_path: Path
) -> None:
    package.sign(sealed, ann.private)
    sealed.unpack(tmp_path / "unpacked")
    held = {
        path.relative_to(tmp_path / "unpacked").as_posix(): path.read_bytes()
        for path in (tmp_path / "unpacked").rglob("*")
        if path.is_file()
    }
    payload = payload_of(bundle_of(sealed.path))
    assert {each["name"]: each["digest"] for each in payload["predicate"]["resources"]} == {
        name: hashlib.sha256(data).hexdigest() for name, data in held.items()
    }
    assert sealed.digests() == {
        name: f"sha256:{hashlib.sha256(data).hexdigest()}" for name, data in held.items()
    }
    assert payload["subject"][0]["name"] == "double"
    assert payload["predicate"]["io.shoal.package"] == {"digest": sealed.digest}


@pytest.mark.parametrize("curve", CURVES)
def test_the_program_of_openssf_checks_a_signature_on_the_unpacked_package(
    sealed: Package, keys: Maker, tmp_path: Path, curve: str
) -> None:
    key = keys.on(curve, f"program-{curve}")
    package.sign(sealed, key.private)
    sealed.unpack(tmp_path / "unpacked")
    (tmp_path / "package.sig").write_text(json.dumps(bundle_of(sealed.path)))
    signature = ("--signature", str(tmp_path / "package.sig"), "--public_key", str(key.public))
    words = ("verify", "key", str(tmp_path / "unpacked"), *signature)
    done = model_signing(*words)
    assert (done.returncode, done.stdout) == (0, "Verification succeeded\n"), done.stderr
    if curve == CURVES[0]:
        (tmp_path / "unpacked" / "shoal.json").write_text("{}")
        assert "Hash mismatch for 'shoal.json'" in model_signing(*words).stderr


def test_a_signature_of_that_program_is_taken_and_holds_for_the_same_content_only(
    sealed: Package, other: Package, ann: Pair, ben: Pair, tmp_path: Path
) -> None:
    sealed.unpack(tmp_path / "unpacked")
    words = ("sign", "key", str(tmp_path / "unpacked"), "--signature", str(tmp_path / "of.sig"))
    done = model_signing(*words, "--private_key", str(ann.private))
    assert done.returncode == 0, done.stderr
    document = json.loads((tmp_path / "of.sig").read_bytes())
    ours = _statement.payload(_statement.Content("unpacked", "", sealed.files(), sealed.digests))
    assert payload_of(document)["subject"] == json.loads(ours)["subject"]
    for each in (sealed, other):
        each.attest("signature", document)
    signed = package.verify_signature(sealed.path, ann.public)
    assert package.sign(sealed, ann.private) == signed
    assert "is not the one that it signs" in refused(other, ann)
    assert "is not signed by the key" in refused(sealed, ben)


def test_a_package_without_signature_is_refused(sealed: Package, ann: Pair) -> None:
    assert refused(sealed, ann) == "the package double 1 is not signed"


def test_another_key_is_refused_and_those_that_signed_are_named(
    sealed: Package, keys: Maker, ann: Pair, ben: Pair
) -> None:
    signed = package.sign(sealed, ben.private)
    asked = package.read_public_key(ann.public).fingerprint
    said = refused(sealed, ann)
    assert said == f"the package double 1 is not signed by the key {asked}, but by {signed.key}"
    for number in range(6):
        package.sign(sealed, keys.on("prime256v1", f"signer-{number}").private)
    said = refused(sealed, ann)
    assert said.endswith("and 2 others")
    assert said.count(",") == 5


def test_a_hint_that_is_no_fingerprint_is_not_repeated(
    sealed: Package, ann: Pair, ben: Pair
) -> None:
    document = signed_as(_statement.payload(content(sealed)), ben)
    document["verificationMaterial"]["publicKey"]["hint"] = "\x1b[2Jann"
    sealed.attest("signature", document)
    assert refused(sealed, ann).endswith("but by one without name")
    assert package.verify_signature(sealed.path, ben.public).package == sealed.digest


def test_signatures_go_with_a_copy(sealed: Package, ann: Pair, tmp_path: Path) -> None:
    signed = package.sign(sealed, ann.private)
    shutil.copytree(sealed.path, tmp_path / "copy")
    assert package.verify_signature(tmp_path / "copy", ann.public) == signed
