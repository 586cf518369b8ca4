"""Sends blobs: those that are not there, streamed, and from where a broken connection left off.

- A blob that the registry has is not sent.
- It goes in one stream. Where that breaks off, the registry is asked how far it came, and gets the
  rest; one that cannot say so gets all of it again.
- The registry checks the digest, and refuses what changed meanwhile.

Source: OCI distribution specification 1.1, "Pushing a blob in chunks".
"""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, BinaryIO

from shoal.errors import CorruptPackageError
from shoal.package._manifest import digest_of
from shoal.package._registry._failures import Passing
from shoal.package._registry._patience import Cuts
from shoal.package._registry._repository import CREATED, TAKEN
from shoal.package._registry._wire import PIECE_BYTES, Request

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from shoal.package._registry._repository import Repository
    from shoal.package._registry._wire import Reply

_NO_CONTENT = 204
_BAD_REQUEST = 400
_RANGE = re.compile(r"(?:bytes=)?0-([0-9]+)")


def upload_bytes(repository: Repository, data: bytes) -> int:
    """Stores a blob, if it is not there; gives the bytes that were sent."""
    digest = digest_of(data)
    if repository.has_blob(digest):
        return 0
    upload(repository, digest, lambda: io.BytesIO(data))
    return len(data)


def upload(
    repository: Repository,
    digest: str,
    open_blob: Callable[[], BinaryIO],
    told: Callable[[int], object] = lambda _: None,
) -> None:
    """Stores a blob that is not there.

    Args:
        repository: Where.
        digest: Its digest.
        open_blob: Opens it.
        told: Is given how many bytes went, again and again; less than none where some go again.

    Raises:
        CorruptPackageError: it has not that digest.
    """
    with open_blob() as blob:
        size_bytes = blob.seek(0, io.SEEK_END)
    _Upload(repository, digest, size_bytes, open_blob, told).run()


class _Upload:
    """One blob on its way."""

    def __init__(
        self,
        repository: Repository,
        digest: str,
        size_bytes: int,
        open_blob: Callable[[], BinaryIO],
        told: Callable[[int], object],
    ) -> None:
        self._repository = repository
        self._wire = repository.wire
        self._digest = digest
        self._size_bytes = size_bytes
        self._open_blob = open_blob
        self._told = told
        self._offset = 0
        self._told_bytes = 0
        self._place = ""

    def run(self) -> None:
        """Sends all of it."""
        cuts = Cuts()
        self._begin()
        while self._offset < self._size_bytes:
            try:
                self._continue()
            except Passing as passing:
                self._find_offset()
                self._wire.pause(cuts.count(self._offset, self._wire.patience), passing)
        separator = "&" if "?" in self._place else "?"
        self._ask("PUT", f"{self._place}{separator}digest={self._digest}", CREATED)

    def _begin(self) -> None:
        self._moved(self._ask("POST", self._repository.path("blobs/uploads/"), TAKEN))
        self._is_at(0)

    def _continue(self) -> None:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(self._size_bytes - self._offset),
        }
        if self._offset:  # only then: some registries take a first piece without it only
            headers["Content-Range"] = f"{self._offset}-{self._size_bytes - 1}"
        request = Request("PATCH", self._place, self._what, headers, self._pieces)
        with self._wire.stream(request) as response:
            reply = self._wire.whole(request, response)
        self._expect(request, reply, TAKEN)
        self._moved(reply)
        self._is_at(self._size_bytes)

    def _find_offset(self) -> None:
        """How far it came, as the registry says; it begins anew if the registry cannot say."""
        reply = self._wire.ask(Request("GET", self._place, f"asking how far {self._digest} came"))
        reached = _RANGE.fullmatch(reply.headers.get("Range", ""))
        offset = int(reached[1]) + 1 if reached and reply.status == _NO_CONTENT else 0
        # Of nothing at all registries say 0-0, as of one byte.
        if 1 < offset <= self._size_bytes:
            self._moved(reply)
            self._is_at(offset)
        else:
            self._begin()

    @property
    def _what(self) -> str:
        return f"sending {self._digest}"

    def _ask(self, method: str, url: str, status: int) -> Reply:
        nothing: Mapping[str, str] = {"Content-Length": "0"}
        request = Request(method, url, self._what, nothing)
        reply = self._wire.ask(request)
        self._expect(request, reply, status)
        return reply

    def _expect(self, request: Request, reply: Reply, status: int) -> None:
        if reply.status == _BAD_REQUEST and b"DIGEST_INVALID" in reply.body:
            message = f"the registry finds another digest in what was sent as {self._digest}"
            raise CorruptPackageError(message, hint="The file changed while it was sent.")
        if reply.status != status:
            raise self._wire.refusal(request, reply)

    def _moved(self, reply: Reply) -> None:
        """The upload goes on where the registry says."""
        request = Request("PATCH", reply.url, self._what)
        self._place = self._wire.led(request, reply.url, reply.headers.get("Location", reply.url))

    def _is_at(self, offset: int) -> None:
        self._offset = offset
        self._count(offset - self._told_bytes)

    def _count(self, size_bytes: int) -> None:
        self._told_bytes += size_bytes
        self._told(size_bytes)

    def _pieces(self) -> Iterator[bytes]:
        with self._open_blob() as blob:
            blob.seek(self._offset)
            left_bytes = self._size_bytes - self._offset
            while left_bytes and (piece := blob.read(min(PIECE_BYTES, left_bytes))):
                self._wire.check()
                yield piece
                left_bytes -= len(piece)
                self._count(len(piece))
