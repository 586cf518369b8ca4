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


ATTESTING = """
import sys
from shoal import package
place, name, count = sys.argv[1:]
opened = package.open(place)
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(count)):
    opened.attest("report", {"by": name, "number": number}, files={"same.txt": b"the same"})
"""


def test_statements_that_several_processes_add_at_once_are_all_kept(sealed: Package) -> None:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", ATTESTING, str(sealed.path), name, "5"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name in "ab"
    ]
    for process in started:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in started:
        process.communicate("go\n", timeout=60)
    assert [process.returncode for process in started] == [0, 0]
    found = [each.document for each in package.open(sealed.path).attestations()]
    for name in "ab":
        for number in range(5):
            assert {"by": name, "number": number} in found


KILLED_WHILE_ATTESTING = """
import os, sys
from shoal import package
calls, killed_at, failing_at, unlinks = 0, *map(int, sys.argv[2:])

def counted(audited, arguments):
    global calls, unlinks
    if audited == "os.rename":
        calls += 1
        if calls == killed_at:
            os._exit(9)
        if calls == failing_at:
            raise OSError(28, "No space left on device")
    if audited == "os.remove" and "/blobs/sha256/" in str(arguments[0]):
        unlinks -= 1
        if unlinks < 0:
            os._exit(9)

sys.addaudithook(counted)
opened = package.open(sys.argv[1])
opened.attest("report", {"number": 1}, files={"a.bin": b"\\0a", "b.bin": b"\\0b"})
"""
RENAMES = 5
"""A manifest, a document, two files and the index; the empty configuration is there already."""


@pytest.mark.parametrize("renames", range(1, RENAMES + 1))
def test_attesting_that_is_killed_leaves_a_package_that_opens_and_can_be_attested(
    sealed: Package, renames: int
) -> None:
    assert killed(sealed.path, renames, 0, 0) == 9
    assert len(package.open(sealed.path).attestations()) == 1
    assert killed(sealed.path, 0, 0, 0) == 0
    assert len(package.open(sealed.path).attestations()) == 2


@pytest.mark.parametrize("unlinks", range(4))
def test_taking_blobs_away_that_is_killed_leaves_a_package_that_opens(
    sealed: Package, unlinks: int
) -> None:
    """The disk is full at the index, and whoever takes the blobs away again is killed."""
    assert killed(sealed.path, 0, RENAMES, unlinks) == 9
    assert len(package.open(sealed.path).attestations()) == 1
    assert killed(sealed.path, 0, 0, 0) == 0
    assert len(package.open(sealed.path).attestations()) == 2


def killed(place: Path, *moments: int) -> int:
    command = [sys.executable, "-c", KILLED_WHILE_ATTESTING, str(place), *map(str, moments)]
    return subprocess.run(command, capture_output=True, check=False).returncode


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
