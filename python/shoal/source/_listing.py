"""The files of a source: a file, a folder, or a pattern, in an order that stays.

- A folder gives the files below it whose names end as a known format does; names that begin with
  `.` or `_` are passed over, as other readers of such folders do.
- All files of a source have one format. Where a folder holds several, a pattern chooses.
- Files are ordered by path. A file has a version: another one means other content.
"""

from __future__ import annotations

import fnmatch
import glob
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shoal.errors import InvalidRequestError, PathError
from shoal.source._places import is_remote

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

# The endings of each format; `.gz` may follow those of text.
ENDINGS = {
    "parquet": (".parquet", ".pq"),
    "csv": (".csv",),
    "tsv": (".tsv",),
    "json_lines": (".jsonl", ".ndjson", ".json"),
}
COMPRESSED = ".gz"


class Stored(msgspec.Struct, frozen=True):
    """One file.

    Attributes:
        path: Where it is.
        size_bytes: Its size.
        version: What changes when its content does.
    """

    path: str
    size_bytes: int
    version: str


class Listing(msgspec.Struct, frozen=True):
    """The files of a source, and what is in them."""

    format: str
    files: tuple[Stored, ...]

    @property
    def size_bytes(self) -> int:
        """The size of all files together."""
        return sum(file.size_bytes for file in self.files)

    @property
    def is_remote(self) -> bool:
        """Whether they lie in a store, so that whoever reads them waits for it."""
        return any(is_remote(file.path) for file in self.files)


def listing(where: str, *, form: str | None = None) -> Listing:
    """Finds the files of a source.

    Args:
        where: A file, a folder, or a pattern with `*`, `?`, `[...]` or `**`.
        form: One of `ENDINGS`, where the names do not say it.

    Raises:
        PathError: there is nothing there.
        InvalidRequestError: the files have several formats, or an unknown one.
    """
    if form is not None and form not in ENDINGS:
        message = f"{form!r} is not a format, expected one of {', '.join(ENDINGS)}"
        raise InvalidRequestError(message)
    stored = sorted(_stored(where), key=lambda each: each.path)
    files = tuple(each for each in stored if form or form_of(each.path))
    if not files:
        raise PathError(f"there are no files of a known format at {where}", hint=_HINT)
    found = {form or form_of(each.path) or "" for each in files}
    if len(found) > 1:
        message = f"{where} holds files of several formats: {', '.join(sorted(found))}"
        raise InvalidRequestError(message, hint="Give a pattern, such as 'folder/*.parquet'.")
    return Listing(found.pop(), files)


def form_of(path: str) -> str | None:
    """The format that the name of a file says; None if it says none."""
    name = path.lower()
    plain = name.removesuffix(COMPRESSED)
    for form, endings in ENDINGS.items():
        if (name if form == "parquet" else plain).endswith(endings):
            return form
    return None


def _stored(where: str) -> Iterator[Stored]:
    if is_remote(where):
        return _remote(where)
    return (_local(path) for path in _paths(where))


def _paths(where: str) -> Iterable[str]:
    if glob.has_magic(where) and not Path(where).exists():
        found = glob.iglob(where, recursive=True)  # noqa: PTH207 - a pattern may be absolute
        return (path for path in found if Path(path).is_file())
    if Path(where).is_dir():
        return _below(Path(where))
    if not Path(where).is_file():
        raise PathError(f"there is nothing at {where}", hint=_HINT)
    return [where]


def _below(folder: Path) -> Iterator[str]:
    for place, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not _is_hidden(name)]
        yield from (str(Path(place, name)) for name in files if not _is_hidden(name))


def _local(path: str) -> Stored:
    about = Path(path).stat()
    return Stored(path, about.st_size, str(about.st_mtime_ns))


def _remote(where: str) -> Iterator[Stored]:
    """The objects at an address, below it, or of a pattern; `*` matches slashes as well."""
    from shoal.source._objects import objects

    magic = glob.has_magic(where)
    start = re.split(r"[*?[]", where, maxsplit=1)[0].rpartition("/")[0] if magic else where
    for path, size_bytes, version in objects(start):
        inside = path[len(start) :].strip("/").split("/")
        if fnmatch.fnmatchcase(path, where) if magic else not any(map(_is_hidden, inside)):
            yield Stored(path, size_bytes, version)


def _is_hidden(name: str) -> bool:
    return name.startswith((".", "_"))


_HINT = "Give a file, a folder or a pattern of .parquet, .csv, .tsv, .jsonl or .ndjson files."
