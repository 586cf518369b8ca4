"""Objects of a store as files: `s3://bucket/folder`, and what else obstore reads (`gs://`, `az://`).

- Keys, endpoint and region are those of the environment, as other programs read them (`AWS_...`).
- There is no lock and no rename: `create` is a conditional put (If-None-Match), which alone decides
  who commits; `move` is a copy by the store, and the removal of what was copied.
- A store that takes no notice of the condition would let two runs write over each other: it is
  tried once before anything is written, and such a store is refused.
"""

from __future__ import annotations

import io
import tempfile
import uuid
from contextlib import contextmanager, nullcontext
from typing import IO, TYPE_CHECKING, Any, cast

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import from_url

from shoal.errors import SinkError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from shoal.errors import PipelineError

# What is written is held in memory up to this, then in a file.
SPOOLED_BYTES = 16 << 20
# So much is asked for at a time.
READ_BYTES = 1 << 20


class ObjectFolder:
    """A folder of a store; names are keys below it."""

    is_exclusive = False

    def __init__(self, url: str) -> None:
        """Takes an address; nothing is asked before the first call."""
        self._url = url.rstrip("/")
        self._store = _store(self._url)
        self._was_tried = False

    def names(self, below: str) -> list[str]:
        """The objects directly in a folder, sorted."""
        prefix = f"{below}/" if below else None
        with _refused(f"{self._url}/{below}"):
            found = obstore.list_with_delimiter(self._store, prefix)["objects"]
        return sorted(str(each["path"]).rpartition("/")[2] for each in found)

    def read(self, name: str) -> bytes | None:
        """The content of an object; None where there is none."""
        with _refused(f"{self._url}/{name}"):
            try:
                return bytes(obstore.get(self._store, name).bytes())
            except FileNotFoundError:
                return None

    def create(self, name: str, data: bytes) -> bool:
        """Makes an object that is not there; False if it is there.

        Raises:
            SinkError: the store takes no notice of conditions.
        """
        if not self._was_tried:
            self._was_tried = True
            self._try_condition()
        return self._put_new(name, data)

    @contextmanager
    def writer(self, name: str) -> Iterator[IO[bytes]]:
        """An object to be written: it is sent when the block ends."""
        with tempfile.SpooledTemporaryFile(SPOOLED_BYTES) as file:
            yield cast("IO[bytes]", file)
            file.seek(0)
            with _refused(f"{self._url}/{name}"):
                obstore.put(self._store, name, cast("IO[bytes]", file))

    def sync(self, _file: IO[bytes]) -> None:
        """Nothing is sent before the end."""

    def move(self, name: str, target: str) -> None:
        """Gives an object another name."""
        with _refused(f"{self._url}/{target}"):
            try:
                obstore.copy(self._store, name, target)
            except FileNotFoundError:
                obstore.head(self._store, target)
            else:
                obstore.delete(self._store, name)

    def remove(self, name: str) -> None:
        """Removes an object, if it is there."""
        with _refused(f"{self._url}/{name}"):
            try:
                obstore.delete(self._store, name)
            except FileNotFoundError:
                return

    def held(self, _name: str) -> AbstractContextManager[None]:
        """Stores have no locks: who commits an epoch first has it."""
        return nullcontext()

    def _try_condition(self) -> None:
        name = f"_shoal/trial-{uuid.uuid4().hex}"
        try:
            if not self._put_new(name, b"") or self._put_new(name, b""):
                message = f"{self._url} takes no notice of conditions (If-None-Match)"
                hint = "Write to a store that does, such as S3 itself, or to a local folder."
                raise SinkError(message, hint=hint)
        finally:
            self.remove(name)

    def _put_new(self, name: str, data: bytes) -> bool:
        with _refused(f"{self._url}/{name}"):
            try:
                obstore.put(self._store, name, data, mode="create")
            except AlreadyExistsError:
                return False
            return True


def objects(url: str) -> Iterator[tuple[str, int, str]]:
    """The objects below an address: address, size and version.

    Raises:
        SourceError: the store cannot be asked.
    """
    root, _, prefix = url.partition("://")[2].partition("/")
    scheme = url.partition("://")[0]
    with _unreadable(url):
        store = _store(f"{scheme}://{root}")
        for each in _listed(store, prefix):
            version = each["e_tag"] or str(each["last_modified"])
            yield f"{scheme}://{root}/{each['path']}", int(each["size"]), version


def _listed(store: Any, prefix: str) -> Iterator[Any]:
    """One object, or those of a folder: a listing of an object's name does not hold the object."""
    if prefix:
        try:
            yield obstore.head(store, prefix)
        except FileNotFoundError:
            pass
        else:
            return
    for batch in obstore.list(store, prefix or None):
        yield from batch


@contextmanager
def reader(url: str) -> Iterator[IO[bytes]]:
    """An object to be read from any place.

    Raises:
        SourceError: it cannot be read.
    """
    root, _, name = url.partition("://")[2].partition("/")
    with _unreadable(url):
        store = _store(f"{url.partition('://')[0]}://{root}")
        with io.BufferedReader(_Raw(obstore.open_reader(store, name)), READ_BYTES) as file:
            yield cast("IO[bytes]", file)


class _Raw(io.RawIOBase):
    """What obstore reads, as files of Python are read."""

    def __init__(self, file: Any) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return int(self._file.seek(offset, whence))

    def tell(self) -> int:
        return int(self._file.tell())

    def readinto(self, room: Any) -> int:
        data = memoryview(self._file.read(len(room)))
        room[: len(data)] = data
        return len(data)


def _store(url: str) -> Any:
    try:
        return from_url(url)
    except (BaseError, ValueError) as error:
        raise SourceError(f"{url} is no address of a store: {error}") from error


@contextmanager
def _told(error: type[PipelineError], place: str, what: str) -> Iterator[None]:
    """What a store refuses becomes an error that names the place."""
    try:
        yield
    except (BaseError, OSError) as cause:
        raise error(f"{place} cannot be {what}: {cause}") from cause


def _refused(place: str) -> AbstractContextManager[None]:
    return _told(SinkError, place, "written")


def _unreadable(place: str) -> AbstractContextManager[None]:
    return _told(SourceError, place, "read")
