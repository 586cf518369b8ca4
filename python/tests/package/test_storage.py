"""Building writes all or nothing, whatever fails and whenever it fails."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from shoal import package
from shoal.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.package import Package


class FullDisk:
    """Counts the calls that reach the disk and fails one of them with ENOSPC."""

    def __init__(self, failing: int) -> None:
        self.failing = failing
        self.calls = 0

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            self.calls += 1
            if self.calls == self.failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return call(*arguments, **named)

        return counted

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        # Flushing for real would only make the test slow: nothing here crashes.
        monkeypatch.setattr(os, "fsync", self.wrap(lambda handle: None))
        monkeypatch.setattr(Path, "rename", self.wrap(Path.rename))
        monkeypatch.setattr(Path, "mkdir", self.wrap(Path.mkdir))


@pytest.fixture
def build(tmp_path: Path, model_bytes: bytes) -> Callable[[], Package]:
    place = tmp_path / "models" / "double"
    place.parent.mkdir()
    return lambda: package.build(model_bytes, name="double", version="1", output=place)


def _calls_of(build: Callable[[], object]) -> int:
    with pytest.MonkeyPatch.context() as patch:
        disk = FullDisk(failing=0)
        disk.install(patch)
        build()
    return disk.calls


def test_a_full_disk_at_any_moment_of_building_leaves_nothing(
    tmp_path: Path, build: Callable[[], Package], model_bytes: bytes
) -> None:
    trial = tmp_path / "trial" / "double"
    calls = _calls_of(lambda: package.build(model_bytes, name="double", version="1", output=trial))
    assert calls > 10
    # The last calls flush the parent after the rename: by then the package is whole.
    for failing in range(1, calls):
        with pytest.MonkeyPatch.context() as patch:
            FullDisk(failing).install(patch)
            with pytest.raises(StorageError, match="No space left"):
                build()
        assert list((tmp_path / "models").iterdir()) == [], failing
    assert build().version == "1"


def test_a_full_disk_at_any_moment_of_attesting_leaves_the_package_as_it_was(
    sealed: Package,
) -> None:
    def everything() -> dict[Path, bytes]:
        return {p: p.read_bytes() for p in sealed.path.parent.rglob("*") if p.is_file()}

    before = everything()
    failing = 0
    while True:
        failing += 1
        with pytest.MonkeyPatch.context() as patch:
            disk = FullDisk(failing)
            disk.install(patch)
            try:
                sealed.attest("report", {"number": 1})
            except StorageError:
                assert everything() == before or len(package.open(sealed.path).attestations()) == 2
                continue
            break
    assert failing > 5
    assert len(package.open(sealed.path).attestations()) == 2


SEALING_WITH_SMALL_FILES = """
import resource, sys
from shoal import errors, package
resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))
try:
    package.build(sys.argv[1], name="double", version="1", output=sys.argv[2])
except errors.StorageError as error:
    print(error)
"""


def test_a_file_that_the_system_refuses_leaves_nothing(tmp_path: Path, model_bytes: bytes) -> None:
    """In a process of its own: the limit would hold for everything that this one writes, too."""
    place = tmp_path / "models" / "double"
    place.parent.mkdir()
    (tmp_path / "double.onnx").write_bytes(model_bytes)
    places = [str(tmp_path / "double.onnx"), str(place)]
    command = [sys.executable, "-c", SEALING_WITH_SMALL_FILES, *places]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "File too large" in done.stdout
    assert list(place.parent.iterdir()) == []


def test_a_place_that_holds_something_else_is_refused_and_kept(
    tmp_path: Path, model_bytes: bytes
) -> None:
    place = tmp_path / "double"
    place.mkdir()
    (place / "thesis.txt").write_text("years of work")
    with pytest.raises(StorageError, match="exists"):
        package.build(model_bytes, name="double", version="1", output=place)
    assert [path.name for path in tmp_path.rglob("*")] == ["double", "thesis.txt"]


def test_building_the_same_package_again_keeps_its_attestations(
    sealed: Package, model_bytes: bytes
) -> None:
    rows = np.arange(12, dtype=np.float32).reshape(3, 4)
    again = package.build(model_bytes, name="double", version="1", output=sealed.path, example=rows)
    assert again.digest == sealed.digest
    assert len(again.attestations()) == 1


def test_another_package_at_the_place_is_refused(sealed: Package, model_bytes: bytes) -> None:
    with pytest.raises(StorageError, match=sealed.digest):
        package.build(model_bytes, name="double", version="2", output=sealed.path)
    assert package.open(sealed.path).digest == sealed.digest


def test_an_empty_directory_is_taken(tmp_path: Path, model_bytes: bytes) -> None:
    built = package.build(model_bytes, name="double", version="1", output=tmp_path)
    assert built.path == tmp_path
