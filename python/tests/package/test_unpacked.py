"""The files of a package in a folder, as its image shows them, open as the package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from shoal import package
from shoal.errors import CorruptPackageError, InvalidRequestError

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package


@pytest.fixture
def unpacked(sealed: Package, tmp_path: Path) -> Path:
    folder = tmp_path / "open"
    sealed.unpack(folder)
    return folder


def test_open_files_have_the_digest_of_the_package(sealed: Package, unpacked: Path) -> None:
    opened = package.open(unpacked)
    assert opened.digest == sealed.digest
    assert opened.files() == sealed.files()
    assert opened.digests() == sealed.digests()
    assert opened.attestations() == ()
    assert package.identify(unpacked) == package.identify(sealed.path)


def test_the_root_of_the_image_names_the_one_package_in_it(
    sealed: Package, unpacked: Path, tmp_path: Path
) -> None:
    place = tmp_path / "mounted" / sealed.image_directory
    place.parent.mkdir(parents=True)
    unpacked.rename(place)
    opened = package.open(tmp_path / "mounted")
    assert (opened.path, opened.digest) == (place, sealed.digest)
    sealed.unpack(place.with_name("2"))
    with pytest.raises(CorruptPackageError):
        package.open(tmp_path / "mounted")


def test_open_files_answer_as_the_package_does(sealed: Package, unpacked: Path) -> None:
    column = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(8, dtype=np.float32)), 4)
    rows = pa.record_batch({"X": column})
    assert package.open(unpacked).model().predict(rows) == sealed.model().predict(rows)
    assert package.verify(unpacked).golden == "matched"


def test_other_bytes_have_another_digest(sealed: Package, unpacked: Path) -> None:
    with (unpacked / "model.onnx").open("ab") as file:
        file.write(b"\0")
    assert package.open(unpacked).digest != sealed.digest


def test_a_file_that_changed_since_is_refused(unpacked: Path, tmp_path: Path) -> None:
    opened = package.open(unpacked)
    for change in (b"longer", b""):
        (unpacked / "model.onnx").write_bytes(opened.read("shoal.json") + change)
        with pytest.raises(CorruptPackageError, match=r"model\.onnx changed"):
            opened.read("model.onnx")
        with pytest.raises(CorruptPackageError, match=r"model\.onnx changed"):
            opened.copy("model.onnx", tmp_path / f"copy-{len(change)}")


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_a_link_is_refused(unpacked: Path, tmp_path: Path, kind: str) -> None:
    target = tmp_path / "elsewhere"
    target.mkdir() if kind == "folder" else target.write_bytes(b"secret")
    (unpacked / "linked").symlink_to(target)
    with pytest.raises(CorruptPackageError, match="linked in the package is a link"):
        package.open(unpacked)


def test_a_name_that_no_package_holds_is_refused(unpacked: Path) -> None:
    (unpacked / "a name.txt").write_bytes(b"")
    with pytest.raises(CorruptPackageError, match=r"cannot hold: 'a name\.txt'"):
        package.open(unpacked)


def test_nothing_is_stated_beside_open_files(unpacked: Path) -> None:
    with pytest.raises(InvalidRequestError, match="nothing can be stated beside"):
        package.open(unpacked).attest("metrics", {"accuracy": 0.5})
