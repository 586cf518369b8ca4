"""One repository of a registry: what the distribution specification offers, one method each.

- What is asked for by its digest has that digest, or is refused; so has what a registry calls by
  one in its headers.
- Documents are at most 4 MiB.

Source: OCI distribution specification 1.1.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import CorruptPackageError, InvalidRequestError
from shoal.package._blobs import DOCUMENT_LIMIT_BYTES
from shoal.package._manifest import digest_of
from shoal.package._registry._authorization import Authorization
from shoal.package._registry._credentials import find_credentials
from shoal.package._registry._documents import ACCEPTED, Manifest, read_manifest
from shoal.package._registry._patience import Patience
from shoal.package._registry._reference import DIGEST, Reference, Resolved, read_reference
from shoal.package._registry._wire import Request, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shoal.errors import RegistryError
    from shoal.package._registry._documents import Descriptor
    from shoal.package._registry._wire import Reply

OK, CREATED, TAKEN, NOT_FOUND = 200, 201, 202, 404
_DIGEST_HEADER = "Docker-Content-Digest"


class Repository:
    """A repository, and the connections to its registry."""

    def __init__(self, reference: Reference, wire: Wire) -> None:
        self.reference = reference
        self.wire = wire

    def path(self, end: str) -> str:
        """The path of something in this repository."""
        return f"/v2/{self.reference.repository}/{end}"

    def resolve(self) -> Resolved:
        """The digest that the reference has now.

        Raises:
            InvalidRequestError: it has neither tag nor digest.
            RegistryNotFoundError: the registry has nothing of that name.
        """
        reference = self.reference
        digest = reference.digest or self._looked_up(reference.tag)
        return Resolved(reference.registry, reference.repository, reference.tag, digest)

    def digest_of_tag(self, name: str) -> str | None:
        """The digest of a manifest; None if it is not there, or the registry does not say."""
        request = Request("HEAD", self.path(f"manifests/{name}"), f"finding {_said(name)}", _ACCEPT)
        reply = self.wire.ask(request)
        if reply.status == NOT_FOUND:
            return None
        self._expect(request, reply, OK)
        digest = reply.headers.get(_DIGEST_HEADER, "")
        return digest if DIGEST.fullmatch(digest) else None

    def manifest(self, name: str) -> Manifest:
        """A manifest or an index, by tag or digest.

        Raises:
            RegistryNotFoundError: there is none.
            CorruptPackageError: it has another digest, or is none.
        """
        found = self.find_manifest(name)
        if isinstance(found, Manifest):
            return found
        raise found

    def find_manifest(self, name: str) -> Manifest | RegistryError:
        """A manifest or an index, by tag or digest; the error to raise where there is none.

        Raises:
            CorruptPackageError: it has another digest, or is none.
        """
        request = Request("GET", self.path(f"manifests/{name}"), f"reading {_said(name)}", _ACCEPT)
        reply = self.wire.ask(request, limit_bytes=DOCUMENT_LIMIT_BYTES)
        if reply.status == NOT_FOUND:
            return self.wire.refusal(request, reply)
        self._expect(request, reply, OK)
        digest = digest_of(reply.body)
        for wanted in (name if ":" in name else None, reply.headers.get(_DIGEST_HEADER)):
            if wanted is not None and wanted.startswith("sha256:") and wanted != digest:
                message = f"the registry sent a manifest {digest} for {wanted}"
                raise CorruptPackageError(message)
        what = f"the manifest {name} of {self.reference.repository}"
        return read_manifest(reply.body, reply.headers.get("Content-Type"), what)

    def put_manifest(self, name: str, manifest: Manifest) -> Mapping[str, str]:
        """Stores a manifest or an index under a tag or its digest; gives the answer's headers."""
        request = Request(
            "PUT",
            self.path(f"manifests/{name}"),
            f"writing {_said(name)}",
            {"Content-Type": manifest.media_type},
            manifest.data,
        )
        reply = self.wire.ask(request)
        self._expect(request, reply, CREATED)
        return reply.headers

    def has_blob(self, digest: str) -> bool:
        """Whether a blob is there."""
        request = Request("HEAD", self.path(f"blobs/{digest}"), f"looking for {digest}")
        reply = self.wire.ask(request)
        if reply.status == NOT_FOUND:
            return False
        self._expect(request, reply, OK)
        return True

    def blob(self, descriptor: Descriptor, limit_bytes: int) -> bytes:
        """A whole blob.

        Raises:
            RegistryNotFoundError: there is none.
            CorruptPackageError: it is larger than the limit, or has another size or digest.
        """
        digest = descriptor.digest
        if descriptor.size > limit_bytes:
            message = f"{digest} states {descriptor.size} bytes, {limit_bytes} are read"
            raise CorruptPackageError(message)
        request = Request("GET", self.path(f"blobs/{digest}"), f"reading {digest}")
        reply = self.wire.ask(request, limit_bytes=limit_bytes)
        self._expect(request, reply, OK)
        if len(reply.body) != descriptor.size or digest_of(reply.body) != digest:
            message = f"the registry sent {digest_of(reply.body)} for the blob {digest}"
            raise CorruptPackageError(message)
        return reply.body

    def _looked_up(self, tag: str | None) -> str:
        if tag is None:
            message = f"{self.reference} names neither a tag nor a digest"
            raise InvalidRequestError(message, hint=f"For example {self.reference}:1.")
        return self.digest_of_tag(tag) or self.manifest(tag).digest

    def _expect(self, request: Request, reply: Reply, status: int) -> None:
        if reply.status != status:
            raise self.wire.refusal(request, reply)


_ACCEPT = {"Accept": ACCEPTED}


def _said(name: str) -> str:
    return f"the manifest {name}" if ":" in name else f"the tag {name}"


@contextmanager
def connected(
    reference: str | Reference,
    *,
    actions: str = "pull",
    plain_http: bool | None = None,
    patience: Patience | None = None,
    sleep: Callable[[float], object] | None = None,
) -> Iterator[Repository]:
    """A repository, connected to for a block.

    Args:
        reference: Its name; a tag or a digest in it is what `resolve` looks up.
        actions: What is done: `pull`, or `pull,push`.
        plain_http: Whether HTTP is spoken without TLS; by default with this machine only.
        patience: How long to wait for what.
        sleep: Waits between two tries.

    Raises:
        InvalidRequestError: the name is none.
    """
    named = read_reference(reference) if isinstance(reference, str) else reference
    is_plain = named.is_on_this_machine if plain_http is None else plain_http
    find = cache(lambda: find_credentials(named, os.environ, Path.home()))
    wire = Wire(
        f"{'http' if is_plain else 'https'}://{named.host}",
        f"{named.registry}/{named.repository}",
        authorization=Authorization(named.repository, actions, find),
        patience=patience or Patience(),
        sleep=sleep,
    )
    try:
        yield Repository(named, wire)
    finally:
        wire.close()
