"""Whatever stands in the documents of a package, it is a package or refused by name.

The documents of a sealed package are changed at random and the digests above them are mended, so
that the decoders behind the digests are reached. For 10 seconds, or `SHOAL_FUZZ_SECONDS`; the
sequence is that of `SHOAL_FUZZ_SEED`, "fresh" for one that nobody has seen. What fails is made
small and written to target/fuzz; `SHOAL_FUZZ_INPUT` tries that file alone. The Rust decoders are
tried in crates/shoal-server/src/fuzz.
"""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from shoal import package
from shoal.errors import CorruptPackageError
from shoal.package import _manifest, _tar

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[3]
SECONDS = float(os.environ.get("SHOAL_FUZZ_SECONDS", "10"))
SEED = os.environ.get("SHOAL_FUZZ_SEED", "1")
INPUT = os.environ.get("SHOAL_FUZZ_INPUT")
DESCRIPTION = "models/double/1/shoal.json"
TOKENS = [
    *(b"null", b"true", b"[]", b"{}", b'""', b'"\\ud800"', b"[", b"]", b"{", b"}", b",", b":"),
    *(b"0", b"-1", b"1e999", b"18446744073709551616", b"NaN", b"\xff", b"\0", b"../", b"\\u0000"),
    *(b"[" * 5000, b'{"a":' * 5000, b"9" * 5000, b'"sha256:' + b"0" * 64 + b'"'),
]


@dataclass
class Sealed:
    """A package whose documents may be replaced, and put back."""

    root: Path
    texts: dict[str, bytes]

    def blob(self, data: bytes) -> Path:
        name = _manifest.digest_of(data).removeprefix("sha256:")
        return self.root / "blobs" / "sha256" / name

    def tries(self, which: str, text: bytes) -> None:
        """Open the package with another text in the place of a document."""
        added = [self._put(data) for data in self._mended(which, text)]
        try:
            package.open(self.root)
        except CorruptPackageError:
            pass
        finally:
            for path in filter(None, added):
                path.unlink()
            (self.root / "index.json").write_bytes(self.texts["index"])

    def fails(self, which: str, text: bytes) -> bool:
        """Whether that ends in anything but a package or a refusal."""
        try:
            self.tries(which, text)
        except Exception:  # noqa: BLE001 - whatever it is, it is the finding
            return True
        return False

    def _put(self, data: bytes) -> Path | None:
        path = self.blob(data)
        if path.exists():
            return None
        path.write_bytes(data)
        return path

    def _mended(self, which: str, text: bytes) -> list[bytes]:
        """The blobs that change with a document; `index.json` is written, which names them."""
        blobs, index = [], self.texts["index"]
        if which == "description":
            old = _tarred(self.texts["description"])
            blobs.append(_tarred(text))
            which, text = "image", _renamed(self.texts["image"], old, blobs[0])
        if which == "index":
            index = text
        else:
            blobs.append(text)
            index = _renamed(index, self.texts[which], text)
        (self.root / "index.json").write_bytes(index)
        return blobs


def _tarred(text: bytes) -> bytes:
    return _tar.head(DESCRIPTION, len(text)) + text + _tar.tail(len(text))


def _renamed(document: bytes, old: bytes, new: bytes) -> bytes:
    """The document with the digest and the size of one blob in the place of another's."""
    before, after = document.split(_manifest.digest_of(old).encode(), 1)
    sized = after.replace(f'"size":{len(old)}'.encode(), f'"size":{len(new)}'.encode(), 1)
    return before + _manifest.digest_of(new).encode() + sized


def changed(text: bytes, other: bytes, chance: random.Random) -> bytes:
    """A copy with one to three changes; `other` gives pieces."""
    for _ in range(chance.randint(1, 3)):
        start = chance.randint(0, len(text))
        end = min(len(text), start + chance.choice([0, 1, 2, 8, 40]))
        piece = chance.randint(0, len(other))
        came = chance.choice(
            [
                b"",
                chance.choice(TOKENS),
                bytes([chance.randrange(256)]),
                other[piece : piece + chance.randint(0, 60)],
                text[start:end] * chance.randint(2, 5),
            ]
        )
        text = text[:start] + came + text[end:]
    return text


def smallest(fails: Callable[[bytes], bool], text: bytes) -> bytes:
    """What is left when no piece can be left out."""
    size = len(text) // 2
    while size:
        tries = (text[:place] + text[place + size :] for place in range(0, len(text), size))
        smaller = next((each for each in tries if fails(each)), None)
        text, size = (text, size // 2) if smaller is None else (smaller, size)
    return text


def report(documents: Sealed, which: str, text: bytes) -> Path:
    """Write the smallest text that still fails."""
    path = ROOT / "target" / "fuzz" / f"{which}-{time.time_ns()}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(smallest(lambda smaller: documents.fails(which, smaller), text))
    return path


@pytest.fixture
def documents(sealed: package.Package, tmp_path: Path) -> Sealed:
    root = tmp_path / "double"
    layout = package._read.read_layout(root)
    texts = {
        "index": (root / "index.json").read_bytes(),
        "image": layout.documents.image_manifest,
        "modelpack": layout.documents.modelpack_manifest,
        "attestation": layout.attestations[0][1],
        "description": layout.description_text,
    }
    return Sealed(root, texts)


def test_no_document_of_a_package_ends_in_anything_but_a_refusal(
    documents: Sealed, record_property: Callable[[str, object], None]
) -> None:
    if INPUT:
        documents.tries(Path(INPUT).name.partition("-")[0], Path(INPUT).read_bytes())
        return
    seed = str(time.time_ns()) if SEED == "fresh" else SEED
    chance, names, cases = random.Random(seed), list(documents.texts), 0
    ends_at = time.monotonic() + SECONDS
    while time.monotonic() < ends_at:
        which, other = chance.choice(names), chance.choice(names)
        text = changed(documents.texts[which], documents.texts[other], chance)
        cases += 1
        if documents.fails(which, text):
            path = report(documents, which, text)
            pytest.fail(f"seed {seed}: again with SHOAL_FUZZ_INPUT={path}")
    record_property("cases", cases)


def test_the_documents_are_reached_behind_their_digests(documents: Sealed) -> None:
    """A change that a decoder, and not a digest, must refuse; and none, which opens."""
    for which, text in documents.texts.items():
        documents.tries(which, text)
        package.open(documents.root)
    with pytest.raises(CorruptPackageError, match=r"shoal\.json|description|runtime"):
        _opened(documents, documents.texts["description"].replace(b'"onnx"', b'"none"', 1))


def test_a_version_too_long_for_the_paths_of_its_files_is_refused(documents: Sealed) -> None:
    long = documents.texts["description"].replace(
        b'"version":"1"', b'"version":"%s"' % (b"9" * 110)
    )
    with pytest.raises(CorruptPackageError, match="is too long for a package"):
        _opened(documents, long)


def _opened(documents: Sealed, description: bytes) -> package.Package:
    for data in documents._mended("description", description):
        documents._put(data)
    return package.open(documents.root)
