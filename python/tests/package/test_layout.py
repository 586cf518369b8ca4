"""What lies on disk: deterministic, readable by other tools, and refused when anything differs."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jsonschema
import pytest

from shoal import package
from shoal.errors import CorruptPackageError, InvalidRequestError, PathError, StorageError
from shoal.package import _tar

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.package import Package

HERE = Path(__file__).parent


def blob(root: Path, digest: str) -> Path:
    return root / "blobs" / "sha256" / digest.removeprefix("sha256:")


def manifests(root: Path) -> list[dict[str, Any]]:
    index = json.loads((root / "index.json").read_bytes())
    return [json.loads(blob(root, each["digest"]).read_bytes()) for each in index["manifests"]]


def tree(root: Path) -> dict[str, bytes]:
    return {str(p.relative_to(root)): p.read_bytes() for p in root.rglob("*") if p.is_file()}


def test_the_same_content_gives_the_same_bytes(tmp_path: Path, model_bytes: bytes) -> None:
    for name in ("a", "b"):
        package.build(model_bytes, name="double", version="1", output=tmp_path / name)
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_the_digest_is_that_of_the_image_manifest(sealed: Package) -> None:
    index = json.loads((sealed.path / "index.json").read_bytes())
    assert index["manifests"][0]["digest"] == sealed.digest
    found = hashlib.sha256(blob(sealed.path, sealed.digest).read_bytes()).hexdigest()
    assert sealed.digest == f"sha256:{found}"


def test_both_manifests_list_the_same_blobs(sealed: Package) -> None:
    image, modelpack, _ = manifests(sealed.path)
    assert [each["digest"] for each in image["layers"]] == [
        each["digest"] for each in modelpack["layers"]
    ]
    index = json.loads((sealed.path / "index.json").read_bytes())
    tags = [
        each["annotations"]["org.opencontainers.image.ref.name"] for each in index["manifests"][:2]
    ]
    assert tags == ["1", "1-modelpack"]


def test_a_layer_is_an_uncompressed_tar_of_one_file_below_models(sealed: Package) -> None:
    image = manifests(sealed.path)[0]
    config = json.loads(blob(sealed.path, image["config"]["digest"]).read_bytes())
    assert config["rootfs"]["diff_ids"] == [each["digest"] for each in image["layers"]]
    with tarfile.open(blob(sealed.path, image["layers"][0]["digest"])) as tar:
        names = tar.getnames()
        file = tar.extractfile("models/double/1/model.onnx")
        assert file is not None
        assert file.read() == sealed.read("model.onnx")
    assert names == ["models", "models/double", "models/double/1", "models/double/1/model.onnx"]


def test_the_model_repository_has_a_whole_number_as_version(tmp_path: Path) -> None:
    from shoal.package._names import directory

    assert directory("m", "7") == "models/m/7"
    assert directory("m", "1.2-rc") == "models/m/1"
    assert directory("m", "007") == "models/m/1"


@pytest.mark.parametrize("part", ["config", "manifest"])
def test_modelpack_accepts_the_artifact(sealed: Package, part: str) -> None:
    schema = json.loads((HERE / f"modelpack_{part}.schema.json").read_bytes())
    manifest = manifests(sealed.path)[1]
    config = json.loads(blob(sealed.path, manifest["config"]["digest"]).read_bytes())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(manifest if part == "manifest" else config, schema)


def test_modelpack_s_schema_refuses_a_field_of_ours(sealed: Package) -> None:
    schema = json.loads((HERE / "modelpack_config.schema.json").read_bytes())
    manifest = manifests(sealed.path)[1]
    config = json.loads(blob(sealed.path, manifest["config"]["digest"]).read_bytes())
    config["descriptor"]["signature"] = {}
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(config, schema)


def test_skopeo_reads_and_copies_a_package(sealed: Package, tmp_path: Path) -> None:
    skopeo = shutil.which("skopeo")
    assert skopeo, "this test needs the Debian package skopeo"
    image = f"oci:{sealed.path}:1"
    shown = subprocess.run([skopeo, "inspect", image], capture_output=True, check=True)
    assert json.loads(shown.stdout)["Digest"] == sealed.digest
    for tag in ("1", "1-modelpack"):
        source, target = f"oci:{sealed.path}:{tag}", f"dir:{tmp_path / tag}"
        subprocess.run([skopeo, "copy", "--quiet", source, target], check=True)
    assert (tmp_path / "1" / "manifest.json").read_bytes() == blob(
        sealed.path, sealed.digest
    ).read_bytes()


def test_an_attestation_changes_neither_digest_nor_content(sealed: Package) -> None:
    before = sealed.digest
    attested = sealed.attest("provenance", {"host": "a", "time": "2026-01-01T00:00:00Z"})
    assert attested.digest == before == package.open(sealed.path).digest
    assert [each.kind for each in attested.attestations()] == ["metrics", "provenance"] or [
        each.kind for each in attested.attestations()
    ] == ["provenance", "metrics"]
    assert manifests(sealed.path)[2]["subject"]["digest"] == before


def test_the_same_attestation_is_held_once(sealed: Package) -> None:
    again = sealed.attest("metrics", {"accuracy": 0.5})
    assert len(again.attestations()) == 1
    assert again.attestations()[0].document == {"accuracy": 0.5}


def test_the_order_of_attestations_leaves_no_trace(tmp_path: Path, model_bytes: bytes) -> None:
    for name, kinds in (("a", ["x", "y"]), ("b", ["y", "x"])):
        made = package.build(model_bytes, name="d", version="1", output=tmp_path / name)
        for kind in kinds:
            made = made.attest(kind, [1])
    assert tree(tmp_path / "a") == tree(tmp_path / "b")


def test_an_attestation_that_is_no_json_is_refused(sealed: Package) -> None:
    with pytest.raises(InvalidRequestError, match=r"NaN|Out of range|not JSON"):
        sealed.attest("metrics", {"accuracy": float("nan")})
    with pytest.raises(InvalidRequestError, match="kind"):
        sealed.attest("Metrics!", {})


def test_unpacking_gives_the_files(sealed: Package, tmp_path: Path) -> None:
    sealed.unpack(tmp_path / "out")
    assert sorted(tree(tmp_path / "out")) == ["model.onnx", "shoal.json"]
    with pytest.raises(StorageError):
        sealed.unpack(tmp_path / "out")


def test_a_file_that_changes_after_opening_is_refused(sealed: Package) -> None:
    image = manifests(sealed.path)[0]
    place = blob(sealed.path, image["layers"][0]["digest"])
    place.write_bytes(place.read_bytes()[:-1] + b"\1")
    with pytest.raises(CorruptPackageError, match="changed"):
        sealed.read("model.onnx")


def _extra_file(root: Path) -> None:
    (root / "notes.txt").write_text("x")


def _extra_blob(root: Path) -> None:
    blob(root, hashlib.sha256(b"x").hexdigest()).write_bytes(b"x")


def _missing_blob(root: Path) -> None:
    max((root / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size).unlink()


def _missing_index(root: Path) -> None:
    (root / "index.json").unlink()


def _truncated(root: Path) -> None:
    place = max((root / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    place.write_bytes(place.read_bytes()[:-512])


def _longer(root: Path) -> None:
    place = max((root / "blobs" / "sha256").iterdir(), key=lambda path: path.stat().st_size)
    place.write_bytes(place.read_bytes() + bytes(512))


def _symbolic_link(root: Path) -> None:
    place = root / "index.json"
    place.rename(root.parent / "elsewhere.json")
    place.symlink_to(root.parent / "elsewhere.json")


def _linked_directory(root: Path) -> None:
    (root / "blobs").rename(root.parent / "elsewhere")
    (root / "blobs").symlink_to(root.parent / "elsewhere")


def _hard_link(root: Path) -> None:
    place = next((root / "blobs" / "sha256").iterdir())
    os.link(place, root.parent / "second-name")


def _pipe(root: Path) -> None:
    (root / "oci-layout").unlink()
    os.mkfifo(root / "oci-layout")


def _deep_index(root: Path) -> None:
    (root / "index.json").write_bytes(b'{"manifests":' + b"[" * 200_000)


def _large_index(root: Path) -> None:
    with (root / "index.json").open("wb") as file:
        file.truncate(2**33)


def _empty(root: Path) -> None:
    shutil.rmtree(root)
    root.mkdir()


def _second_listing(root: Path) -> None:
    index = json.loads((root / "index.json").read_bytes())
    index["manifests"].append(index["manifests"][-1])
    (root / "index.json").write_text(json.dumps(index, sort_keys=True, separators=(",", ":")))


def _other_layout(root: Path) -> None:
    (root / "oci-layout").write_bytes(b'{"imageLayoutVersion": "1.0.0"}')


DAMAGES = [
    _extra_file,
    _extra_blob,
    _missing_blob,
    _missing_index,
    _truncated,
    _longer,
    _symbolic_link,
    _linked_directory,
    _hard_link,
    _pipe,
    _deep_index,
    _large_index,
    _empty,
    _other_layout,
    _second_listing,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
def test_a_damaged_package_is_refused(sealed: Package, damage: Callable[[Path], None]) -> None:
    package.open(sealed.path)
    damage(sealed.path)
    with pytest.raises(CorruptPackageError):
        package.open(sealed.path)


def test_a_place_without_a_package_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError):
        package.open(tmp_path / "nothing")
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(CorruptPackageError):
        package.open(tmp_path / "file")


def _resealed(root: Path, change: Callable[[bytes], bytes]) -> None:
    """Changes the layer of model.onnx and makes every digest up to the index true again.

    What remains wrong is only the tar itself: its header, its end, or what it holds.
    """
    text = {path: path.read_bytes() for path in (root / "blobs" / "sha256").iterdir()}
    old = manifests(root)[0]["layers"][0]
    place = blob(root, old["digest"])
    data = change(text.pop(place))
    place.unlink()
    digest = f"sha256:{hashlib.sha256(data).hexdigest()}"
    blob(root, digest).write_bytes(data)
    replaced = {old["digest"]: digest, f'"size":{old["size"]}': f'"size":{len(data)}'}
    for _ in range(3):
        for path in list((root / "blobs" / "sha256").iterdir()):
            content = path.read_bytes()
            if not content.startswith(b"{"):
                continue
            changed = content
            for before, after in replaced.items():
                changed = changed.replace(before.encode(), after.encode())
            if changed != content:
                name = f"sha256:{hashlib.sha256(changed).hexdigest()}"
                replaced[f"sha256:{path.name}"] = name
                path.unlink()
                blob(root, name).write_bytes(changed)
    index = (root / "index.json").read_text()
    for before, after in replaced.items():
        index = index.replace(before, after)
    (root / "index.json").write_text(index)


def _with_header(path: str, **fields: Any) -> Callable[[bytes], bytes]:
    """Replaces the file's header in the tar by one of Python's tarfile."""

    def change(data: bytes) -> bytes:
        start = 3 * 512
        member = tarfile.TarInfo(path)
        member.size = int(data[start + 124 : start + 135], 8)
        for name, value in fields.items():
            setattr(member, name, value)
        return data[:start] + member.tobuf(tarfile.USTAR_FORMAT) + data[start + 512 :]

    return change


HEADERS = {
    "a name that climbs out": _with_header("models/double/1/../../../etc/passwd"),
    "an absolute name": _with_header("/etc/passwd"),
    "a symbolic link": _with_header(
        "models/double/1/model.onnx", type=tarfile.SYMTYPE, linkname="/etc/passwd"
    ),
    "a hard link": _with_header(
        "models/double/1/model.onnx", type=tarfile.LNKTYPE, linkname="/etc/passwd"
    ),
    "a device": _with_header("models/double/1/model.onnx", type=tarfile.CHRTYPE),
    "a smaller size": _with_header("models/double/1/model.onnx", size=3),
    "a larger size": _with_header("models/double/1/model.onnx", size=8**11 - 1),
    "a time": _with_header("models/double/1/model.onnx", mtime=1),
}


@pytest.mark.parametrize("header", HEADERS)
def test_a_tar_that_is_not_the_one_plain_file_is_refused(sealed: Package, header: str) -> None:
    _resealed(sealed.path, HEADERS[header])
    with pytest.raises(CorruptPackageError, match=r"is not the tar of|states|holds more"):
        package.open(sealed.path)


def test_a_tar_with_a_second_member_is_refused(sealed: Package) -> None:
    _resealed(sealed.path, lambda data: data[:-1024] + _tar.head("x", 0) + bytes(1024))
    with pytest.raises(CorruptPackageError, match="states"):
        package.open(sealed.path)


def test_resealing_alone_changes_nothing(sealed: Package) -> None:
    before = tree(sealed.path)
    _resealed(sealed.path, lambda data: data)
    assert tree(sealed.path) == before


def test_long_paths_are_cut_where_ustar_wants_it() -> None:
    import io

    path = "/".join(["models", "a" * 60, "b" * 60, "c" * 90])
    data = _tar.head(path, 3) + b"abc" + _tar.tail(3)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        member = tar.getmembers()[-1]
        assert (member.name, member.size, member.mode) == (path, 3, 0o644)
