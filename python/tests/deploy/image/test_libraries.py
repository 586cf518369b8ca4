"""What an image holds of libraries: what serving imports, from wheels that a lock names."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from typing import TYPE_CHECKING

import pytest

from shoal.deploy._image._interpreter import Interpreter
from shoal.deploy._image._platforms import read_platforms
from shoal.deploy._image._requirements import (
    FOR_WORKERS,
    Locked,
    meets,
    normal_name,
    read_lock,
    serving,
    together,
)
from shoal.deploy._image._wheels import (
    choose_wheels,
    install_wheels,
    installed_files,
)
from shoal.errors import CorruptPackageError, RequirementError
from tools import serving_lock

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package

SMALL = "typing-extensions"
AMD64, ARM64 = read_platforms(["linux/amd64", "linux/arm64"])
PYTHON = Interpreter("/usr/bin/python3", (3, 11), (2, 36))
LISTED = "a==1 --hash=sha256:" + "0" * 64


def test_the_lock_is_the_one_of_the_project() -> None:
    lock = serving_lock.PLACE.read_text("utf-8")
    assert lock == serving_lock.exported(), "python -m tools.serving_lock"


SERVES = """
import json, sys, threading
from shoal import serve
import shoal.cli._main
with serve.start(sys.argv[1]):
    print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""


def test_the_lock_has_all_that_a_server_imports_and_nothing_heavy(double: Package) -> None:
    command = [sys.executable, "-c", SERVES, str(double.path)]
    answer = subprocess.run(command, capture_output=True, check=True)
    imported = set(json.loads(answer.stdout))
    names = {
        normal_name(name)
        for module, found in metadata.packages_distributions().items()
        for name in found
        if module in imported and not module.startswith("__editable__")
    }
    locked = {each.name for each in serving("onnx")}
    assert names - {"shoal"} <= locked
    assert not FOR_WORKERS & locked
    assert {each.name for each in serving("python")} == locked | FOR_WORKERS


@pytest.mark.parametrize(
    "line", ["a==1", "a>=1 --hash=sha256:" + "0" * 64, "./a.whl", "-r other", "a==1 --hash=md5:0"]
)
def test_a_line_without_a_hash_is_refused(line: str) -> None:
    with pytest.raises(RequirementError, match=r"expected NAME==VERSION with sha256 hashes"):
        read_lock(f"# a lock\n{LISTED}\n{line}\n", "the lock")


def test_a_lock_is_read_as_uv_writes_it() -> None:
    text = f"Some_Name.x==1.0+cpu ; python_version < '4' \\\n    --hash=sha256:{'0' * 64}\n"
    assert read_lock(text, "the lock") == (
        Locked("some-name-x", "1.0+cpu", "python_version < '4'", frozenset({"0" * 64})),
    )


def test_a_library_comes_in_the_version_of_the_package() -> None:
    (theirs,) = read_lock(LISTED.replace("a==1", "numpy==2.3.0"), "the lock")
    own = together(serving("python"), (theirs,))
    assert "numpy" not in {each.name for each in own}
    assert "pyarrow" in {each.name for each in own}


def test_a_version_that_shoal_does_not_run_with_is_refused() -> None:
    lock = read_lock(LISTED.replace("a==1", "onnxruntime==1.20.1"), "the lock")
    with pytest.raises(RequirementError, match=r"has onnxruntime 1\.20\.1, Shoal needs .*>=1\.31"):
        together(serving("python"), lock)


@pytest.mark.parametrize(
    ("version", "bounds", "is_met"),
    [
        ("1.31.1", ">=1.31,<1.32", True),
        ("1.32", ">=1.31,<1.32", False),
        ("1.4", ">=1.31", False),
        ("2.0.0", "==2", True),
        ("2.0.1", "!=2.0.1", False),
        ("3.0rc1", ">=3", True),
        ("7", "", True),
    ],
)
def test_versions_are_compared_as_numbers(version: str, bounds: str, *, is_met: bool) -> None:
    assert meets(version, bounds) == is_met


def test_wheels_are_chosen_for_the_platform_and_its_python(tmp_path: Path) -> None:
    lock = tuple(each for each in serving("onnx") if each.name in {SMALL, "msgspec"})
    chosen = {
        (platform.name, python.name): choose_wheels(lock, platform, python)
        for platform in (AMD64, ARM64)
        for python in (PYTHON, Interpreter("/usr/bin/python3", (3, 13), (2, 36)))
    }
    hashes = {found: {each.name: each.sha256 for each in chosen[found]} for found in chosen}
    assert len({each[SMALL] for each in hashes.values()}) == 1
    assert len({each["msgspec"] for each in hashes.values()}) == 4
    install_wheels(chosen["linux/arm64", "3.11"], ARM64, PYTHON, tmp_path / "libraries")
    files = installed_files(tmp_path / "libraries", is_own=True)
    assert any("aarch64" in path for path in files)
    assert not [each for each in files if each.endswith(("RECORD", "INSTALLER", ".pyc"))]


def test_a_wheel_that_the_lock_does_not_name_is_refused() -> None:
    (small,) = (each for each in serving("onnx") if each.name == SMALL)
    other = Locked(small.name, small.version, "", frozenset({"0" * 64}))
    with pytest.raises(RequirementError, match=f"the wheel of {SMALL} .* has not a hash"):
        choose_wheels((other,), AMD64, PYTHON)


def test_a_library_without_a_wheel_is_refused() -> None:
    missing = Locked(SMALL, "0.0.1", "", frozenset({"0" * 64}))
    with pytest.raises(RequirementError, match=r"no wheels for linux/arm64 and Python 3\.11"):
        choose_wheels((missing,), ARM64, PYTHON)


def test_without_uv_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(RequirementError, match="uv is not installed") as caught:
        choose_wheels(serving("onnx"), AMD64, PYTHON)
    assert caught.value.hint == "pip install uv"


def bring(folder: Path, name: str, files: dict[str, str]) -> None:
    """As if a wheel had been installed; its list says of each file which hash it has."""
    for path in files:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)
    record = folder / f"{name}-1.dist-info" / "RECORD"
    record.parent.mkdir(parents=True)
    record.write_text("".join(f"{path},{hashed},1\n" for path, hashed in files.items()))


def test_two_wheels_bring_one_path_only_with_the_same_bytes(tmp_path: Path) -> None:
    bring(tmp_path, "one", {"shared/__init__.py": "sha256=a", "shared/one.py": "sha256=b"})
    bring(tmp_path, "two", {"shared/__init__.py": "sha256=a"})
    assert list(installed_files(tmp_path, is_own=False)) == ["shared/__init__.py", "shared/one.py"]
    bring(tmp_path, "zed", {"shared/one.py": "sha256=c"})
    words = r"one and zed both bring the file shared/one\.py, with other bytes"
    with pytest.raises(CorruptPackageError, match=words):
        installed_files(tmp_path, is_own=False)


def test_a_file_that_a_wheel_lists_and_does_not_bring_is_refused(tmp_path: Path) -> None:
    bring(tmp_path, "one", {"one.py": "sha256=a"})
    (tmp_path / "one.py").unlink()
    (tmp_path / "one.py").symlink_to("/etc/passwd")
    with pytest.raises(CorruptPackageError, match=r"lists one\.py, which it did not bring"):
        installed_files(tmp_path, is_own=False)


@pytest.mark.parametrize("path", ["one/../../secret", "one/linked/secret"], ids=["up", "link"])
def test_a_wheel_brings_nothing_of_this_machine_into_an_image(path: str, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("of this machine")
    folder = tmp_path / "libraries"
    bring(folder, "one", {"one/one.py": "sha256=a"})
    (folder / "one" / "linked").symlink_to(tmp_path)
    with (folder / "one-1.dist-info" / "RECORD").open("a") as record:
        record.write(f"{path},sha256=b,1\n")
    with pytest.raises(CorruptPackageError, match="which it did not bring as a plain file"):
        installed_files(folder, is_own=False)
