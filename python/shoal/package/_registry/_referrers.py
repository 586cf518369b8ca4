"""What refers to a manifest in a registry: signatures, statements, bills of material.

- A registry that lists referrers is asked for them. One that does not has them in an index under
  the tag `sha256-HEX`, which whoever attaches something writes anew.
- Registries that know nothing of referrers say so in several ways: by 404, by another refusal of
  the address, or by what is no index.
- Two that write this index at once may lose an entry: after writing it is read again, and written
  again until the entry is there.
- Other entries of the index are kept as they are.

Source: OCI distribution specification 1.1, "Listing Referrers", "Pushing Manifests with Subject",
"Referrers Tag Schema".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.errors import CorruptPackageError, RegistryError
from shoal.package._blobs import DOCUMENT_LIMIT_BYTES
from shoal.package._manifest import digest_of
from shoal.package._registry._documents import (
    INDEX,
    LISTED_LIMIT,
    Descriptor,
    Document,
    Manifest,
    read_manifest,
)
from shoal.package._registry._repository import NOT_FOUND, OK
from shoal.package._registry._upload import upload_bytes
from shoal.package._registry._wire import Request
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from collections.abc import Sequence

    from shoal.package._registry._repository import Repository

_LISTS_NONE = frozenset({400, NOT_FOUND, 405, 406, 501})
_PAGES_LIMIT = 100
_WRITES_LIMIT = 10
_NEXT = re.compile(r"<([^>]*)>\s*;\s*rel=\"?next\"?")


def list_referrers(repository: Repository, digest: str) -> tuple[Descriptor, ...]:
    """The manifests that refer to one.

    Args:
        repository: Where it is.
        digest: Its digest; it need not be there.

    Raises:
        CorruptPackageError: the list is none.
        RegistryError: it is too long.
    """
    found = _listed(repository, digest)
    if found is None:
        found = _index(repository, digest).document.manifests
    return tuple({each.digest: each for each in found}.values())


def attach(repository: Repository, manifest: bytes, blobs: Sequence[bytes] = ()) -> str:
    """Stores a manifest that refers to another one, so that it is listed among its referrers.

    What is there already is not sent again.

    Args:
        repository: Where the other one is, or is going to be.
        manifest: The text; it has a `subject`.
        blobs: What it lists.

    Returns:
        Its digest.

    Raises:
        CorruptPackageError: the manifest is none, or refers to nothing.
    """
    for blob in blobs:
        upload_bytes(repository, blob)
    stated = read_manifest(manifest, None, "what is to be attached")
    attach_manifest(repository, stated)
    return stated.digest


def attach_manifest(repository: Repository, manifest: Manifest) -> None:
    """Stores a manifest whose blobs are there, so that it is listed among the referrers.

    Raises:
        CorruptPackageError: it refers to nothing.
    """
    subject = manifest.document.subject
    if subject is None:
        raise CorruptPackageError(f"the manifest {manifest.digest} refers to no other one")
    headers: Any = {}
    if repository.digest_of_tag(manifest.digest) is None:
        headers = repository.put_manifest(manifest.digest, manifest)
    if "OCI-Subject" not in headers and _listed(repository, subject.digest) is None:
        _enter(repository, subject.digest, manifest.described())


def referrers_tag(digest: str) -> str:
    """The tag of the index of referrers."""
    return digest.replace(":", "-")


def _listed(repository: Repository, digest: str) -> list[Descriptor] | None:
    """What the registry lists; None if it lists no referrers."""
    found: list[Descriptor] = []
    url: str | None = repository.path(f"referrers/{digest}")
    for _ in range(_PAGES_LIMIT):
        if url is None:
            return found
        page = _page(repository, url)
        if page is None:
            return None
        document, url = page
        found += document.manifests
        if len(found) > LISTED_LIMIT:
            break
    raise RegistryError(f"more than {LISTED_LIMIT} manifests refer to {digest}")


def _page(repository: Repository, url: str) -> tuple[Document, str | None] | None:
    request = Request("GET", url, "listing referrers", {"Accept": INDEX})
    reply = repository.wire.ask(request, limit_bytes=DOCUMENT_LIMIT_BYTES)
    kind = reply.headers.get("Content-Type", "").partition(";")[0].strip()
    if reply.status in _LISTS_NONE or (reply.status == OK and kind != INDEX):
        return None
    if reply.status != OK:
        raise repository.wire.refusal(request, reply)
    following = _NEXT.search(reply.headers.get("Link", ""))
    text = read_manifest(reply.body, INDEX, "the list of referrers").document
    following_url = repository.wire.led(request, reply.url, following[1]) if following else None
    return text, following_url


def _index(repository: Repository, digest: str) -> Manifest:
    """The index under the tag; an empty one where there is none."""
    found = repository.find_manifest(referrers_tag(digest))
    if not isinstance(found, Manifest):
        return _as_index([])
    if not found.is_index:
        message = f"the tag {referrers_tag(digest)} is no index of referrers"
        raise CorruptPackageError(message, hint="Something else was stored under this tag.")
    return found


def _enter(repository: Repository, digest: str, entry: Descriptor) -> None:
    for _ in range(_WRITES_LIMIT):
        index = _index(repository, digest)
        if any(each.digest == entry.digest for each in index.document.manifests):
            return
        entries = msgspec.json.decode(index.data).get("manifests") or []
        repository.put_manifest(referrers_tag(digest), _as_index([*entries, _written(entry)]))
    raise RegistryError(f"others overwrite the list of what refers to {digest} again and again")


def _written(entry: Descriptor) -> dict[str, Any]:
    stated = msgspec.to_builtins(entry)
    return {name: value for name, value in stated.items() if value is not None}


def _as_index(entries: list[Any]) -> Manifest:
    data = canonical_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": entries})
    if len(data) > DOCUMENT_LIMIT_BYTES:
        raise RegistryError(f"the list of referrers has more than {DOCUMENT_LIMIT_BYTES} bytes")
    return read_manifest(data, INDEX, f"the index {digest_of(data)}")
