"""An image: what is in it, the same digest every time, all of it or nothing."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from shoal import deploy, package
from shoal.deploy._image._contents import add_package
from shoal.deploy._image._layout import Writer
from shoal.errors import (
    ConfigurationError,
    CorruptPackageError,
    PathError,
    RequirementError,
    StorageError,
    UntrustedPackageError,
)
from tests.deploy.image.making import (
    Layout,
    blob,
    blob_bytes,
    documents,
    file_system,
    tar_of,
    twice,
    wheel_files,
    write_wheel,
)
from tests.end_to_end.models import STORIES

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shoal.deploy import Image
    from shoal.package import Package

GOAL_BYTES = 150_000_000
BUILD_LIMIT_S = 10.0
AMD64 = deploy.ImageSettings(platforms=("linux/amd64",))


def names_in(root: Path, layer: dict[str, Any]) -> set[str]:
    with tarfile.open(root / "blobs" / "sha256" / layer["digest"].removeprefix("sha256:")) as tar:
        return {each.name for each in tar if not each.isdir()}


def test_an_image_on_debian_is_small(image: tuple[Path, Image], debian: Path) -> None:
    _, made = image
    (found,) = made.platforms
    assert (found.platform, found.python) == ("linux/amd64", "3.11")
    assert found.unpacked_bytes < GOAL_BYTES


def test_layers_are_base_libraries_shoal_and_package(
    image: tuple[Path, Image], double: Package
) -> None:
    root, _ = image
    _, manifests = documents(root)
    manifest = manifests["linux/amd64"]
    _, libraries, shoal, *files = manifest["layers"]
    assert {path for path in names_in(root, libraries) if "onnxruntime/" in path} == {
        "opt/shoal/lib/onnxruntime/LICENSE",
        "opt/shoal/lib/onnxruntime/ThirdPartyNotices.txt",
        "opt/shoal/lib/onnxruntime/capi/libonnxruntime.so.1.31.1",
    }
    assert "opt/shoal/bin/shoal" in names_in(root, shoal)
    assert "opt/shoal/lib/shoal/_native.abi3.so" in names_in(root, shoal)
    package_manifest = blob(double.path, double.digest)
    assert [each["digest"] for each in files] == [
        each["digest"] for each in package_manifest["layers"]
    ]
    everything = {path for layer in manifest["layers"] for path in names_in(root, layer)}
    assert not [path for path in everything if path.endswith((".pyc", "/RECORD", "/INSTALLER"))]


def test_no_layer_knows_where_it_was_made(image: tuple[Path, Image]) -> None:
    root, _ = image
    _, manifests = documents(root)
    for layer in manifests["linux/amd64"]["layers"][1:]:
        data = blob_bytes(root, layer["digest"])
        assert str(root.parent).encode() not in data
        assert sys.prefix.encode() not in data


def test_the_configuration_is_that_of_a_server(image: tuple[Path, Image], double: Package) -> None:
    root, _ = image
    _, manifests = documents(root)
    document = blob(root, manifests["linux/amd64"]["config"]["digest"])
    configuration = document["config"]
    assert configuration["User"] == "65532:65532"
    assert configuration["Entrypoint"][:2] == ["/opt/shoal/bin/shoal", "serve"]
    assert configuration["Cmd"] == ["/models/double/2"]
    assert configuration["StopSignal"] == "SIGTERM"
    assert set(configuration["ExposedPorts"]) == {"8000/tcp", "8001/tcp"}
    assert "XDG_CACHE_HOME=/tmp" in configuration["Env"]
    assert configuration["Labels"]["io.shoal.package"] == double.digest
    assert len(document["rootfs"]["diff_ids"]) == len(manifests["linux/amd64"]["layers"])
    assert "created" not in document


def test_what_the_base_configures_is_kept_and_what_it_runs_is_not(tmp_path: Path) -> None:
    Layout(tmp_path / "base").image(
        [tar_of(file_system())],
        config={
            "Env": ["LANG=C.UTF-8", "PATH=/usr/bin"],
            "Cmd": ["python3"],
            "Entrypoint": ["sh"],
            "User": "root",
            "Labels": {"maker": "someone"},
        },
        history=[{"created_by": "debian"}],
    )
    deploy.build_image(base=tmp_path / "base", output=tmp_path / "image", settings=AMD64)
    _, manifests = documents(tmp_path / "image")
    document = blob(tmp_path / "image", manifests["linux/amd64"]["config"]["digest"])
    assert document["config"]["Env"] == [
        "HOME=/tmp",
        "LANG=C.UTF-8",
        "PATH=/opt/shoal/bin:/usr/bin",
        "XDG_CACHE_HOME=/tmp",
    ]
    assert document["config"]["User"] == "65532:65532"
    assert document["config"]["Cmd"] == []
    assert document["config"]["Labels"]["maker"] == "someone"
    assert [each["created_by"].split()[0] for each in document["history"]] == [
        "debian",
        "the",
        "shoal",
    ]


ELSEWHERE = """
import json, os, sys
from pathlib import Path
from shoal import deploy
os.umask(0o077)
os.chdir("/")
made = deploy.build_image(
    Path(sys.argv[1]), base=sys.argv[2], output=sys.argv[3],
    settings=deploy.ImageSettings(platforms=("linux/amd64",)))
print(made.digest)
"""


def test_another_process_elsewhere_makes_the_same_image(
    image: tuple[Path, Image], double: Package, debian: Path, tmp_path: Path
) -> None:
    _, made = image
    copies = [tmp_path / "a package", tmp_path / "a base"]
    for source, target in zip([double.path, debian], copies, strict=True):
        shutil.copytree(source, target)
    command = [sys.executable, "-c", ELSEWHERE, *map(str, copies), str(tmp_path / "made")]
    # An empty cache of layers, other times of files, another order in which hashes fall.
    environment = {
        **os.environ,
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "PYTHONHASHSEED": "7",
        "TZ": "Asia/Tokyo",
    }
    answer = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == made.digest


def test_the_stated_moment_changes_no_layer(
    base: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy.build_image(base=base, output=tmp_path / "without", settings=AMD64)
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    deploy.build_image(base=base, output=tmp_path / "with", settings=AMD64)
    before, after = (documents(tmp_path / name)[1]["linux/amd64"] for name in ("without", "with"))
    assert after["layers"] == before["layers"]
    assert blob(tmp_path / "with", after["config"]["digest"])["created"] == "2023-11-14T22:13:20Z"
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "yesterday")
    with pytest.raises(ConfigurationError, match="SOURCE_DATE_EPOCH is 'yesterday'"):
        deploy.build_image(base=base, output=tmp_path / "other")


def test_from_cached_layers_it_takes_seconds(
    image: tuple[Path, Image], double: Package, debian: Path, tmp_path: Path
) -> None:
    (first,) = image[1].platforms
    told: list[str] = []
    seconds = seconds_of(
        lambda: deploy.build_image(
            double.path, base=debian, output=tmp_path / "image", progress=told.append
        )
    )
    assert seconds < BUILD_LIMIT_S
    assert told[:2] == ["opening the package", f"{first.platform}: reading the base"]


def seconds_of(call: Callable[[], object]) -> float:
    before = os.times()
    call()
    return os.times().elapsed - before.elapsed


def test_two_platforms_are_one_index(program: Callable[[str], str], tmp_path: Path) -> None:
    layout = Layout(tmp_path / "base")
    for architecture in ("amd64", "arm64"):
        layout.image([tar_of(file_system())], architecture=architecture)
    wheels = [
        write_wheel(tmp_path / f"{each}.whl", wheel_files(each)) for each in ("amd64", "arm64")
    ]
    settings = deploy.ImageSettings(platforms=("linux/arm64", "linux/amd64"), wheels=tuple(wheels))
    made = deploy.build_image(base=layout.root, output=tmp_path / "image", settings=settings)
    assert [each.platform for each in made.platforms] == ["linux/amd64", "linux/arm64"]
    for architecture, library in (("amd64", "x86_64"), ("arm64", "aarch64")):
        override = ["--override-arch", architecture, "--override-os", "linux"]
        answer = subprocess.run(
            [program("skopeo"), "inspect", *override, f"oci:{tmp_path / 'image'}"],
            capture_output=True,
            check=True,
        )
        assert json.loads(answer.stdout)["Architecture"] == architecture
        _, manifests = documents(tmp_path / "image")
        names = names_in(tmp_path / "image", manifests[f"linux/{architecture}"]["layers"][1])
        assert [path for path in names if library in path]


def test_another_program_copies_it_to_the_last_bit(
    image: tuple[Path, Image], program: Callable[[str], str], tmp_path: Path
) -> None:
    root, made = image
    command = [program("skopeo"), "copy", "--quiet", "--preserve-digests"]
    subprocess.run([*command, f"oci:{root}", f"oci:{tmp_path / 'copy'}:1"], check=True)
    index = json.loads((tmp_path / "copy" / "index.json").read_bytes())
    assert [each["digest"] for each in index["manifests"]] == [made.platforms[0].digest]


def test_the_bill_of_materials_is_whole(
    image: tuple[Path, Image], double: Package, debian: Path
) -> None:
    root, made = image
    _, manifests = documents(root)
    sbom = manifests["unknown/unknown"]
    assert sbom["subject"]["digest"] == made.platforms[0].digest
    assert sbom["artifactType"] == "application/vnd.cyclonedx+json"
    text = blob_bytes(root, sbom["layers"][0]["digest"]).decode()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    bill = json.loads(text)
    assert bill["specVersion"] == "1.6"
    assert "timestamp" not in bill["metadata"]
    hashes = {each["name"]: each["hashes"][0]["content"] for each in bill["components"]}
    assert f"sha256:{hashes['double']}" == double.digest
    assert hashes["base"] == json.loads((debian / "index.json").read_bytes())["manifests"][0][
        "digest"
    ].removeprefix("sha256:")
    urls = {each["purl"] for each in bill["components"] if "purl" in each}
    assert {"pkg:pypi/onnxruntime@1.31.1"} <= urls
    _, libraries, *_ = manifests["linux/amd64"]["layers"]
    installed = {
        path.split("/")[3].removesuffix(".dist-info")
        for path in names_in(root, libraries)
        if path.endswith(".dist-info/METADATA")
    }
    listed = {
        f"{each['name'].replace('-', '_')}-{each['version']}"
        for each in bill["components"]
        if "purl" in each and each["name"] != "shoal"
    }
    assert listed == installed


def test_a_mounted_package_is_left_out_and_named(
    base: Path, double: Package, tmp_path: Path
) -> None:
    settings = deploy.ImageSettings(platforms=("linux/amd64",), mounted=True)
    deploy.build_image(double.path, base=base, output=tmp_path / "image", settings=settings)
    _, manifests = documents(tmp_path / "image")
    manifest = manifests["linux/amd64"]
    assert len(manifest["layers"]) == 3
    assert blob(tmp_path / "image", manifest["config"]["digest"])["config"]["Cmd"] == [
        "/models/double/2"
    ]
    sbom = manifests["unknown/unknown"]
    bill = blob(tmp_path / "image", sbom["layers"][0]["digest"])
    assert "machine-learning-model" not in {each["type"] for each in bill["components"]}


def test_open_files_of_a_package_become_one_layer(
    base: Path, double: Package, tmp_path: Path
) -> None:
    double.unpack(tmp_path / "open")
    deploy.build_image(tmp_path / "open", base=base, output=tmp_path / "image", settings=AMD64)
    _, manifests = documents(tmp_path / "image")
    *_, last = manifests["linux/amd64"]["layers"]
    assert names_in(tmp_path / "image", last) == {
        "models/double/2/model.onnx",
        "models/double/2/shoal.json",
    }


def python_package(tmp_path: Path, **given: Any) -> Package:
    settings = package.Settings(source=STORIES, **given)
    example = {"value": np.array([0.0, 1.0, 2.0])}
    return package.build(
        "steady:answer",
        name="steady",
        version="1",
        output=tmp_path / "steady",
        example=example,
        settings=settings,
    )


def test_a_package_of_code_is_allowed_and_locked_or_refused(base: Path, tmp_path: Path) -> None:
    place = python_package(tmp_path).path
    with pytest.raises(UntrustedPackageError, match="steady 1 runs Python code"):
        deploy.build_image(place, base=base, output=tmp_path / "image")
    settings = deploy.ImageSettings(allow_code=True)
    with pytest.raises(RequirementError, match="steady 1 has no lock with hashes") as caught:
        deploy.build_image(place, base=base, output=tmp_path / "image", settings=settings)
    assert caught.value.hint is not None
    assert "--lock" in caught.value.hint


def test_a_package_of_another_format_is_refused(
    base: Path, double: Package, tmp_path: Path
) -> None:
    double.unpack(tmp_path / "open")
    text = (tmp_path / "open" / "shoal.json").read_bytes()
    (tmp_path / "open" / "shoal.json").write_bytes(text.replace(b'"format":1', b'"format":0'))
    with pytest.raises(CorruptPackageError, match="format 0"):
        deploy.build_image(tmp_path / "open", base=base, output=tmp_path / "image")


def test_what_is_no_package_is_refused(base: Path, tmp_path: Path) -> None:
    with pytest.raises(PathError, match="there is nothing at"):
        deploy.build_image(tmp_path / "none", base=base, output=tmp_path / "image")


def test_a_place_that_holds_something_is_refused_before_anything_is_made(
    base: Path, tmp_path: Path
) -> None:
    (tmp_path / "image").mkdir()
    (tmp_path / "image" / "mine").touch()
    told: list[str] = []
    with pytest.raises(StorageError, match="holds something already"):
        deploy.build_image(base=base, output=tmp_path / "image", progress=told.append)
    assert [each.name for each in (tmp_path / "image").iterdir()] == ["mine"]
    assert not [each for each in told if "reading the base" in each]


def test_a_full_disk_leaves_nothing(base: Path, tmp_path: Path) -> None:
    deploy.build_image(base=base, output=tmp_path / "first", settings=AMD64)  # fills the cache
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    (tmp_path / "out").mkdir()
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, hard))
    try:
        with pytest.raises(StorageError, match=os.strerror(errno.EFBIG)):
            deploy.build_image(base=base, output=tmp_path / "out" / "image", settings=AMD64)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list((tmp_path / "out").iterdir()) == []


def test_a_package_of_many_files_is_one_layer(tmp_path: Path) -> None:
    built = twice(tmp_path, more_files=30)
    added = add_package(built, Writer(tmp_path / "layout"))
    assert len(added.layers) == 1
    assert added.unpacked_bytes == sum(built.sizes_bytes().values())
