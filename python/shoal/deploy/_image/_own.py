"""Shoal itself as files: from a wheel, or from the installation that is running.

- Both give the same files for the same version: its modules, the native core, its metadata and
  licence; no compiled modules, no note of where it was installed or built.
- A wheel is read like any file from elsewhere: paths that lead out, links, a path twice, a file
  that its RECORD does not confirm, and more bytes than are stated are refused.
- Which platform it is for says the native core itself.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import io
import stat
import zipfile
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path, PurePosixPath

import shoal
from shoal.deploy._image._layer import Entry
from shoal.deploy._image._platforms import Platform, glibc_needed, platform_of
from shoal.errors import CorruptPackageError, PathError, RequirementError

NATIVE = "shoal/_native.abi3.so"

_LIMIT_BYTES = 1024**3
_FILES_LIMIT = 20_000


@dataclass(frozen=True)
class Shoal:
    """Shoal for one platform.

    Attributes:
        version: Its version.
        platform: What it is for.
        glibc: The version of glibc that its native core needs.
        files: Its files, by path in the folder of libraries.
    """

    version: str
    platform: Platform
    glibc: tuple[int, int]
    files: dict[str, bytes]

    def entries(self) -> dict[str, Entry]:
        """The files of a layer."""
        return {path: Entry(data) for path, data in self.files.items()}


def from_installation() -> Shoal:
    """The Shoal that is running.

    Raises:
        RequirementError: its files do not lie open in a folder.
    """
    top = Path(shoal.__file__).parent
    found = {f"shoal/{path}": (top / path).read_bytes() for path in _modules(top)}
    if NATIVE not in found:
        message = f"the installation in {top.parent} has no {NATIVE}"
        raise RequirementError(message, hint="Give a wheel of Shoal: --wheel FILE")
    distribution = metadata.distribution("shoal")
    return _shoal(found, distribution.read_text("METADATA") or "", _licence(distribution))


def from_wheel(path: Path) -> Shoal:
    """The Shoal in a wheel.

    Raises:
        PathError: there is no file at the path.
        CorruptPackageError: it is no wheel of Shoal.
    """
    if not path.is_file():
        message = f"there is no wheel at {path}"
        raise PathError(message)
    try:
        found = _unzipped(path)
    except (zipfile.BadZipFile, EOFError, OSError, RuntimeError) as error:
        message = f"{path.name} cannot be read as a wheel: {error}"
        raise CorruptPackageError(message) from error
    information = next((name for name in found if name.endswith(".dist-info/METADATA")), "")
    if NATIVE not in found or not information.startswith("shoal-"):
        message = f"{path.name} is no wheel of Shoal: it has no {NATIVE} or no metadata"
        raise CorruptPackageError(message)
    top = PurePosixPath(information).parent
    licence = found.get(str(top / "licenses" / "LICENSE"), b"")
    modules = {name: data for name, data in found.items() if _is_module(PurePosixPath(name))}
    return _shoal(modules, found[information].decode(errors="replace"), licence)


def _modules(top: Path) -> list[str]:
    return sorted(
        path.relative_to(top).as_posix()
        for path in top.rglob("*")
        if path.is_file() and _is_module(PurePosixPath("shoal", path.relative_to(top).as_posix()))
    )


def _is_module(path: PurePosixPath) -> bool:
    """Whether a file is one that an installation from a wheel would import or read."""
    if path.parts[0] == "shoal.libs":
        return True
    is_hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    is_other_core = path.suffix in {".so", ".pyd", ".dylib", ".pyc"} and str(path) != NATIVE
    return path.parts[0] == "shoal" and not is_hidden and not is_other_core


def _licence(distribution: metadata.Distribution) -> bytes:
    for name in ("licenses/LICENSE", "LICENSE"):
        if text := distribution.read_text(name):
            return text.encode()
    return b""


def _shoal(modules: dict[str, bytes], information: str, licence: bytes) -> Shoal:
    version = _version(information)
    top = f"shoal-{version}.dist-info"
    core = modules[NATIVE]
    # An installation from a source tree is read as text, a wheel as bytes: line ends must not tell.
    text = "\n".join(information.splitlines()).rstrip("\n") + "\n"
    described = {f"{top}/METADATA": text.encode()}
    if licence:
        described[f"{top}/licenses/LICENSE"] = licence
    return Shoal(version, platform_of(core, NATIVE), glibc_needed(core), {**modules, **described})


def _version(information: str) -> str:
    for line in information.splitlines():
        if line.startswith("Version: "):
            return line.removeprefix("Version: ").strip()
        if not line:
            break
    message = "the metadata of Shoal states no version"
    raise CorruptPackageError(message)


def _unzipped(path: Path) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    left = _LIMIT_BYTES
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if len(members) > _FILES_LIMIT:
            message = f"{path.name} holds {len(members)} files, at most {_FILES_LIMIT} are read"
            raise CorruptPackageError(message)
        for member in members:
            if not member.is_dir():
                _check_member(path.name, member, found)
                found[member.filename] = _content(archive, member, left)
                left -= len(found[member.filename])
    _check_record(path.name, found)
    return found


def _check_member(wheel: str, member: zipfile.ZipInfo, found: dict[str, bytes]) -> None:
    name = member.filename
    parts = name.split("/")
    if name.startswith("/") or "\\" in name or {"", ".", ".."}.intersection(parts):
        message = f"{wheel} holds a path that leads out of it: {name!r}"
        raise CorruptPackageError(message)
    if stat.S_ISLNK(member.external_attr >> 16):
        message = f"{wheel} holds the link {name}"
        raise CorruptPackageError(message)
    if name in found:
        message = f"{wheel} holds {name} twice"
        raise CorruptPackageError(message)


def _content(archive: zipfile.ZipFile, member: zipfile.ZipInfo, limit_bytes: int) -> bytes:
    with archive.open(member) as file:
        data = file.read(limit_bytes + 1)
    if len(data) > limit_bytes:
        message = f"a wheel unpacks to more than {_LIMIT_BYTES} bytes, the most that are read"
        raise CorruptPackageError(message)
    return data


def _check_record(wheel: str, found: dict[str, bytes]) -> None:
    """Refuses files that the wheel's own list does not confirm."""
    record = next((name for name in found if name.endswith(".dist-info/RECORD")), None)
    if record is None:
        message = f"{wheel} has no RECORD"
        raise CorruptPackageError(message)
    rows = csv.reader(io.StringIO(found[record].decode(errors="replace")))
    hashes = {row[0]: row[1] for row in rows if len(row) > 1}
    for name, data in found.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).rstrip(b"=").decode()
        if name != record and hashes.get(name) != f"sha256={digest}":
            message = f"{wheel} holds {name}, which its RECORD does not confirm"
            raise CorruptPackageError(message)
