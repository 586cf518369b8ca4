"""The documents of registries, as far as they are needed to move what they list.

- Other programs write them: fields that are not known here are left alone, and a document is
  stored and sent on in the very bytes in which it came.
- Every digest in one is a sha256, every size a number of bytes, and how much it lists has a limit.

Source: OCI image specification 1.1 (descriptor, manifest, index); Docker image manifest 2.2.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from shoal.errors import CorruptPackageError
from shoal.package._manifest import digest_of
from shoal.package._registry._reference import DIGEST

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
_DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
_DOCKER_INDEX = "application/vnd.docker.distribution.manifest.list.v2+json"
INDEXES = frozenset({INDEX, _DOCKER_INDEX})
MANIFESTS = frozenset({MANIFEST, _DOCKER_MANIFEST})
ACCEPTED = f"{MANIFEST}, {INDEX}, {_DOCKER_MANIFEST}, {_DOCKER_INDEX}"

LISTED_LIMIT = 20_000
"""So many manifests and blobs may one document list."""

DigestText = Annotated[str, msgspec.Meta(pattern=f"^{DIGEST.pattern}$")]
SizeBytes = Annotated[int, msgspec.Meta(ge=0)]


class Platform(msgspec.Struct, frozen=True):
    """What an image runs on."""

    os: str = ""
    architecture: str = ""
    variant: str = ""

    def __str__(self) -> str:
        return "/".join(filter(None, (self.os, self.architecture, self.variant)))


class Descriptor(msgspec.Struct, frozen=True):
    """How a document refers to a manifest or a blob."""

    mediaType: str  # noqa: N815 - the field's name in OCI
    digest: DigestText
    size: SizeBytes
    annotations: dict[str, str] | None = None
    artifactType: str | None = None  # noqa: N815 - the field's name in OCI
    platform: Platform | None = None


class Document(msgspec.Struct, frozen=True):
    """A manifest, which lists blobs, or an index, which lists manifests."""

    mediaType: str | None = None  # noqa: N815 - the field's name in OCI
    artifactType: str | None = None  # noqa: N815 - the field's name in OCI
    config: Descriptor | None = None
    layers: Annotated[list[Descriptor], msgspec.Meta(max_length=LISTED_LIMIT)] = []
    manifests: Annotated[list[Descriptor], msgspec.Meta(max_length=LISTED_LIMIT)] = []
    subject: Descriptor | None = None
    annotations: dict[str, str] | None = None

    def blobs(self) -> list[Descriptor]:
        """The blobs that a manifest lists, each once."""
        found = [*([self.config] if self.config else []), *self.layers]
        return list({each.digest: each for each in found}.values())


class Manifest(msgspec.Struct, frozen=True):
    """A document as it came."""

    data: bytes
    media_type: str
    document: Document

    @property
    def digest(self) -> str:
        """Its digest."""
        return digest_of(self.data)

    @property
    def is_index(self) -> bool:
        """Whether it lists manifests."""
        return self.media_type in INDEXES

    def described(self) -> Descriptor:
        """How it is listed among others, as the specification wants it for referrers."""
        document = self.document
        kind = document.artifactType or (document.config.mediaType if document.config else None)
        return Descriptor(
            mediaType=self.media_type,
            digest=self.digest,
            size=len(self.data),
            annotations=document.annotations,
            artifactType=kind,
        )


def read_manifest(data: bytes, media_type: str | None, what: str) -> Manifest:
    """A manifest or an index from its text.

    Args:
        data: The text.
        media_type: What whoever gave it calls it.
        what: What it is called in messages.

    Raises:
        CorruptPackageError: it is neither.
    """
    try:
        document = msgspec.json.decode(data, type=Document)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise CorruptPackageError(f"{what} cannot be read: {error}") from error
    said = document.mediaType or (media_type or "").partition(";")[0].strip()
    if said not in INDEXES | MANIFESTS:
        message = f"{what} is of the media type {said!r}, expected an OCI manifest or index"
        raise CorruptPackageError(message)
    if said in MANIFESTS and document.config is None:
        raise CorruptPackageError(f"{what} is a manifest without a configuration")
    return Manifest(data, said, document)
