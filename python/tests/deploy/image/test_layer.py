"""A layer is the same bytes for the same files."""

from __future__ import annotations

import tarfile
from typing import TYPE_CHECKING

import pytest

from shoal.deploy._image._layer import Entry, write_layer
from shoal.errors import DeployError

if TYPE_CHECKING:
    from pathlib import Path

FILES = {
    "opt/b": Entry(b"second"),
    "opt/a/z": Entry(b"first"),
    "opt/run": Entry(b"#!", is_program=True),
}


def test_a_layer_is_these_bytes(tmp_path: Path) -> None:
    written = write_layer(tmp_path / "layer.tar", FILES, open_folders=["tmp"])
    # Whatever writes another layer of the same files makes every image new.
    assert written.digest == (
        "sha256:83a2f79b31b1f1e47848f93d07f9a379ced30eeb9e2a89e8d47531167bbcc57c"
    )
    assert written.size_bytes == (tmp_path / "layer.tar").stat().st_size
    assert written.unpacked_bytes == len(b"secondfirst#!")


def test_what_lies_where_and_who_may_use_it(tmp_path: Path) -> None:
    write_layer(tmp_path / "layer.tar", FILES, open_folders=["tmp"])
    with tarfile.open(tmp_path / "layer.tar") as tar:
        members = [(each.name, oct(each.mode), each.uid, each.mtime) for each in tar]
    assert members == [
        ("opt", "0o755", 0, 0),
        ("opt/a", "0o755", 0, 0),
        ("opt/a/z", "0o644", 0, 0),
        ("opt/b", "0o644", 0, 0),
        ("opt/run", "0o755", 0, 0),
        ("tmp", "0o1777", 0, 0),
    ]


def test_a_file_on_disk_is_taken_as_its_bytes_are(tmp_path: Path) -> None:
    (tmp_path / "given").write_bytes(b"second")
    (tmp_path / "given").chmod(0o600)
    of_file = write_layer(tmp_path / "a.tar", {**FILES, "opt/b": Entry(tmp_path / "given")})
    assert of_file == write_layer(tmp_path / "b.tar", dict(reversed(FILES.items())))


def test_a_path_that_no_layer_holds_is_refused_by_name(tmp_path: Path) -> None:
    path = "opt/" + "x" * 200
    with pytest.raises(DeployError, match=r"cannot hold the path opt/x+"):
        write_layer(tmp_path / "layer.tar", {path: Entry(b"")})


def test_the_locale_changes_no_layer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"opt/\u00fcber": Entry(b"")}
    written = write_layer(tmp_path / "a.tar", files)
    monkeypatch.setattr(tarfile.TarFile, "encoding", "latin-1")  # as a locale of ISO 8859-1 has it
    assert write_layer(tmp_path / "b.tar", files) == written
