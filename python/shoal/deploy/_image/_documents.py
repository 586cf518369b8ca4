"""The documents of an image: pure, no file is touched here.

- Every document is canonical JSON, and follows from the base, the layers and the settings alone.
- The configuration of the base is kept but for what an image of Shoal says itself: who runs, what
  is run, where, and the signal that ends it. Its environment is added to.
- An index lists an image for each platform, and then their bills of materials, each an artifact
  whose subject is its image; these have the platform unknown/unknown, so that nobody runs them.

Source: OCI image specification 1.1, config.md, manifest.md, image-index.md; for unknown/unknown
https://docs.docker.com/build/metadata/attestations/attestation-storage/.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoal.deploy._image._platforms import Platform

Json = dict[str, Any]

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
EMPTY = b"{}"
MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
TAR = "application/vnd.oci.image.layer.v1.tar"
SBOM = "application/vnd.cyclonedx+json"
REFERENCE = "org.opencontainers.image.ref.name"
TITLE = "org.opencontainers.image.title"

USER = "65532:65532"
HOME = "/opt/shoal"
PROGRAM = f"{HOME}/bin/shoal"
LIBRARIES = f"{HOME}/lib"
PORTS = (8000, 8001)
PATH_DEFAULT = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# The server's own choice of folder for what it may write; `/tmp` is there in every image.
CACHE = "/tmp"  # noqa: S108 - the cache holds no secrets, and the container is the server's own

_EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
_NOT_OF_THE_BASE = ("Entrypoint", "Cmd", "Healthcheck", "OnBuild", "ArgsEscaped", "Volumes")


@dataclass(frozen=True)
class Blob:
    """A blob, as manifests describe it; `note` says in the image's history what a layer is."""

    media_type: str
    digest: str
    size_bytes: int
    note: str = ""

    def described(self) -> Json:
        """The descriptor."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": self.size_bytes}


@dataclass(frozen=True)
class Content:
    """What an image consists of, beside its base.

    Attributes:
        layers: The layers over the base, uncompressed: a layer's digest is also its diffID.
        arguments: What follows the program on its command line.
        annotations: What is said of the image; also its labels.
        created: The moment stated as that of its making, or None.
    """

    layers: tuple[Blob, ...]
    arguments: tuple[str, ...]
    annotations: Mapping[str, str]
    created: str | None = None


def digest_of(data: bytes) -> str:
    """`sha256:` and the hexadecimal digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def blob_of(media_type: str, data: bytes) -> Blob:
    """How a manifest describes some bytes."""
    return Blob(media_type, digest_of(data), len(data))


def image_config(base: Json, platform: Platform, content: Content) -> bytes:
    """The configuration of an image over a base of the configuration `base`."""
    kept = {
        name: value
        for name, value in (base.get("config") or {}).items()
        if value and name not in _NOT_OF_THE_BASE
    }
    own: Json = {
        "Cmd": list(content.arguments),
        "Entrypoint": entrypoint(),
        "Env": _environment(kept.get("Env", [])),
        "ExposedPorts": {f"{port}/tcp": {} for port in PORTS},
        "Labels": {**kept.get("Labels", {}), **content.annotations},
        "StopSignal": "SIGTERM",
        "User": USER,
        "WorkingDir": "/",
    }
    document: Json = {
        "architecture": platform.architecture,
        "os": "linux",
        "config": {**kept, **own},
        "rootfs": {"type": "layers", "diff_ids": _diff_ids(base, content)},
    }
    if base.get("variant"):
        document["variant"] = base["variant"]
    if content.created is not None:
        document["created"] = content.created
    if history := _history(base, content):
        document["history"] = history
    return canonical_json(document)


def entrypoint() -> list[str]:
    """What an image starts; packages and more options follow."""
    http, grpc = (f"0.0.0.0:{port}" for port in PORTS)
    return [PROGRAM, "serve", "--http", http, "--grpc", grpc, "--log-format", "json"]


def image_manifest(layers: Sequence[Blob], config: bytes, annotations: Mapping[str, str]) -> bytes:
    """The manifest of an image of these layers, the base's among them."""
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob_of(IMAGE_CONFIG, config).described(),
            "layers": [layer.described() for layer in layers],
            "annotations": dict(annotations),
        }
    )


def sbom_manifest(image: bytes, document: bytes, name: str) -> bytes:
    """The manifest of an image's bill of materials, which refers to the image."""
    layer = blob_of(SBOM, document).described()
    layer["annotations"] = {TITLE: name}
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "artifactType": SBOM,
            "config": blob_of(_EMPTY_CONFIG, EMPTY).described(),
            "layers": [layer],
            "subject": blob_of(MANIFEST, image).described(),
        }
    )


def image_index(images: Mapping[Platform, bytes], sboms: Sequence[bytes]) -> bytes:
    """The index of an image: a manifest for each platform, then the bills of materials."""
    entries = []
    for platform, manifest in sorted(images.items(), key=lambda item: item[0].name):
        entry = blob_of(MANIFEST, manifest).described()
        entry["platform"] = {"architecture": platform.architecture, "os": "linux"}
        entries.append(entry)
    for manifest in sboms:
        entry = blob_of(MANIFEST, manifest).described()
        entry["artifactType"] = SBOM
        entry["platform"] = {"architecture": "unknown", "os": "unknown"}
        entries.append(entry)
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})


def layout_index(media_type: str, document: bytes, tag: str | None) -> bytes:
    """The text of `index.json` of a layout that holds one image."""
    entry = blob_of(media_type, document).described()
    if tag is not None:
        entry["annotations"] = {REFERENCE: tag}
    return canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry]})


def search_path(config: Json) -> str:
    """The PATH that a configuration sets."""
    for each in (config.get("config") or {}).get("Env") or []:
        if each.startswith("PATH="):
            return str(each.removeprefix("PATH="))
    return PATH_DEFAULT


def _environment(base: Sequence[str]) -> list[str]:
    values = dict(each.partition("=")[::2] for each in base)
    values["PATH"] = f"{HOME}/bin:{values.get('PATH', PATH_DEFAULT)}"
    values["HOME"] = values["XDG_CACHE_HOME"] = CACHE
    return [f"{name}={value}" for name, value in sorted(values.items())]


def _diff_ids(base: Json, content: Content) -> list[str]:
    return [*base["rootfs"]["diff_ids"], *(layer.digest for layer in content.layers)]


def _history(base: Json, content: Content) -> list[Json]:
    """What made each layer; nothing where the base does not say what made its own."""
    before = base.get("history") or []
    if not before and base["rootfs"]["diff_ids"]:
        return []
    return [*before, *({"created_by": layer.note} for layer in content.layers)]
