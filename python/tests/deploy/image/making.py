"""Bases, wheels and packages for the tests of images, as small as they can be."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

import numpy as np

from shoal import package
from shoal.deploy._image import _own

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from shoal.package import Package

OCI = "application/vnd.oci.image"
STANDARD_LIBRARY = ("ctypes", "email", "encodings", "importlib", "json", "urllib")
ELF_MACHINES = {"amd64": 62, "arm64": 183}

Members = dict[str, "bytes | str | None"]
"""Paths with a file's bytes, a link's target, or None for a folder."""


def file_system(version: str = "3.11", glibc: str = "2.36", top: str = "usr") -> Members:
    """A root file system that looks as if it had a Python; nothing in it runs."""
    library = f"{top}/lib/python{version}"
    return {
        f"{top}/bin/python{version}": b"\x7fELF",
        f"{top}/bin/python3": f"python{version}",
        **{f"{library}/{name}/__init__.py": b"" for name in STANDARD_LIBRARY},
        "lib": "usr/lib",
        "usr/lib/libc.so.6": f"GNU C Library stable release version {glibc}.".encode(),
        "usr/lib/libstdc++.so.6.0.30": b"\x7fELF",
        "usr/lib/libstdc++.so.6": "libstdc++.so.6.0.30",
        "usr/lib/libgcc_s.so.1": b"\x7fELF",
    }


def tar_of(members: Mapping[str, bytes | str | None]) -> bytes:
    """A tar of these members, in their order."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for path, content in members.items():
            member = tarfile.TarInfo(path)
            if content is None:
                member.type = tarfile.DIRTYPE
            elif isinstance(content, str):
                member.type, member.linkname = tarfile.SYMTYPE, content
            else:
                member.size = len(content)
            tar.addfile(member, io.BytesIO(content) if isinstance(content, bytes) else None)
    return file.getvalue()


class Layout:
    """An OCI image layout that a test fills as it likes."""

    def __init__(self, root: Path) -> None:
        self.root = root
        (root / "blobs" / "sha256").mkdir(parents=True)
        (root / "oci-layout").write_text('{"imageLayoutVersion":"1.0.0"}')
        self.entries: list[dict[str, Any]] = []
        self._save()

    def add(self, data: bytes, media_type: str) -> dict[str, Any]:
        digest = hashlib.sha256(data).hexdigest()
        (self.root / "blobs" / "sha256" / digest).write_bytes(data)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(data)}

    def add_json(self, document: Any, media_type: str) -> dict[str, Any]:
        return self.add(json.dumps(document).encode(), media_type)

    def image(
        self, tars: Iterable[bytes], *, architecture: str = "amd64", **given: Any
    ) -> dict[str, Any]:
        """An image of these layers; `given` are further settings of its configuration."""
        tars = list(tars)
        layers = [self.add(gzip.compress(tar, mtime=0), f"{OCI}.layer.v1.tar+gzip") for tar in tars]
        diff_ids = [f"sha256:{hashlib.sha256(tar).hexdigest()}" for tar in tars]
        config = {
            "architecture": architecture,
            "os": "linux",
            "rootfs": {"type": "layers", "diff_ids": diff_ids},
            **given,
        }
        return self.manifest(config, layers)

    def manifest(self, config: Any, layers: list[dict[str, Any]]) -> dict[str, Any]:
        document = {
            "schemaVersion": 2,
            "mediaType": f"{OCI}.manifest.v1+json",
            "config": self.add_json(config, f"{OCI}.config.v1+json"),
            "layers": layers,
        }
        entry = self.add_json(document, f"{OCI}.manifest.v1+json")
        self.entries.append(entry)
        self._save()
        return entry

    def _save(self) -> None:
        document = {"schemaVersion": 2, "manifests": self.entries}
        (self.root / "index.json").write_text(json.dumps(document))


def made_up_base(root: Path, *, architecture: str = "amd64", **given: Any) -> Path:
    """A base of one layer on which an image can be built, though nothing of it runs."""
    Layout(root).image([tar_of(file_system(**given))], architecture=architecture)
    return root


def documents(root: Path) -> tuple[Any, dict[str, Any]]:
    """The index of an image, and the manifests that it lists by their platform."""
    (entry,) = json.loads((root / "index.json").read_bytes())["manifests"]
    index = blob(root, entry["digest"])
    found: dict[str, list[Any]] = {}
    for each in index["manifests"]:
        name = f"{each['platform']['os']}/{each['platform']['architecture']}"
        found.setdefault(name, []).append(blob(root, each["digest"]))
    return index, {name: each[0] if len(each) == 1 else each for name, each in found.items()}


def blob(root: Path, digest: str) -> Any:
    """A document of a layout."""
    return json.loads(blob_bytes(root, digest))


def blob_bytes(root: Path, digest: str) -> bytes:
    """A blob of a layout."""
    return (root / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()


def wheel_files(architecture: str | None = None) -> dict[str, bytes]:
    """The files of a wheel of the Shoal that runs here; or one whose core is made up."""
    files = dict(_own.from_installation().files)
    if architecture is not None:
        machine = ELF_MACHINES[architecture].to_bytes(2, "little")
        files[_own.NATIVE] = b"\x7fELF" + bytes(14) + machine + b"\0GLIBC_2.34\0"
    return files


def twice(folder: Path, *, more_files: int = 0) -> Package:
    """A Python package that doubles a number, with a lock of nothing."""
    source = folder / "source"
    source.mkdir()
    (source / "twice.py").write_text(
        "def answer(batch):\n    return {'twice': batch['value'] * 2}\n"
    )
    for number in range(more_files):
        (source / f"part_{number}.py").touch()
    return package.build(
        "twice:answer",
        name="twice",
        version="1",
        output=folder / "twice",
        example={"value": np.array([0.0, 1.0, 2.0])},
        settings=package.Settings(source=source, lock=True, requirements=()),
    )


TWICE = "def answer(batch):\n    return {'twice': batch['value'] * 2}\n"


def write_wheel(path: Path, files: Mapping[str, bytes], *, record: bool = True) -> Path:
    """A wheel of these files, with the list that every wheel has."""
    top = next(name.partition("/")[0] for name in files if name.endswith("/METADATA"))
    rows = [f"{name},sha256={_hash(data)},{len(data)}\n" for name, data in files.items()]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
        if record:
            archive.writestr(f"{top}/RECORD", "".join(rows))
    return path


def _hash(data: bytes) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
