"""The base of an image: its layers, verified, and what lies in them.

- A base is an OCI image layout in a folder, or an image in a registry named by its digest; a tag is
  refused, since it names another base tomorrow.
- Every layer has the digest that its manifest states, and unpacked the one that the configuration
  states. Layers are uncompressed, gzip or zstd.
- Nothing of the base is unpacked to disk, and nothing of it is run.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass, replace
from typing import IO, TYPE_CHECKING, cast

from shoal.deploy._image._documents import TAR, Blob, Json, search_path
from shoal.deploy._image._interpreter import (
    GLIBC_FILE,
    Interpreter,
    find_interpreter,
    glibc_of,
)
from shoal.deploy._image._layout import blob_path
from shoal.deploy._image._tree import Tree
from shoal.errors import ConfigurationError, CorruptPackageError

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.deploy._image._layout import FoundImage, Writer

UNPACKED_LIMIT_BYTES = 16 * 1024**3
LAYERS_LIMIT = 100

_GLIBC_LIMIT_BYTES = 16 * 1024**2
_CHUNK_BYTES = 1024 * 1024
_KINDS = {
    TAR: TAR,
    f"{TAR}+gzip": f"{TAR}+gzip",
    f"{TAR}+zstd": f"{TAR}+zstd",
    "application/vnd.docker.image.rootfs.diff.tar": TAR,
    "application/vnd.docker.image.rootfs.diff.tar.gzip": f"{TAR}+gzip",
    "application/vnd.docker.image.rootfs.diff.tar.zstd": f"{TAR}+zstd",
}


@dataclass(frozen=True)
class Base:
    """A base that an image can stand on.

    Attributes:
        digest: The digest of its manifest.
        name: What it is called in its registry; "" for one in a folder.
        config: Its configuration.
        layers: Its layers.
        interpreter: Its Python.
        unpacked_bytes: The size of the files in its layers.
    """

    digest: str
    name: str
    config: Json
    layers: tuple[Blob, ...]
    interpreter: Interpreter
    unpacked_bytes: int


def take_base(found: FoundImage, name: str, writer: Writer) -> Base:
    """Copies the layers of a base into a layout, and reads what they hold.

    Raises:
        ConfigurationError: Shoal does not run on it.
        CorruptPackageError: a layer is not what its digests say.
    """
    layers = tuple(_supported(each) for each in found.layers)
    if len(layers) > LAYERS_LIMIT:
        message = f"the base has {len(layers)} layers, at most {LAYERS_LIMIT} can be built on"
        raise ConfigurationError(message)
    contents = _Contents()
    for layer, diff_id in zip(layers, found.diff_ids, strict=True):
        writer.copy(blob_path(found.root, layer.digest), layer)
        contents.read(blob_path(writer.root, layer.digest), layer, diff_id)
    for folder in ("opt", "models", "tmp"):
        if contents.tree.is_link(folder):
            message = f"the base has a link at /{folder}, where an image of Shoal has a folder"
            raise ConfigurationError(message)
    if contents.tree.holds("opt/shoal"):
        message = "the base has a folder /opt/shoal, where an image of Shoal has its own files"
        raise ConfigurationError(message, hint="Build on what that image was built on.")
    return Base(
        digest=found.digest,
        name=name,
        config=found.config,
        layers=layers,
        interpreter=contents.interpreter(search_path(found.config)),
        unpacked_bytes=contents.unpacked_bytes,
    )


def _supported(layer: Blob) -> Blob:
    if layer.media_type not in _KINDS:
        message = f"the base has a layer of {layer.media_type}, expected tar, gzip or zstd"
        hint = "skopeo copy --dest-compress-format gzip makes one of gzip."
        raise ConfigurationError(message, hint=hint)
    return replace(layer, media_type=_KINDS[layer.media_type])


class _Contents:
    """What is known of the files of a base, a layer at a time."""

    def __init__(self) -> None:
        self.tree = Tree()
        self.unpacked_bytes = 0
        self._glibcs: dict[str, tuple[int, int] | None] = {}

    def read(self, path: Path, layer: Blob, diff_id: str) -> None:
        """Reads a layer; what it is compressed from has the digest `diff_id`."""
        self.tree.begin_layer()
        try:
            with path.open("rb") as file:
                plain = _Unpacked(file, layer.media_type)
                with tarfile.open(fileobj=cast("IO[bytes]", plain), mode="r|") as tar:
                    for member in tar:
                        self._add(tar, member)
                plain.drain()
        except (tarfile.TarError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            message = f"the layer {layer.digest} of the base cannot be read: {error}"
            raise CorruptPackageError(message) from error
        if plain.digest != diff_id:
            message = f"the layer {layer.digest} of the base holds {plain.digest}, not {diff_id}"
            raise CorruptPackageError(message)

    def interpreter(self, search_path: str) -> Interpreter:
        """The Python of the base."""
        glibcs = (self._glibcs[path] for path in self._glibcs if path in self.tree)
        known = [each for each in glibcs if each is not None]
        return find_interpreter(self.tree, search_path, max(known, default=None))

    def _add(self, tar: tarfile.TarFile, member: tarfile.TarInfo) -> None:
        place = self.tree.add(member.name, member.linkname if member.issym() else None)
        if place is None or not member.isreg():
            return
        self.unpacked_bytes += member.size
        if self.unpacked_bytes > UNPACKED_LIMIT_BYTES:
            message = f"the base unpacks to more than {UNPACKED_LIMIT_BYTES} bytes"
            raise CorruptPackageError(message)
        if place.endswith(f"/{GLIBC_FILE}") and (file := tar.extractfile(member)):
            self._glibcs[place] = glibc_of(file.read(_GLIBC_LIMIT_BYTES))


class _Unpacked(io.RawIOBase):
    """A layer, uncompressed, that knows the digest of what was read of it."""

    def __init__(self, file: IO[bytes], media_type: str) -> None:
        super().__init__()
        self._file = _decompressed(file, media_type)
        self._hasher = hashlib.sha256()

    @property
    def digest(self) -> str:
        """The digest of everything so far."""
        return f"sha256:{self._hasher.hexdigest()}"

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes."""
        try:
            data = self._file.read(size)
        except OSError as error:
            if error.errno is not None:  # of the system; else the bytes are none of the kind
                raise
            raise tarfile.ReadError(str(error)) from error
        self._hasher.update(data)
        return data

    def drain(self) -> None:
        """Reads what comes after the end of the tar."""
        while self.read(_CHUNK_BYTES):
            pass


def _decompressed(file: IO[bytes], media_type: str) -> IO[bytes]:
    if media_type.endswith("+gzip"):
        return cast("IO[bytes]", gzip.GzipFile(fileobj=file))
    if not media_type.endswith("+zstd"):
        return file
    import pyarrow as pa

    stream: IO[bytes] = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
    return stream
