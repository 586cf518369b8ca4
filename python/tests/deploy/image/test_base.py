"""A base that Shoal cannot stand on is refused, and the refusal says why."""

from __future__ import annotations

import gzip
import hashlib
import re
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from shoal import deploy
from shoal.deploy._image import _base
from shoal.deploy._image._base import take_base
from shoal.deploy._image._layout import Writer, find_image
from shoal.deploy._image._platforms import read_platforms
from shoal.errors import ConfigurationError, CorruptPackageError, PathError
from tests.deploy.image.making import OCI, Layout, blob, file_system, made_up_base, tar_of

if TYPE_CHECKING:
    from pathlib import Path

    from tests.deploy.image.making import Members

GZIP = b"\x1f\x8b"


def refused(base: object, tmp_path: Path, error: type[Exception], words: str) -> None:
    """Building is refused so, and leaves nothing."""
    with pytest.raises(error, match=words):
        deploy.build_image(
            base=str(base),
            output=tmp_path / "out" / "image",
            settings=deploy.ImageSettings(platforms=("linux/amd64",)),
        )
    assert not (tmp_path / "out").exists() or list((tmp_path / "out").iterdir()) == []


def python_of(base: Path, digest: str | None, tmp_path: Path) -> tuple[str, tuple[int, int]]:
    (amd64,) = read_platforms(["linux/amd64"])
    taken = take_base(find_image(base, amd64, digest), "", Writer(tmp_path / "taken"))
    return taken.interpreter.path, taken.interpreter.version


def lacking(*names: str) -> Members:
    return {
        path: content
        for path, content in file_system().items()
        if not any(name in path for name in names)
    }


UNFIT: dict[str, tuple[Members, str]] = {
    "no Python": (lacking("bin/python3"), "has no python3 on its PATH"),
    "Python too old": (file_system("3.10"), r"has Python 3\.10 at .*, expected 3\.11 or later"),
    "Python of no version": (
        {**lacking("bin/python3"), "usr/bin/python3": b"\x7fELF"},
        "whose version its name does not say",
    ),
    "Debian's python3-minimal": (lacking("/json/"), "lacks json of the standard library"),
    "musl": (lacking("libc.so.6"), "has no glibc"),
    "glibc too old": (
        file_system(glibc="2.17"),
        r"has glibc 2\.17, expected 2\.28 or later for wheels",
    ),
    "glibc older than Shoal's": (
        file_system(glibc="2.28"),
        r"has glibc 2\.28, expected .* or later for this Shoal",
    ),
    "no C++": (lacking("libstdc++"), r"lacks the library libstdc\+\+\.so\.6"),
    "an image of Shoal": (
        {**file_system(), "opt/shoal/lib/old.py": b""},
        "has a folder /opt/shoal, where an image of Shoal has its own",
    ),
    "a link at /opt": ({**file_system(), "opt": "usr"}, "has a link at /opt"),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_base_that_lacks_something_is_refused(case: str, tmp_path: Path) -> None:
    members, words = UNFIT[case]
    Layout(tmp_path / "base").image([tar_of(members)])
    refused(tmp_path / "base", tmp_path, ConfigurationError, words)


def test_a_later_layer_takes_python_away(tmp_path: Path) -> None:
    layers = [tar_of(file_system()), tar_of({"usr/bin/.wh.python3": b""})]
    Layout(tmp_path / "base").image(layers)
    refused(tmp_path / "base", tmp_path, ConfigurationError, "has no python3")


def test_the_python_on_the_path_of_the_base_is_taken(tmp_path: Path) -> None:
    both = {**file_system("3.11"), **file_system("3.13", top="usr/local")}
    Layout(tmp_path / "base").image(
        [tar_of(both)], config={"Env": ["PATH=/opt/none:/usr/local/bin:/usr/bin"]}
    )
    assert python_of(tmp_path / "base", None, tmp_path) == ("/usr/local/bin/python3", (3, 13))


def test_a_base_for_another_processor_is_refused(tmp_path: Path) -> None:
    base = made_up_base(tmp_path / "base", architecture="arm64")
    refused(base, tmp_path, ConfigurationError, "holds linux/arm64, expected .* linux/amd64")


def test_of_several_images_one_is_named_by_its_digest(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "base")
    entries = [layout.image([tar_of(file_system(each))]) for each in ("3.11", "3.12")]
    refused(tmp_path / "base", tmp_path, ConfigurationError, "2 images for linux/amd64")
    found = python_of(tmp_path / "base", entries[1]["digest"], tmp_path)
    assert found == ("/usr/bin/python3", (3, 12))
    missing = f"{tmp_path / 'base'}@sha256:{'0' * 64}"
    refused(missing, tmp_path, ConfigurationError, f"holds no sha256:{'0' * 64}")


def test_an_image_of_docker_is_a_base_as_well(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "base")
    tar = tar_of(file_system())
    docker = "application/vnd.docker"
    layer = layout.add(gzip.compress(tar), f"{docker}.image.rootfs.diff.tar.gzip")
    diff_id = f"sha256:{hashlib.sha256(tar).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [diff_id]}}
    manifest = {
        "config": layout.add_json(config, f"{docker}.container.image.v1+json"),
        "layers": [layer],
    }
    layout.entries.append(layout.add_json(manifest, f"{docker}.distribution.manifest.v2+json"))
    layout._save()
    settings = deploy.ImageSettings(platforms=("linux/amd64",))
    made = deploy.build_image(base=layout.root, output=tmp_path / "image", settings=settings)
    built = blob(tmp_path / "image", made.platforms[0].digest)
    assert built["layers"][0] == {**layer, "mediaType": f"{OCI}.layer.v1.tar+gzip"}


def test_a_base_in_a_registry_is_named_by_its_digest(tmp_path: Path) -> None:
    words = "not named by its digest: a tag is another base tomorrow"
    refused("oci://localhost:1/debian:12", tmp_path, ConfigurationError, words)


def test_what_is_no_layout_is_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nothing", tmp_path, PathError, "no OCI image layout")
    (tmp_path / "index.json").write_text("{")
    refused(tmp_path, tmp_path, CorruptPackageError, "index.json of the image cannot be read")


def layer_of(base: Path) -> Path:
    return next(
        each for each in (base / "blobs" / "sha256").iterdir() if each.read_bytes()[:2] == GZIP
    )


def test_a_damaged_layer_is_refused(base: Path, tmp_path: Path) -> None:
    layer = layer_of(base)
    data = bytearray(layer.read_bytes())
    data[len(data) // 2] ^= 1
    layer.write_bytes(data)
    refused(base, tmp_path, CorruptPackageError, f"the blob sha256:{layer.name} of .* is sha256:")


def test_a_missing_layer_is_refused(base: Path, tmp_path: Path) -> None:
    layer = layer_of(base)
    layer.unlink()
    refused(base, tmp_path, CorruptPackageError, f"lacks the blob sha256:{layer.name}")


def test_a_layer_that_unpacks_to_something_else_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "base")
    layer = layout.add(tar_of(file_system()), f"{OCI}.layer.v1.tar")
    diff_ids = [f"sha256:{'1' * 64}"]
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": diff_ids}}
    layout.manifest(config, [layer])
    refused(tmp_path / "base", tmp_path, CorruptPackageError, f"holds sha256:.*, not {diff_ids[0]}")


def test_a_layer_that_is_no_tar_is_refused(tmp_path: Path) -> None:
    Layout(tmp_path / "base").image([b"no tar at all" * 100])
    refused(tmp_path / "base", tmp_path, CorruptPackageError, "the layer sha256:.* cannot be read")


def test_a_layer_that_leads_out_of_the_image_is_refused(tmp_path: Path) -> None:
    Layout(tmp_path / "base").image([tar_of({**file_system(), "../../etc/cron.d/x": b"evil"})])
    words = re.escape("leads out of the image: '../../etc/cron.d/x'")
    refused(tmp_path / "base", tmp_path, CorruptPackageError, words)


def with_zstd(layout: Layout, data: bytes) -> None:
    diff_id = f"sha256:{hashlib.sha256(tar_of(file_system())).hexdigest()}"
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [diff_id]}}
    layout.manifest(config, [layout.add(data, f"{OCI}.layer.v1.tar+zstd")])


def test_a_layer_of_zstd_is_read(tmp_path: Path) -> None:
    tar, codec = tar_of(file_system()), pa.Codec("zstd")
    skipped = b"\x50\x2a\x4d\x18\x04\x00\x00\x00skip"  # as containers' zstd:chunked has it
    frames = [codec.compress(part, asbytes=True) for part in (tar[:999], tar[999:])]
    layout = Layout(tmp_path / "base")
    with_zstd(layout, skipped.join(frames))
    assert python_of(layout.root, None, tmp_path) == ("/usr/bin/python3", (3, 11))


def test_a_damaged_layer_of_zstd_is_refused(tmp_path: Path) -> None:
    data = pa.Codec("zstd").compress(tar_of(file_system()), asbytes=True)
    for name, damaged in (("cut", data[:-20]), ("none", b"no zstd at all")):
        with_zstd(Layout(tmp_path / name), damaged)
        refused(tmp_path / name, tmp_path, CorruptPackageError, "cannot be read|holds sha256")


def test_a_kind_of_layer_that_cannot_be_read_is_refused(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "base")
    layer = layout.add(b"", f"{OCI}.layer.v1.tar+bzip2")
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"diff_ids": [layer["digest"]]}}
    layout.manifest(config, [layer])
    refused(tmp_path / "base", tmp_path, ConfigurationError, r"a layer of .*tar\+bzip2")


def test_a_base_that_unpacks_to_too_much_is_refused(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_base, "UNPACKED_LIMIT_BYTES", 50)
    refused(base, tmp_path, CorruptPackageError, "unpacks to more than 50 bytes")


def test_a_root_file_system_becomes_a_base(tmp_path: Path) -> None:
    tar = tmp_path / "rootfs.tar"
    tar.write_bytes(tar_of(file_system("3.12")))
    (tmp_path / "rootfs.tar.gz").write_bytes(gzip.compress(tar.read_bytes()))
    made = deploy.make_base(tar, tmp_path / "base", platform="linux/arm64")
    assert (made.platform, made.python) == ("linux/arm64", "3.12")
    again = deploy.make_base(tmp_path / "rootfs.tar.gz", tmp_path / "again", platform="linux/arm64")
    assert again.digest == made.digest


@pytest.mark.parametrize(
    ("data", "error", "words"),
    [
        (b"no tar at all" * 100, CorruptPackageError, "cannot be read"),
        (gzip.compress(b"x" * 999)[:-5], CorruptPackageError, "cannot be unpacked"),
        (tar_of(lacking("bin/python3")), ConfigurationError, "no python3"),
    ],
    ids=["no tar", "cut gzip", "no Python"],
)
def test_a_root_file_system_that_is_none_is_refused(
    data: bytes, error: type[Exception], words: str, tmp_path: Path
) -> None:
    (tmp_path / "rootfs.tar").write_bytes(data)
    with pytest.raises(error, match=words):
        deploy.make_base(tmp_path / "rootfs.tar", tmp_path / "base")
    assert [each.name for each in tmp_path.iterdir()] == ["rootfs.tar"]
