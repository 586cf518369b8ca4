"""A root file system, such as mmdebstrap makes, becomes a base: one layer, one image, one layout.

- The layer is the tar as it is, unpacked if it was compressed with gzip: a maker that gives the
  same bytes gives the same base.
- It is read as every base is, so a file system on which Shoal cannot run is refused here.
"""

from __future__ import annotations

import gzip
import tempfile
import zlib
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from shoal.deploy._image._base import UNPACKED_LIMIT_BYTES, take_base
from shoal.deploy._image._documents import (
    MANIFEST,
    PATH_DEFAULT,
    TAR,
    Blob,
    Json,
    digest_of,
    image_manifest,
    layout_index,
)
from shoal.deploy._image._layout import FoundImage, digest_of_file, written_to
from shoal.deploy._image._platforms import read_platforms
from shoal.deploy._image._result import ImageBase
from shoal.errors import CorruptPackageError, PathError
from shoal.runtime import canonical_json

if TYPE_CHECKING:
    from os import PathLike

    from shoal.deploy._image._layout import Writer
    from shoal.deploy._image._platforms import Platform

_GZIP = b"\x1f\x8b"
_CHUNK_BYTES = 1024 * 1024


def make_base(
    rootfs: str | PathLike[str], output: str | PathLike[str], *, platform: str | None = None
) -> ImageBase:
    """Makes a base for images from the tar of a root file system.

    Args:
        rootfs: The tar, or the tar compressed with gzip.
        output: The folder to make: an OCI image layout.
        platform: What it is for, such as linux/amd64; None is this machine's.

    Raises:
        PathError: there is no tar.
        ConfigurationError: Shoal does not run on it, or the platform is none.
        CorruptPackageError: it is no tar.
        StorageError: the folder holds something, or cannot be written.
    """
    source, target = Path(rootfs), Path(output)
    if not source.is_file():
        message = f"there is no file at {source}"
        raise PathError(message)
    wanted = read_platforms([platform] if platform else [])[0]
    with (
        written_to(target) as writer,
        tempfile.TemporaryDirectory(dir=target.parent, prefix=".base-") as work,
    ):
        return _made(_unpacked(source, Path(work)), wanted, writer, target)


def _made(tar: Path, platform: Platform, writer: Writer, target: Path) -> ImageBase:
    layer = Blob(TAR, digest_of_file(tar), tar.stat().st_size)
    config = _config(layer, platform)
    text = canonical_json(config)
    manifest = image_manifest([layer], text, {})
    writer.add(text)
    writer.add(manifest)
    writer.copy(tar, layer)
    base = take_base(FoundImage(writer.root, digest_of(manifest), config, (layer,)), "", writer)
    writer.finish(layout_index(MANIFEST, manifest, None))
    return ImageBase(
        output=str(target),
        digest=base.digest,
        platform=platform.name,
        unpacked_bytes=base.unpacked_bytes,
        python=base.interpreter.name,
    )


def _config(layer: Blob, platform: Platform) -> Json:
    return {
        "architecture": platform.architecture,
        "os": "linux",
        "config": {"Env": [f"PATH={PATH_DEFAULT}"]},
        "rootfs": {"type": "layers", "diff_ids": [layer.digest]},
    }


def _unpacked(source: Path, work: Path) -> Path:
    """The tar itself, or one that is unpacked beside the output."""
    with source.open("rb") as file:
        is_gzip = file.read(len(_GZIP)) == _GZIP
    if not is_gzip:
        return source
    target = work / "rootfs.tar"
    try:
        with gzip.open(source) as packed, target.open("xb") as file:
            _copy(packed, file)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        message = f"{source} cannot be unpacked: {error}"
        raise CorruptPackageError(message) from error
    return target


def _copy(packed: gzip.GzipFile, file: BinaryIO) -> None:
    size_bytes = 0
    while piece := packed.read(_CHUNK_BYTES):
        size_bytes += len(piece)
        if size_bytes > UNPACKED_LIMIT_BYTES:
            message = f"the file system unpacks to more than {UNPACKED_LIMIT_BYTES} bytes"
            raise CorruptPackageError(message)
        file.write(piece)
