"""Which keys sign, how they are called, and where a password is needed."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from shoal import package
from shoal.errors import ConfigurationError, PathError
from shoal.package._signing import _keys
from tests.package.keys import PASSWORD

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package
    from tests.package.keys import Maker, Pair


def test_without_the_extra_the_remedy_is_named(sealed: Package) -> None:
    lines = "import sys; sys.modules['cryptography'] = None; from shoal import package\n"
    lines += f"package.open({str(sealed.path)!r}); package.verify_signature"
    done = subprocess.run(
        [sys.executable, "-c", lines], capture_output=True, text=True, check=False
    )
    assert "RequirementError" in done.stderr
    assert "hint: pip install 'shoal[sign]'" in done.stderr


def test_a_key_is_called_by_what_openssl_prints_of_it(keys: Maker, ann: Pair) -> None:
    public = keys.run("ec", "-in", str(ann.private), "-pubout")
    read = package.read_public_key(ann.public)
    assert read.fingerprint == hashlib.sha256(public).hexdigest()
    assert repr(read) == f"PublicKey({read.fingerprint!r})"


@pytest.mark.parametrize("form", ["pkcs8", "ec"])
def test_a_key_with_a_password_signs_with_it_only(
    sealed: Package, keys: Maker, ann: Pair, form: str
) -> None:
    locked = keys.locked(ann, form)
    with pytest.raises(ConfigurationError, match="has a password, and none was given"):
        package.sign(sealed, locked)
    with pytest.raises(ConfigurationError, match="does not open the private key") as caught:
        package.sign(sealed, locked, password="guessed-at")
    assert "guessed-at" not in str(caught.value)
    signed = package.sign(sealed, locked, password=lambda: PASSWORD)
    assert package.sign(sealed, ann.private, password="not needed") == signed


def test_nobody_is_asked_for_the_password_of_a_key_that_has_none(
    sealed: Package, ann: Pair
) -> None:
    asked: list[None] = []

    def ask() -> str:
        asked.append(None)
        return PASSWORD

    package.sign(sealed, ann.private, password=ask)
    assert asked == []


@pytest.mark.parametrize(
    ("kind", "options", "words"),
    [
        ("RSA", ("-pkeyopt", "rsa_keygen_bits:2048"), "a key of the kind RSA"),
        ("ED25519", (), "a key of the kind Ed25519"),
        ("EC", ("-pkeyopt", "ec_paramgen_curve:secp256k1"), "a key on the curve secp256k1"),
    ],
    ids=["rsa", "ed25519", "secp256k1"],
)
def test_a_key_of_another_kind_is_refused_in_words(
    sealed: Package, keys: Maker, kind: str, options: tuple[str, ...], words: str
) -> None:
    key = keys.of_kind(kind, *options)
    expected = f"{words}, expected one of the curves P-256, P-384 or P-521"
    with pytest.raises(ConfigurationError, match=expected):
        package.sign(sealed, key.private)
    with pytest.raises(ConfigurationError, match=expected):
        package.verify_signature(sealed, key.public)


def test_a_file_that_is_no_such_key_is_refused_in_words(
    sealed: Package, ann: Pair, tmp_path: Path
) -> None:
    large, plain = tmp_path / "large", tmp_path / "plain"
    large.write_bytes(bytes(_keys.LIMIT_BYTES + 1))
    plain.write_text("secret text that is not repeated")
    for path, words in (
        (ann.public, "holds public key, expected a private key"),
        (plain, "is no PEM file, expected a private key"),
        (large, "the most that a key is read from"),
        (tmp_path, "cannot be read: Is a directory"),
    ):
        with pytest.raises(ConfigurationError, match=words) as caught:
            package.sign(sealed, path)
        assert "secret" not in str(caught.value)
    with pytest.raises(ConfigurationError, match="holds ec private key, expected a public key"):
        package.verify_signature(sealed, ann.private)
    with pytest.raises(PathError, match="there is no key at"):
        package.sign(sealed, tmp_path / "nothing")


def test_a_key_with_its_parameters_before_it_signs(
    sealed: Package, keys: Maker, tmp_path: Path
) -> None:
    """So openssl writes it without -noout."""
    path = tmp_path / "key.pem"
    keys.run("ecparam", "-name", "prime256v1", "-genkey", "-out", str(path))
    assert path.read_bytes().startswith(b"-----BEGIN EC PARAMETERS-----")
    assert package.sign(sealed, path).package == sealed.digest
