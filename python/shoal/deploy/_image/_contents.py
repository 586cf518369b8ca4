"""The layers over the base: libraries, Shoal, and the package.

- Libraries come in one layer, or in two for a Python package: Shoal's, and the package's.
- Shoal is a layer of its own, so that another version of it leaves the libraries' as they are; it
  holds the program and the folder that a server may write to.
- A package's layers are its own blobs. One of very many files is one layer instead, since engines
  stack about a hundred layers.
"""

from __future__ import annotations

import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.deploy._image._cache import kept_layer
from shoal.deploy._image._documents import CACHE, LIBRARIES, PROGRAM, TAR, Blob
from shoal.deploy._image._layer import Entry, Written, write_layer
from shoal.deploy._image._layout import blob_path, find_image
from shoal.deploy._image._platforms import PLATFORMS
from shoal.deploy._image._requirements import read_lock, serving, together
from shoal.deploy._image._wheels import Wheel, choose_wheels, install_wheels, installed_files
from shoal.errors import RequirementError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoal.deploy._image._interpreter import Interpreter
    from shoal.deploy._image._layout import Writer
    from shoal.deploy._image._own import Shoal
    from shoal.deploy._image._platforms import Platform
    from shoal.deploy._image._requirements import Locked
    from shoal.package import Package

PACKAGE_LAYERS_LIMIT = 20

_RECIPE = 1  # raised whenever the same wheels give a layer of other bytes
_REQUIREMENTS_FILE = "requirements.txt"


@dataclass(frozen=True)
class Libraries:
    """What is to be installed: Shoal's own set, and what a package's lock lists."""

    own: tuple[Locked, ...]
    package: tuple[Locked, ...]


@dataclass(frozen=True)
class Added:
    """Layers that were added to an image, and the wheels in them."""

    layers: tuple[Blob, ...]
    unpacked_bytes: int
    wheels: tuple[Wheel, ...] = ()

    def __add__(self, other: Added) -> Added:
        return Added(
            self.layers + other.layers,
            self.unpacked_bytes + other.unpacked_bytes,
            self.wheels + other.wheels,
        )


def libraries_of(package: Package | None) -> Libraries:
    """What a server of a package needs; of none, a server of ONNX packages.

    Raises:
        RequirementError: it is a Python package without a lock.
    """
    if package is None or package.description.runtime == "onnx":
        return Libraries(serving("onnx"), ())
    text = package.read(_REQUIREMENTS_FILE).decode(errors="replace")
    if text.strip() and "--hash=" not in text:
        message = f"the package {package.name} {package.version} has no lock with hashes"
        hint = "Seal it with one: shoal package build --lock, or Settings(lock=True)."
        raise RequirementError(message, hint=hint)
    lock = read_lock(text, f"the lock of {package.name} {package.version}")
    return Libraries(together(serving("python"), lock), lock)


def add_libraries(
    libraries: Libraries, platform: Platform, interpreter: Interpreter, writer: Writer
) -> Added:
    """Adds the layers of libraries, out of the cache where they were made before."""
    added = Added((), 0)
    for locked, is_own in ((libraries.own, True), (libraries.package, False)):
        if locked:
            kept = kept_layer(
                _made_from(locked, platform, interpreter, is_own=is_own),
                _Installation(locked, platform, interpreter, is_own=is_own).make,
            )
            note = "the libraries of Shoal" if is_own else "the libraries of the package"
            layer = _layer(kept.written, note)
            writer.copy(kept.path, layer)
            wheels = tuple(Wheel(**each) for each in kept.facts)
            added += Added((layer,), kept.written.unpacked_bytes, wheels)
    return added


def add_shoal(shoal: Shoal, interpreter: Interpreter, writer: Writer) -> Added:
    """Adds the layer of Shoal and its program."""
    program = _program(interpreter).encode()
    files = {PROGRAM.lstrip("/"): Entry(program, is_program=True)}
    files |= _in_libraries(shoal.entries())
    return _written(files, f"shoal {shoal.version}", writer, open_folders=[CACHE.lstrip("/")])


def add_package(package: Package, writer: Writer) -> Added:
    """Adds the layers of a package."""
    sizes_bytes = package.sizes_bytes()
    is_layout = (package.path / "index.json").exists()
    if len(sizes_bytes) > PACKAGE_LAYERS_LIMIT or not is_layout:
        return _in_one_layer(package, writer)
    # What a package's image is for stands in its configuration; its files run nowhere.
    found = find_image(package.path, PLATFORMS[0], package.digest)
    note = f"{package.name} {package.version}"
    layers = tuple(Blob(TAR, each.digest, each.size_bytes, note) for each in found.layers)
    for layer in layers:
        writer.copy(blob_path(package.path, layer.digest), layer)
    return Added(layers, sum(sizes_bytes.values()))


class _Installation:
    """How a layer of libraries is made."""

    def __init__(
        self,
        locked: tuple[Locked, ...],
        platform: Platform,
        interpreter: Interpreter,
        *,
        is_own: bool,
    ) -> None:
        self._locked = locked
        self._platform = platform
        self._interpreter = interpreter
        self._is_own = is_own

    def make(self, target: Path, work: Path) -> tuple[Written, Any]:
        wheels = choose_wheels(self._locked, self._platform, self._interpreter)
        folder = work / "libraries"
        folder.mkdir()
        install_wheels(wheels, self._platform, self._interpreter, folder)
        files = installed_files(folder, is_own=self._is_own)
        return write_layer(target, _in_libraries(files)), [asdict(each) for each in wheels]


def _made_from(
    locked: Sequence[Locked], platform: Platform, interpreter: Interpreter, *, is_own: bool
) -> dict[str, object]:
    return {
        "recipe": _RECIPE,
        "platform": platform.wheels,
        "python": interpreter.name,
        "own": is_own,
        "locked": [[each.line(), *sorted(each.hashes)] for each in locked],
    }


def _program(interpreter: Interpreter) -> str:
    """The program: isolated from whatever the environment or the base would add to Python."""
    return (
        f"#!{interpreter.path} -IB\n"
        "import sys\n\n"
        f'sys.path.insert(0, "{LIBRARIES}")\n\n'
        "from shoal.cli import main\n\n"
        "main()\n"
    )


def _in_libraries(files: Mapping[str, Entry]) -> dict[str, Entry]:
    return {f"{LIBRARIES.lstrip('/')}/{path}": entry for path, entry in files.items()}


def _in_one_layer(package: Package, writer: Writer) -> Added:
    with tempfile.TemporaryDirectory(dir=writer.root.parent, prefix=".package-") as work:
        folder = Path(work, "files")
        package.unpack(folder)
        top = package.image_directory
        files = {f"{top}/{name}": Entry(folder / name) for name in package.files()}
        return _written(files, f"{package.name} {package.version}", writer)


def _written(
    files: Mapping[str, Entry], note: str, writer: Writer, *, open_folders: Sequence[str] = ()
) -> Added:
    with tempfile.TemporaryDirectory(dir=writer.root.parent, prefix=".layer-") as work:
        path = Path(work, "layer.tar")
        written = write_layer(path, files, open_folders=open_folders)
        layer = _layer(written, note)
        writer.copy(path, layer)
    return Added((layer,), written.unpacked_bytes)


def _layer(written: Written, note: str) -> Blob:
    return Blob(TAR, written.digest, written.size_bytes, note)
