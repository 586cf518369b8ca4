"""The names a package may have: of itself, of its version, of its files.

- A name is one path component of a repository, a version is a tag, by the grammar of OCI
  registries, so that every package can be pushed under its own name.
- `VERSION-modelpack` is the tag of the second manifest: no version may end so.
- A file's path has plain components only; nothing a shell, a URL or Windows would read otherwise.

Source: OCI distribution specification 1.1, "Pulling manifests" (name and tag).
"""

from __future__ import annotations

import re

from shoal.errors import InvalidRequestError, UnsupportedModelError

MODELPACK_SUFFIX = "-modelpack"
# What a package says instead of a runtime if it holds no model, but records.
DATASET = "dataset"

_NAME = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_NAME_LIMIT = 128
_VERSION = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,116}")
_FILE = re.compile(r"(?!\.{1,2}(?:/|$))[A-Za-z0-9._+-]{1,100}")
_KIND = re.compile(r"[a-z][a-z0-9-]{0,62}")


def is_name(name: str) -> bool:
    """Whether a package may be called so."""
    return len(name) <= _NAME_LIMIT and _NAME.fullmatch(name) is not None


def is_version(version: str) -> bool:
    """Whether a version may be called so."""
    return _VERSION.fullmatch(version) is not None and not version.endswith(MODELPACK_SUFFIX)


def is_file(path: str) -> bool:
    """Whether a file of a package may have this path, relative to the package."""
    return all(_FILE.fullmatch(part) for part in path.split("/"))


def is_attached(name: str) -> bool:
    """Whether a file that an attestation brings along may be called so: a plain name, no path."""
    return _FILE.fullmatch(name) is not None


def is_kind(kind: str) -> bool:
    """Whether a kind of attestation may be called so."""
    return _KIND.fullmatch(kind) is not None


def check_names(name: str, version: str) -> None:
    """Refuses a name or a version that a registry would refuse.

    Raises:
        InvalidRequestError: naming the value and the rule.
    """
    if not is_name(name):
        message = f"{name!r} cannot name a package"
        hint = "Use small letters and digits, with single . _ or - between them: digits-mlp."
        raise InvalidRequestError(message, hint=hint)
    if not is_version(version):
        message = f"{version!r} cannot be a version"
        hint = f"Use letters, digits, . _ or -, at most 117, not ending in {MODELPACK_SUFFIX}: 1.2."
        raise InvalidRequestError(message, hint=hint)


def check_files(paths: list[str]) -> None:
    """Refuses file names that a package cannot hold.

    Raises:
        UnsupportedModelError: naming the first such path.
    """
    for path in paths:
        if not is_file(path):
            message = f"a package cannot hold a file called {path!r}"
            raise UnsupportedModelError(message, hint="Use letters, digits, . _ + and - only.")


def directory(name: str, version: str, runtime: str = "") -> str:
    """Where the files of a package lie in its image: `models/NAME/NUMBER`, or `datasets/...`.

    NUMBER is the version where it is a positive integer, else 1: Triton and OpenVINO Model Server
    read `models` as a model repository and accept integer versions only.
    """
    is_number = version.isascii() and version.isdigit() and not version.startswith("0")
    top = "datasets" if runtime == DATASET else "models"
    return f"{top}/{name}/{version if is_number else '1'}"
