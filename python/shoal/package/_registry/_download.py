"""Fetches one blob into a file: hashed while it comes, taken up where it broke off.

- The file appears under its name when its size and digest are those stated, flushed to disk.
- A broken connection goes on where it broke off, and so does the next run, from what is staged.
- A file that is there, whole and right, stays where it is: others may be reading it.
- More bytes than stated, fewer in all, or another digest: refused, and not kept. If a part of the
  bytes was staged by an earlier run, the blob is fetched once more as a whole before that.

Source: RFC 9110, 14 (range requests).
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING, NamedTuple, NoReturn

from shoal.errors import CorruptPackageError, RegistryError, RegistryUnavailableError
from shoal.package._registry._failures import Passing
from shoal.package._registry._patience import Cuts
from shoal.package._registry._repository import OK
from shoal.package._registry._sink import Sink
from shoal.package._registry._wire import PIECE_BYTES, Request

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from urllib3 import BaseHTTPResponse

    from shoal.package._registry._documents import Descriptor
    from shoal.package._registry._repository import Repository

_PARTIAL, _NOT_SATISFIABLE = 206, 416
_RANGE = re.compile(r"bytes ([0-9]+)-([0-9]+)/([0-9]+|\*)")


class Places(NamedTuple):
    """Where a blob goes.

    Attributes:
        whole: What the file is called when it is whole.
        staged: What it is called until then, in the same file system.
    """

    whole: Path
    staged: Path


def download(
    repository: Repository,
    descriptor: Descriptor,
    places: Places,
    told: Callable[[int], object] = lambda _: None,
) -> None:
    """Fetches a blob, unless it is there, whole and right.

    Args:
        repository: Where from.
        descriptor: Its digest and size.
        places: Where it goes.
        told: Is given how many bytes came, again and again; less than none where some come again.

    Raises:
        CorruptPackageError: what comes is something else.
        OSError: the file cannot be written.
    """
    if places.whole.exists():
        if _is_whole(places.whole, descriptor):
            told(descriptor.size)
            return
        places.whole.rename(places.staged)  # what it holds is checked as any staged part is
    is_taken_up = places.staged.exists()
    fetching = _Download(repository, descriptor, places.staged, told)
    try:
        found = fetching.run()
        if is_taken_up and found != descriptor.digest:
            places.staged.unlink()
            told(-descriptor.size)
            found = fetching.run()
        if found != descriptor.digest:
            _refuse(f"the registry sent {found} for the blob {descriptor.digest}")
    except CorruptPackageError:
        places.staged.unlink(missing_ok=True)
        raise
    places.staged.rename(places.whole)


class _Download:
    """One blob on its way."""

    def __init__(
        self,
        repository: Repository,
        descriptor: Descriptor,
        staged: Path,
        told: Callable[[int], object],
    ) -> None:
        self._repository = repository
        self._wire = repository.wire
        self._digest = descriptor.digest
        self._size_bytes = descriptor.size
        self._staged = staged
        self._told = told

    def run(self) -> str:
        """Fetches what is not staged; gives the digest of all of it."""
        cuts = Cuts()
        with Sink(self._staged) as sink:
            if sink.size_bytes > self._size_bytes:
                sink.empty()
            self._told(sink.size_bytes)
            while sink.size_bytes < self._size_bytes:
                try:
                    self._continue(sink)
                except Passing as passing:
                    self._wire.pause(cuts.count(sink.size_bytes, self._wire.patience), passing)
            return sink.digest()

    def _continue(self, sink: Sink) -> None:
        path = self._repository.path(f"blobs/{self._digest}")
        # Both ends: not every registry knows a range without its end.
        start, end = sink.size_bytes, self._size_bytes - 1
        headers = {"Range": f"bytes={start}-{end}"} if start else {}
        request = Request("GET", path, f"reading {self._digest}", headers)
        with self._wire.stream(request) as response:
            if response.status not in {OK, _PARTIAL, _NOT_SATISFIABLE}:
                raise self._wire.refusal(request, self._wire.whole(request, response))
            self._check_size(response, start)
            if response.status == OK and start:  # it knows no ranges
                sink.empty()
                self._told(-start)
            self._take(response, sink)
        if sink.size_bytes < self._size_bytes:
            message = f"{self._repository.reference}: {self._digest} ends too early"
            raise Passing(RegistryUnavailableError(message, hint="Try again later."))

    def _check_size(self, response: BaseHTTPResponse, start: int) -> None:
        length = response.headers.get("Content-Length")
        if response.status == _NOT_SATISFIABLE:
            _refuse(f"the registry has fewer than {self._size_bytes} bytes of {self._digest}")
        if response.status == OK and length not in {None, str(self._size_bytes)}:
            _refuse(f"{self._digest} has {length} bytes there instead of {self._size_bytes}")
        if response.status == _PARTIAL:
            self._check_range(response.headers.get("Content-Range", ""), start)

    def _check_range(self, stated: str, start: int) -> None:
        found = _RANGE.fullmatch(stated)
        if found is None or int(found[1]) != start:
            message = f"the registry sent the range {stated[:80]!r} of {self._digest}"
            raise RegistryError(f"{message}, asked for the bytes from {start}")
        if found[3] not in {"*", str(self._size_bytes)}:
            _refuse(f"{self._digest} has {found[3]} bytes there instead of {self._size_bytes}")

    def _take(self, response: BaseHTTPResponse, sink: Sink) -> None:
        while piece := response.read1(PIECE_BYTES):
            self._wire.check()
            if sink.size_bytes + len(piece) > self._size_bytes:
                _refuse(
                    f"the registry sends more than the {self._size_bytes} bytes of {self._digest}"
                )
            sink.write(piece)
            self._told(len(piece))


def _is_whole(path: Path, descriptor: Descriptor) -> bool:
    if path.stat().st_size != descriptor.size:
        return False
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}" == descriptor.digest


def _refuse(message: str) -> NoReturn:
    hint = "Push it again, or pull it from another registry."
    raise CorruptPackageError(message, hint=hint)
