"""Any image to a registry and back: one, an index of several, and what refers to them."""

from __future__ import annotations

import json
import subprocess
from typing import TYPE_CHECKING, Any

import pytest

from shoal import package
from shoal.errors import (
    CorruptPackageError,
    InvalidRequestError,
    PathError,
    RegistryNotFoundError,
)
from shoal.package._manifest import digest_of
from shoal.package._registry._layouts import pull_layout_from
from shoal.package._registry._referrers import list_referrers
from tests.services import faulty

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.package.registry.conftest import Caller
    from tests.services.docker_registry import DockerRegistry

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
PLATFORMS = ("linux/amd64", "linux/arm64/v8")


class Layout:
    """An OCI image layout that is written by hand."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.entries: list[dict[str, Any]] = []
        (root / "blobs" / "sha256").mkdir(parents=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}', "utf-8")

    def blob(self, media_type: str, data: bytes) -> dict[str, Any]:
        digest = digest_of(data)
        (self.root / "blobs" / "sha256" / digest.removeprefix("sha256:")).write_bytes(data)
        return {"mediaType": media_type, "digest": digest, "size": len(data)}

    def document(self, **content: Any) -> dict[str, Any]:
        text = json.dumps({"schemaVersion": 2, **content}, indent=1).encode()
        return self.blob(content["mediaType"], text)

    def image(self, platform: str, layers: int = 2) -> dict[str, Any]:
        parts = platform.split("/")
        named = dict(zip(("os", "architecture", "variant"), parts, strict=False))
        config = json.dumps({**named, "rootfs": {"type": "layers", "diff_ids": []}}).encode()
        kind = "application/vnd.oci.image.layer.v1.tar+gzip"
        stated = [self.blob(kind, f"{platform} {each}".encode() * 1000) for each in range(layers)]
        image = self.document(
            mediaType=MANIFEST,
            config=self.blob("application/vnd.oci.image.config.v1+json", config),
            layers=stated,
        )
        return {**image, "platform": named}

    def write(self, *entries: dict[str, Any]) -> None:
        text = {"schemaVersion": 2, "mediaType": INDEX, "manifests": list(entries)}
        (self.root / "index.json").write_text(json.dumps(text, indent=1), "utf-8")


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "layout")


@pytest.fixture
def name(docker_registry: DockerRegistry, tmp_path: Path) -> str:
    """A repository of this test."""
    return f"oci://{docker_registry.host}/images/{tmp_path.name.strip('_').replace('_', '-')}:1"


def named(entry: dict[str, Any], tag: str) -> dict[str, Any]:
    return {**entry, "annotations": {"org.opencontainers.image.ref.name": tag}}


def blobs(root: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (root / "blobs" / "sha256").iterdir()}


def listed(root: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((root / "index.json").read_text("utf-8"))["manifests"]
    return found


def test_an_image_comes_back(layout: Layout, name: str, tmp_path: Path) -> None:
    image = layout.image("linux/amd64")
    layout.write(image)
    pushed = package.push_layout(layout.root, name)
    assert (pushed.digest, pushed.sent_blobs) == (image["digest"], 3)
    assert package.push_layout(layout.root, name).sent_bytes == 0
    resolved = package.pull_layout(name, tmp_path / "pulled")
    assert resolved.digest == image["digest"]
    assert blobs(tmp_path / "pulled") == blobs(layout.root)
    assert (tmp_path / "pulled" / "oci-layout").is_file()
    (entry,) = listed(tmp_path / "pulled")
    assert entry["annotations"] == {"org.opencontainers.image.ref.name": "1"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["layout", "pulled"]


@pytest.mark.parametrize("is_nested", [True, False], ids=["an index", "index.json itself"])
def test_an_index_of_platforms_comes_back(
    layout: Layout, name: str, tmp_path: Path, *, is_nested: bool
) -> None:
    images = [layout.image(platform) for platform in PLATFORMS]
    layout.write(*images)
    if is_nested:
        layout.write(layout.document(mediaType=INDEX, manifests=images))
    package.push_layout(layout.root, name)
    package.pull_layout(name, tmp_path / "pulled")
    found = blobs(tmp_path / "pulled")
    assert found.items() >= blobs(layout.root).items()
    (entry,) = listed(tmp_path / "pulled")
    index = json.loads(found[entry["digest"].removeprefix("sha256:")])
    assert index["manifests"] == images


@pytest.mark.parametrize(
    ("wanted", "place"), [("linux/amd64", 0), ("linux/arm64", 1), ("linux/arm64/v8", 1)]
)
def test_one_platform_is_pulled_alone(
    layout: Layout, name: str, tmp_path: Path, wanted: str, place: int
) -> None:
    images = [layout.image(platform) for platform in PLATFORMS]
    layout.write(layout.document(mediaType=INDEX, manifests=images))
    package.push_layout(layout.root, name)
    resolved = package.pull_layout(name, tmp_path / "pulled", platform=wanted)
    assert resolved.digest == images[place]["digest"]
    assert len(blobs(tmp_path / "pulled")) == 4 + 1  # and the index, from which it is verified


def test_a_platform_that_is_not_there_is_named(layout: Layout, name: str, tmp_path: Path) -> None:
    images = [layout.image(platform) for platform in PLATFORMS]
    layout.write(layout.document(mediaType=INDEX, manifests=images))
    package.push_layout(layout.root, name)
    with pytest.raises(RegistryNotFoundError, match="linux/s390x") as failure:
        package.pull_layout(name, tmp_path / "pulled", platform="linux/s390x")
    assert "linux/amd64, linux/arm64/v8" in failure.value.render()
    with pytest.raises(InvalidRequestError, match="no platform"):
        package.pull_layout(name, tmp_path / "pulled", platform="amd64")
    assert not (tmp_path / "pulled").exists()


def test_an_image_alone_must_be_for_the_platform(layout: Layout, name: str, tmp_path: Path) -> None:
    image = layout.image("linux/arm64/v8")
    layout.write(image)
    package.push_layout(layout.root, name)
    found = package.pull_layout(name, tmp_path / "pulled", platform="linux/arm64")
    assert found.digest == image["digest"]
    with pytest.raises(RegistryNotFoundError, match="linux/amd64"):
        package.pull_layout(name, tmp_path / "pulled", platform="linux/amd64")


def test_what_refers_to_an_image_goes_along(layout: Layout, name: str, caller: Caller) -> None:
    image = layout.image("linux/amd64")
    bill = layout.document(
        mediaType=MANIFEST,
        artifactType="application/vnd.example.bill",
        config=layout.blob("application/vnd.oci.empty.v1+json", b"{}"),
        layers=[layout.blob("application/json", b'{"bill":1}')],
        subject={key: image[key] for key in ("mediaType", "digest", "size")},
    )
    layout.write(bill, image)
    assert package.push_layout(layout.root, name).referrers == 1
    with caller.connected(name) as repository:
        (found,) = list_referrers(repository, image["digest"])
    assert (found.digest, found.artifactType) == (bill["digest"], "application/vnd.example.bill")


def refers(layout: Layout, subject: dict[str, Any], text: bytes) -> dict[str, Any]:
    return layout.document(
        mediaType=MANIFEST,
        artifactType="application/vnd.example.bill",
        config=layout.blob("application/vnd.oci.empty.v1+json", b"{}"),
        layers=[layout.blob("application/json", text)],
        subject={key: subject[key] for key in ("mediaType", "digest", "size")},
    )


@pytest.fixture(params=["docker_registry", "go_registry"])
def either(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A repository of this test, where referrers are listed by tag or by the registry."""
    host = request.getfixturevalue(request.param).host
    return f"oci://{host}/images/{tmp_path.name.strip('_').replace('_', '-')}:1"


@pytest.mark.parametrize("is_nested", [True, False], ids=["an index", "index.json itself"])
def test_what_an_index_lists_is_found_by_what_it_refers_to(
    layout: Layout, either: str, caller: Caller, *, is_nested: bool
) -> None:
    images = [layout.image(platform) for platform in PLATFORMS]
    unknown = {"os": "unknown", "architecture": "unknown"}
    bills = [
        {**refers(layout, image, b'{"bill":%d}' % place), "platform": unknown}
        for place, image in enumerate(images)
    ]
    layout.write(*images, *bills)
    if is_nested:
        layout.write(layout.document(mediaType=INDEX, manifests=[*images, *bills]))
    assert package.push_layout(layout.root, either).referrers == 2
    with caller.connected(either) as repository:
        for image, bill in zip(images, bills, strict=True):
            (found,) = list_referrers(repository, image["digest"])
            assert found.digest == bill["digest"]
    assert package.push_layout(layout.root, either).sent_bytes == 0


def test_what_refers_to_a_referrer_goes_along(layout: Layout, either: str, caller: Caller) -> None:
    image = layout.image("linux/amd64")
    bill = refers(layout, image, b'{"bill":1}')
    signature = refers(layout, bill, b'{"signature":1}')
    layout.write(signature, image, bill)
    assert package.push_layout(layout.root, either).referrers == 2
    with caller.connected(either) as repository:
        (found,) = list_referrers(repository, bill["digest"])
    assert found.digest == signature["digest"]


def test_of_several_images_the_one_with_the_tag_is_pushed(layout: Layout, name: str) -> None:
    one, two = layout.image("linux/amd64"), layout.image("linux/arm64", layers=1)
    layout.write(named(one, "0"), named(two, "1"))
    assert package.push_layout(layout.root, name).digest == two["digest"]
    layout.write({**one, "platform": None}, {**two, "platform": None})
    with pytest.raises(InvalidRequestError, match="lists 2 images"):
        package.push_layout(layout.root, name)
    with pytest.raises(InvalidRequestError, match="no tag"):
        package.push_layout(layout.root, name.removesuffix(":1"))


def test_a_layout_is_a_cache_of_several_images(
    layout: Layout, docker_registry: DockerRegistry, caller: Caller, tmp_path: Path, name: str
) -> None:
    images = [layout.image(platform) for platform in PLATFORMS]
    base = name.removesuffix(":1")
    for tag, image in zip("12", images, strict=True):
        layout.write(named(image, tag))
        package.push_layout(layout.root, f"{base}:{tag}")
    cache = tmp_path / "cache"
    package.pull_layout(f"{base}:1", cache)
    package.pull_layout(f"{base}:2", cache)
    assert [entry["digest"] for entry in listed(cache)] == [each["digest"] for each in images]
    damaged = cache / "blobs" / "sha256" / _layer(images[0], cache)
    damaged.write_bytes(b"!" * damaged.stat().st_size)
    with faulty.running(docker_registry.port) as door:
        path = base.removeprefix(f"oci://{docker_registry.host}/")
        with caller.connected(f"oci://{door.host}/{path}:1") as repository:
            pull_layout_from(repository, cache)
        assert [each.path.rpartition("/")[2] for each in door.of("GET", "/blobs/")] == [
            f"sha256:{damaged.name}"
        ]
    assert digest_of(damaged.read_bytes()) == f"sha256:{damaged.name}"
    assert len(listed(cache)) == 2


def test_what_a_layout_holds_stays_in_its_place_while_it_is_checked(
    layout: Layout, name: str, tmp_path: Path
) -> None:
    layout.write(layout.image("linux/amd64"))
    package.push_layout(layout.root, name)
    package.pull_layout(name, tmp_path / "cache")
    held = list((tmp_path / "cache" / "blobs" / "sha256").iterdir())
    seen: list[bool] = []

    def look(_done_bytes: int, _total_bytes: int) -> None:
        seen.append(all(each.exists() for each in held))

    package.pull_layout(name, tmp_path / "cache", progress=look)
    assert seen
    assert all(seen)


def _layer(image: dict[str, Any], root: Path) -> str:
    manifest = root / "blobs" / "sha256" / image["digest"].removeprefix("sha256:")
    layer: str = json.loads(manifest.read_text("utf-8"))["layers"][0]["digest"]
    return layer.removeprefix("sha256:")


def test_a_damaged_layout_is_not_pushed(layout: Layout, name: str, tmp_path: Path) -> None:
    image = layout.image("linux/amd64")
    layout.write(image)
    layer = layout.root / "blobs" / "sha256" / _layer(image, layout.root)
    whole = layer.read_bytes()
    for damaged in (whole[:-1], whole[:-1] + b"?"):
        layer.write_bytes(damaged)
        with pytest.raises(CorruptPackageError):
            package.push_layout(layout.root, name)
    layer.unlink()
    with pytest.raises(CorruptPackageError, match="lacks the blob"):
        package.push_layout(layout.root, name)
    with pytest.raises(PathError, match="no OCI image layout"):
        package.push_layout(tmp_path / "absent", name)


def test_indexes_that_nest_without_end_are_refused(layout: Layout, name: str) -> None:
    entry = layout.image("linux/amd64")
    for _ in range(6):
        entry = layout.document(mediaType=INDEX, manifests=[entry])
    layout.write(entry)
    with pytest.raises(CorruptPackageError, match="indexes of indexes"):
        package.push_layout(layout.root, name)


def test_an_index_that_lists_something_else_is_refused(layout: Layout, name: str) -> None:
    blob = layout.blob("application/octet-stream", b"data")
    layout.write(layout.document(mediaType=INDEX, manifests=[blob]))
    with pytest.raises(CorruptPackageError, match="expected manifests"):
        package.push_layout(layout.root, name)


def test_skopeo_and_shoal_read_each_others_layouts(
    layout: Layout, name: str, program: Callable[[str], str], tmp_path: Path
) -> None:
    images = [layout.image(platform) for platform in PLATFORMS]
    layout.write(layout.document(mediaType=INDEX, manifests=images))
    pushed = package.push_layout(layout.root, name)
    there = f"docker://{name.removeprefix('oci://')}"
    skopeo = [program("skopeo"), "copy", "--all", "--preserve-digests", "-q"]
    copied = tmp_path / "copied"
    subprocess.run([*skopeo, "--src-tls-verify=false", there, f"oci:{copied}:1"], check=True)
    assert blobs(copied) == blobs(layout.root)
    assert package.push_layout(copied, name).digest == pushed.digest
    pulled = tmp_path / "pulled"
    package.pull_layout(name, pulled)
    subprocess.run([*skopeo, f"oci:{pulled}:1", f"dir:{tmp_path / 'dir'}"], check=True)
