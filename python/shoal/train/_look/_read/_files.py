"""Files as a dataset, in a temporary folder, while they are looked at.

- A folder that `collect` has made, or a package that holds a dataset, is opened where it lies.
- Other files are collected first, so that they may be larger than memory.
- A column of CSV that mixes kinds, which `collect` refuses, is what a look is there to find: it is
  text then, and all values of all other columns are read with the one kind that fits them.
"""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from shoal.errors import DtypeError
from shoal.source import Files, listing
from shoal.train._collect import _kinds
from shoal.train._collect._collect import collect
from shoal.train._collect._dataset import DATASET, Dataset, open_dataset
from shoal.train._collect._files_reader import WITHOUT_TYPES, FilesReader
from shoal.train._collect._inputs import Input

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.train._collect._kinds import Kind

PACKAGE: Final = "oci-layout"
TRIED: Final[tuple[Kind, ...]] = ("integer", "float", "boolean", "date", "datetime")


@contextmanager
def read(path: str | os.PathLike[str]) -> Iterator[Dataset]:
    """Opens a dataset, or files as one.

    Raises:
        PathError: there is nothing at the path.
        InputError: records cannot be brought into columns of one kind each.
        SourceError: files cannot be read, or hold no records.
        CorruptPackageError: a dataset is not as it was.
    """
    where = os.fspath(path)
    place = Path(where)
    if (place / DATASET).exists() or (place / PACKAGE).exists():
        yield open_dataset(place)
        return
    with tempfile.TemporaryDirectory(prefix="shoal-look-") as folder:
        yield _collected(where, Path(folder))


def _collected(where: str, folder: Path) -> Dataset:
    try:
        return collect(Input(where), folder / "first")
    except DtypeError:
        if listing(where).format not in WITHOUT_TYPES:
            raise
    return collect(Input(where, types=_fitting(where)), folder / "again")


def _fitting(where: str) -> dict[str, Kind]:
    """The one kind that fits all values of each column; text, where no other one does."""
    names = Files(listing(where)).schema.names
    candidates = {name: list(TRIED) for name in names}
    reader = FilesReader(Input(where, types=dict.fromkeys(names, "text")))
    for _place, batch in reader.batches():
        for name in batch.schema.names:
            candidates[name] = [k for k in candidates[name] if _fits(batch.column(name), k)]
    return {name: (kinds or ["text"])[0] for name, kinds in candidates.items()}


def _fits(values: pa.Array, kind: Kind) -> bool:
    with suppress(pa.ArrowException):
        _kinds.converted(values, _kinds.STORED[kind])
        return True
    return False
