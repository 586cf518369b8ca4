"""Shoal for an image: from the installation or a wheel, and only a whole one."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import pytest

from shoal import deploy
from shoal.deploy._image import _own
from shoal.deploy._image._platforms import this_platform
from shoal.errors import (
    ConfigurationError,
    CorruptPackageError,
    PathError,
    RequirementError,
    ShoalError,
)
from tests.deploy.image.making import made_up_base, wheel_files, write_wheel

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Change = Callable[[dict[str, bytes]], object]


def test_a_wheel_gives_what_the_installation_gives(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "shoal.whl", wheel_files())
    assert _own.from_wheel(wheel) == _own.from_installation()


def test_what_no_server_reads_is_left_out(tmp_path: Path) -> None:
    files = wheel_files()
    for path in ("shoal/__pycache__/a.pyc", "shoal/.hidden", "shoal/_native.cpython-311.so"):
        files[path] = b"left out"
    wheel = write_wheel(tmp_path / "shoal.whl", files)
    assert _own.from_wheel(wheel).files == wheel_files()


def test_the_core_says_what_a_wheel_is_for(tmp_path: Path) -> None:
    shoal = _own.from_wheel(write_wheel(tmp_path / "shoal.whl", wheel_files("arm64")))
    assert shoal.platform.name == "linux/arm64"
    assert shoal.glibc == (2, 34)


BROKEN: dict[str, tuple[Change, str]] = {
    "leads out": (lambda files: files.update({"../evil": b""}), "leads out of it: '../evil'"),
    "absolute": (lambda files: files.update({"/etc/x": b""}), "leads out of it: '/etc/x'"),
    "of Windows": (lambda files: files.update({"a\\..\\x": b""}), "leads out of it"),
    "no core": (lambda files: files.pop(_own.NATIVE), "is no wheel of Shoal"),
    "no library": (lambda files: files.update({_own.NATIVE: b"MZ"}), "no shared library of Linux"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_wheel_is_refused(case: str, tmp_path: Path) -> None:
    change, words = BROKEN[case]
    files = wheel_files()
    change(files)
    write_wheel(tmp_path / "shoal.whl", files)
    with pytest.raises(CorruptPackageError, match=words):
        _own.from_wheel(tmp_path / "shoal.whl")


def test_a_path_twice_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "shoal.whl", wheel_files())
    with (
        zipfile.ZipFile(wheel, "a") as archive,
        pytest.warns(UserWarning, match="Duplicate name"),
    ):
        archive.writestr("shoal/__init__.py", b"evil")
    with pytest.raises(CorruptPackageError, match=r"holds shoal/__init__\.py twice"):
        _own.from_wheel(wheel)


def test_a_link_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "shoal.whl", wheel_files())
    link = zipfile.ZipInfo("shoal/linked")
    link.external_attr = 0o120777 << 16
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr(link, b"/etc/passwd")
    with pytest.raises(CorruptPackageError, match="holds the link shoal/linked"):
        _own.from_wheel(wheel)


def test_a_file_that_the_wheel_does_not_list_is_refused(tmp_path: Path) -> None:
    wheel = write_wheel(tmp_path / "shoal.whl", wheel_files())
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("shoal/more.py", b"evil")
    with pytest.raises(CorruptPackageError, match=r"holds shoal/more\.py, which its RECORD"):
        _own.from_wheel(wheel)
    write_wheel(wheel, wheel_files(), record=False)
    with pytest.raises(CorruptPackageError, match="has no RECORD"):
        _own.from_wheel(wheel)


def test_a_wheel_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wheel = write_wheel(tmp_path / "shoal.whl", {**wheel_files(), "shoal/zeros": bytes(2**25)})
    monkeypatch.setattr(_own, "_LIMIT_BYTES", 2**24)
    with pytest.raises(CorruptPackageError, match="unpacks to more than 16777216 bytes"):
        _own.from_wheel(wheel)


def test_no_wheel_and_no_zip_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="no wheel at"):
        _own.from_wheel(tmp_path / "shoal.whl")
    (tmp_path / "shoal.whl").write_bytes(b"PK\x03\x04")
    with pytest.raises(CorruptPackageError, match="cannot be read as a wheel"):
        _own.from_wheel(tmp_path / "shoal.whl")


def building(tmp_path: Path, error: type[ShoalError], words: str, *wheels: Path) -> ShoalError:
    settings = deploy.ImageSettings(platforms=("linux/amd64", "linux/arm64"), wheels=wheels)
    with pytest.raises(error, match=words) as caught:
        deploy.build_image(base=tmp_path, output=tmp_path / "image", settings=settings)
    return caught.value


def test_without_a_wheel_for_the_other_platform_the_remedy_is_named(tmp_path: Path) -> None:
    other = "amd64" if this_platform().architecture == "arm64" else "arm64"
    error = building(tmp_path, RequirementError, f"no Shoal for linux/{other} here")
    assert error.hint is not None
    assert "--wheel shoal-" in error.hint


def test_wheels_that_do_not_go_together_are_refused(tmp_path: Path) -> None:
    one = write_wheel(tmp_path / "one.whl", wheel_files("arm64"))
    building(tmp_path, ConfigurationError, "two wheels of Shoal for linux/arm64", one, one)
    files = wheel_files("arm64")
    name = next(name for name in files if name.endswith("/METADATA"))
    files[name] = files[name].replace(b"\nVersion: ", b"\nVersion: 9.", 1)
    later = write_wheel(tmp_path / "later.whl", files)
    amd64 = write_wheel(tmp_path / "amd64.whl", wheel_files("amd64"))
    building(tmp_path, ConfigurationError, r"would have Shoal .* and 9\.", later, amd64)


def test_a_platform_that_is_none_is_refused(tmp_path: Path) -> None:
    settings = deploy.ImageSettings(platforms=("windows/amd64",))
    base = made_up_base(tmp_path / "base")
    with pytest.raises(ConfigurationError, match="no image can be made for 'windows/amd64'"):
        deploy.build_image(base=base, output=tmp_path / "image", settings=settings)
