"""The documents of a package, from its content alone: pure, no file is touched here.

Two manifests describe the same blobs:
- the *image manifest*, tagged VERSION, a plain OCI image that container engines can mount; its
  digest is the package's digest;
- the *ModelPack manifest*, tagged VERSION-modelpack, an artifact that model tools can read.

Every document is canonical JSON and can be derived from the description and the layers; a reader
derives them again and compares bytes, so there is no field that could lie.

An attestation refers to the image manifest. A document that is a statement of in-toto has their
media type, and its predicate type as an annotation, as BuildKit stores them; files follow it, each
a layer with its name. A signed statement, which is a bundle of sigstore, is stored as cosign does.

Source: OCI image specification 1.1; CNCF ModelPack model-spec, git d78bf32; in-toto attestation
framework 1.2; https://docs.docker.com/build/metadata/attestations/attestation-storage/; cosign,
specs/BUNDLE_SPEC.md; sigstore protobuf-specs, bundle v0.3.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any, Literal, Protocol

import msgspec

from shoal.package import _names, _tar
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence

Json = dict[str, Any]

OCI_LAYOUT = b'{"imageLayoutVersion":"1.0.0"}'
DESCRIPTION_FILE = "shoal.json"
EMPTY = b"{}"
FILE_PATH = "org.cncf.model.filepath"
REFERENCE = "org.opencontainers.image.ref.name"
ATTESTATION_KIND = "io.shoal.attestation.kind"
TITLE = "org.opencontainers.image.title"
STATEMENT = "https://in-toto.io/Statement/v1"
IN_TOTO = "application/vnd.in-toto+json"
BUNDLE = "application/vnd.dev.sigstore.bundle.v0.3+json"

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_INDEX = "application/vnd.oci.image.index.v1+json"
_IMAGE_CONFIG = "application/vnd.oci.image.config.v1+json"
_IMAGE_LAYER = "application/vnd.oci.image.layer.v1.tar"
_MODELPACK = "application/vnd.cncf.model.manifest.v1+json"
_MODELPACK_CONFIG = "application/vnd.cncf.model.config.v1+json"
_EMPTY_CONFIG = "application/vnd.oci.empty.v1+json"
_FILE_METADATA = "org.cncf.model.file.metadata+json"
_PREDICATE_TYPE = "in-toto.io/predicate-type"
_BUNDLE_CONTENT = "dev.sigstore.bundle.content"
_BUNDLE_PREDICATE_TYPE = "dev.sigstore.bundle.predicateType"
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError, RecursionError)


class Subject(Protocol):
    """What a package says about itself that its manifests repeat."""

    @property
    def format(self) -> int:
        """The version of the package format."""

    @property
    def name(self) -> str:
        """The package's name."""

    @property
    def version(self) -> str:
        """The package's version."""

    @property
    def runtime(self) -> str:
        """What executes the model; `dataset` where there is none."""


@dataclass(frozen=True)
class Layer:
    """One file of a package: its path in the package, its size, the digest of its tar."""

    path: str
    size_bytes: int
    digest: str


@dataclass(frozen=True)
class AttachedFile:
    """A file that an attestation brings along, such as a report.

    Attributes:
        name: Its name.
        media_type: What is in it.
        digest: The digest of its bytes.
        size_bytes: How many they are.
    """

    name: str
    media_type: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Documents:
    """Everything in a package that is derived: two configurations and two manifests."""

    image_config: bytes
    image_manifest: bytes
    modelpack_config: bytes
    modelpack_manifest: bytes

    @property
    def digest(self) -> str:
        """The package's digest."""
        return digest_of(self.image_manifest)

    def blobs(self) -> tuple[bytes, ...]:
        """The documents, each a blob."""
        return (
            self.image_config,
            self.image_manifest,
            self.modelpack_config,
            self.modelpack_manifest,
        )


def digest_of(data: bytes) -> str:
    """`sha256:` and the hexadecimal digest of some bytes."""
    return f"sha256:{hashlib.sha256(data).hexdigest()}"


def derive(description: Subject, layers: Sequence[Layer]) -> Documents:
    """The documents of a package; the order of the layers given does not matter."""
    ordered = sorted(layers, key=lambda layer: layer.path)
    image_config = _image_config(ordered)
    modelpack_config = _modelpack_config(description, ordered)
    return Documents(
        image_config=image_config,
        image_manifest=_image_manifest(description, ordered, image_config),
        modelpack_config=modelpack_config,
        modelpack_manifest=_modelpack_manifest(description, ordered, modelpack_config),
    )


def index(description: Subject, documents: Documents, attestations: Sequence[bytes]) -> bytes:
    """The text of `index.json`: both manifests, then the attestations by digest."""
    version = description.version
    image = _described(_MANIFEST, documents.image_manifest)
    image["annotations"] = {REFERENCE: version}
    modelpack = _described(_MANIFEST, documents.modelpack_manifest)
    modelpack["artifactType"] = _MODELPACK
    modelpack["annotations"] = {REFERENCE: version + _names.MODELPACK_SUFFIX}
    others = [_attestation_entry(manifest) for manifest in sorted(set(attestations), key=digest_of)]
    manifests = [image, modelpack, *others]
    return canonical_json({"schemaVersion": 2, "mediaType": _INDEX, "manifests": manifests})


@dataclass(frozen=True)
class Said:
    """The document of an attestation, as far as its manifest depends on it.

    Attributes:
        digest: Its digest.
        size_bytes: Its size.
        predicate_type: What a statement of in-toto is about; None for a document that is none.
        subjects: The digests of what a statement of in-toto is about.
        is_signed: Whether the statement lies in a bundle, with who signed it.
    """

    digest: str
    size_bytes: int
    predicate_type: str | None = None
    subjects: frozenset[str] = frozenset()
    is_signed: bool = False

    def is_about(self, digest: str) -> bool:
        """Whether it says nothing of other packages: a statement lists this one's digest.

        What a signed one is about is for those to check who know whose signature they want.
        """
        return self.predicate_type is None or self.is_signed or digest in self.subjects


def attestation_manifest(
    kind: str, said: Said, subject: Json, files: Sequence[AttachedFile] = ()
) -> bytes:
    """The manifest of an attestation: an artifact that refers to the image manifest `subject`."""
    predicate, media_type = said.predicate_type, _document_type(kind, said)
    layer: Json = {"mediaType": media_type, "digest": said.digest, "size": said.size_bytes}
    annotations = {ATTESTATION_KIND: kind}
    if said.is_signed:
        annotations |= {_BUNDLE_CONTENT: "dsse-envelope", _BUNDLE_PREDICATE_TYPE: str(predicate)}
    elif predicate:
        layer["annotations"] = {_PREDICATE_TYPE: predicate}
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": media_type,
            "config": _described(_EMPTY_CONFIG, EMPTY),
            "layers": [layer, *(_attached(each) for each in files)],
            "subject": subject,
            "annotations": annotations,
        }
    )


def subject_of(image_manifest: bytes) -> Json:
    """How attestations refer to a package."""
    return _described(_MANIFEST, image_manifest)


class _Typed(msgspec.Struct):
    """What may be a statement of in-toto, or a bundle of sigstore."""

    type: Any = msgspec.field(name="_type", default=None)
    media_type: Any = msgspec.field(name="mediaType", default=None)


class _Named(msgspec.Struct):
    digest: dict[str, str]


class _Statement(msgspec.Struct):
    """A statement of in-toto, as far as a package knows it."""

    subject: list[_Named]
    predicate_type: Annotated[str, msgspec.Meta(min_length=1)] = msgspec.field(name="predicateType")

    def subjects(self) -> frozenset[str]:
        """The digests of what it is about."""
        return frozenset(f"sha256:{each.digest.get('sha256')}" for each in self.subject)


class _Envelope(msgspec.Struct, rename="camel"):
    payload: bytes
    payload_type: Literal["application/vnd.in-toto+json"]


class _Bundle(msgspec.Struct, rename="camel"):
    """A bundle of sigstore around a statement of in-toto, as far as a package knows it."""

    dsse_envelope: _Envelope


def said(document: bytes) -> Said:
    """What the manifest of an attestation depends on.

    Raises:
        ValueError: it calls itself a statement of in-toto, or a bundle of sigstore around one, and
            lacks what every such document has.
    """
    digest, size_bytes, typed = digest_of(document), len(document), _typed(document)
    is_signed = typed.type != STATEMENT and typed.media_type == BUNDLE
    if typed.type != STATEMENT and not is_signed:
        return Said(digest, size_bytes)
    what = "bundle around a statement" if is_signed else "statement"
    try:
        statement = msgspec.json.decode(_payload(document, is_signed=is_signed), type=_Statement)
    except _UNREADABLE as error:
        raise ValueError(f"the document is no whole {what} of in-toto: {error}") from error
    return Said(digest, size_bytes, statement.predicate_type, statement.subjects(), is_signed)


def _typed(document: bytes) -> _Typed:
    try:
        return msgspec.json.decode(document, type=_Typed)
    except _UNREADABLE:
        return _Typed()


def _payload(document: bytes, *, is_signed: bool) -> bytes:
    """The statement itself."""
    if not is_signed:
        return document
    return msgspec.json.decode(document, type=_Bundle).dsse_envelope.payload


def _document_type(kind: str, said: Said) -> str:
    if said.is_signed:
        return BUNDLE
    return IN_TOTO if said.predicate_type else f"application/vnd.shoal.{kind}.v1+json"


def path_in_image(description: Subject, path: str) -> str:
    """Where a file of the package lies in the image."""
    top = _names.directory(description.name, description.version, description.runtime)
    return f"{top}/{path}"


def _attached(file: AttachedFile) -> Json:
    return {
        "mediaType": file.media_type,
        "digest": file.digest,
        "size": file.size_bytes,
        "annotations": {TITLE: file.name},
    }


def _described(media_type: str, data: bytes) -> Json:
    return {"mediaType": media_type, "digest": digest_of(data), "size": len(data)}


def _attestation_entry(manifest: bytes) -> Json:
    entry = _described(_MANIFEST, manifest)
    entry["artifactType"] = msgspec.json.decode(manifest)["artifactType"]
    return entry


def _image_config(layers: Sequence[Layer]) -> bytes:
    # The files run nowhere, yet engines want a platform: a wrong system is refused by
    # containers-storage, a wrong architecture is not, and a manifest alone is never matched.
    return canonical_json(
        {
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.digest for layer in layers]},
        }
    )


def _image_manifest(description: Subject, layers: Sequence[Layer], config: bytes) -> bytes:
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": _described(_IMAGE_CONFIG, config),
            "layers": [_layer(description, layer, _IMAGE_LAYER) for layer in layers],
            "annotations": _annotations(description),
        }
    )


def _modelpack_manifest(description: Subject, layers: Sequence[Layer], config: bytes) -> bytes:
    kinds = [
        f"application/vnd.cncf.model.{_kind(description, layer.path)}.v1.tar" for layer in layers
    ]
    return canonical_json(
        {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "artifactType": _MODELPACK,
            "config": _described(_MODELPACK_CONFIG, config),
            "layers": [
                _layer(description, layer, kind) for layer, kind in zip(layers, kinds, strict=True)
            ],
            "annotations": _annotations(description),
        }
    )


def _modelpack_config(description: Subject, layers: Sequence[Layer]) -> bytes:
    # No createdAt: a package's content knows no time.
    return canonical_json(
        {
            "descriptor": {"name": description.name, "version": description.version},
            "config": {
                "format": description.runtime,
                "capabilities": {"inputTypes": ["other"], "outputTypes": ["other"]},
            },
            "modelfs": {"type": "layers", "diffIds": [layer.digest for layer in layers]},
        }
    )


def _annotations(description: Subject) -> dict[str, str]:
    return {
        "io.shoal.format": str(description.format),
        "io.shoal.name": description.name,
        "io.shoal.runtime": description.runtime,
        "io.shoal.version": description.version,
        "org.opencontainers.image.title": description.name,
        "org.opencontainers.image.version": description.version,
    }


def _kind(description: Subject, path: str) -> str:
    if description.runtime == _names.DATASET:
        return "dataset" if path.startswith("data/") else "doc"
    if path == DESCRIPTION_FILE:
        return "weight.config"
    if path.startswith("source/") or path == "requirements.txt":
        return "code"
    return "weight"


def _layer(description: Subject, layer: Layer, media_type: str) -> Json:
    path = path_in_image(description, layer.path)
    size_bytes = len(_tar.head(path, layer.size_bytes)) + layer.size_bytes
    return {
        "mediaType": media_type,
        "digest": layer.digest,
        "size": size_bytes + len(_tar.tail(layer.size_bytes)),
        "annotations": {
            FILE_PATH: path,
            _FILE_METADATA: canonical_json(_file_metadata(layer)).decode(),
            "org.cncf.model.file.mediatype.untested": "true",
        },
    }


def _file_metadata(layer: Layer) -> Json:
    return {
        "name": PurePosixPath(layer.path).name,
        "mode": _tar.FILE_MODE,
        "uid": 0,
        "gid": 0,
        "size": layer.size_bytes,
        "mtime": "1970-01-01T00:00:00Z",
        "typeflag": ord("0"),
    }
