"""Collects the source of a Python model without importing it.

- The module named, or the whole Python package it lies in, and every module beside it that these
  import are taken along; Settings(source=...) takes a whole directory instead.
- What else is imported belongs to installed distributions: these are the requirements, locked to
  the versions of this environment, unless the caller states them. Locked with hashes, they come
  with all that they require themselves; only that needs uv, and as a rule the network.
- A function that has no module (from a prompt or a notebook, a lambda, an inner function) cannot
  be sealed: there is no source that another process could import.
"""

from __future__ import annotations

import ast
import sys
from dataclasses import dataclass, replace
from importlib import metadata
from importlib.machinery import PathFinder
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import RequirementError, UnsupportedModelError
from shoal.runtime import lock_requirements, locked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

SOURCE_DIRECTORY = "source/"
REQUIREMENTS_FILE = "requirements.txt"

_NO_REQUIREMENT = frozenset({"shoal"})
"""Shoal itself runs the package; its format number says whether it can."""
_SKIPPED = frozenset({"__pycache__", ".git"})


@dataclass(frozen=True)
class Source:
    """The source of a Python model: files by their name in the package, object, requirements."""

    files: dict[str, bytes]
    object: str
    requirements: tuple[str, ...]
    lock: bytes | None = None

    def all_files(self) -> dict[str, bytes]:
        """The files as a package holds them, with the requirements for pip beside the source."""
        text = "".join(f"{requirement}\n" for requirement in self.requirements)
        return {**self.files, REQUIREMENTS_FILE: self.lock or text.encode()}

    def locked(self) -> Source:
        """The same with hashes of all that is required, directly or not.

        Raises:
            RequirementError: uv is not installed, or finds no set of wheels.
        """
        return replace(self, lock=lock_requirements(self.requirements))


def collect(
    model: object,
    *,
    source: Path | None = None,
    requirements: Iterable[str] | None = None,
) -> Source:
    """Collects what a Python model needs.

    Args:
        model: A function, a class, or their name as `module:object`.
        source: A directory to take whole, in which the module lies.
        requirements: Names of distributions, or NAME==VERSION; None finds them by imports.

    Raises:
        UnsupportedModelError: the object has no module whose source can be read.
        RequirementError: a requirement is not installed here, or not in the version stated.
    """
    name = model if isinstance(model, str) else _name(model)
    module, _, attribute = name.partition(":")
    if not attribute:
        message = f"{name!r} does not name an object"
        raise UnsupportedModelError(message, hint="Write module:object.")
    top = module.partition(".")[0]
    root = source or _root(top)
    found = _whole(root) if source else _reachable(root, top)
    files = {f"{SOURCE_DIRECTORY}{path}": data for path, data in found.items()}
    wanted = _imported(found, _top_names(root)) if requirements is None else requirements
    return Source(files, name, tuple(sorted(_lock(each) for each in set(wanted))))


def _name(model: object) -> str:
    module = getattr(model, "__module__", "")
    attribute = getattr(model, "__qualname__", "<instance>")
    if "<" in attribute or not module:
        message = f"{model!r} is not a function or class at the top of a module"
        raise UnsupportedModelError(message, hint="Move it to a module and seal module:object.")
    if module == "__main__":
        module = _main_module(attribute)
    return f"{module}:{attribute}"


def _main_module(attribute: str) -> str:
    file = getattr(sys.modules["__main__"], "__file__", None)
    if file is None:
        message = f"{attribute} was defined at a prompt and has no source file"
        raise UnsupportedModelError(message, hint="Move it to a module and seal module:object.")
    return Path(file).stem


def _root(top: str) -> Path:
    """The directory in which a module or package is found; it is not imported."""
    main = getattr(sys.modules.get("__main__"), "__file__", None)
    beside_main = [str(Path(main).resolve().parent)] if main else []
    spec = PathFinder.find_spec(top, [str(Path.cwd()), *beside_main, *sys.path])
    if spec is None or spec.origin is None or not spec.origin.endswith(".py"):
        message = f"the module {top!r} has no Python source here"
        hint = "Run from the directory in which the module lies, or install it."
        raise UnsupportedModelError(message, hint=hint)
    origin = Path(spec.origin)
    return origin.parent.parent if spec.submodule_search_locations else origin.parent


def _whole(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not _SKIPPED.intersection(path.relative_to(root).parts)
    }


def _reachable(root: Path, top: str) -> dict[str, bytes]:
    """The module or package `top`, and all that it imports from the same directory."""
    found: dict[str, bytes] = {}
    waiting, seen, own = [top], {top}, _top_names(root)
    while waiting:
        files = _module_files(root, waiting.pop())
        found.update(files)
        for name in _imports(files):
            if name in own and name not in seen:
                seen.add(name)
                waiting.append(name)
    return found


def _module_files(root: Path, top: str) -> dict[str, bytes]:
    package = root / top
    files = sorted(package.rglob("*.py")) if package.is_dir() else [root / f"{top}.py"]
    return {
        str(path.relative_to(root)): path.read_bytes()
        for path in files
        if not _SKIPPED.intersection(path.relative_to(root).parts)
    }


def _top_names(root: Path) -> frozenset[str]:
    """The modules and packages of a directory; those of site-packages are distributions."""
    if root.name in {"site-packages", "dist-packages"}:
        return frozenset()
    packages = {init.parent.name for init in root.glob("*/__init__.py")}
    return frozenset({path.stem for path in root.glob("*.py")} | packages)


def _imported(files: dict[str, bytes], own: frozenset[str]) -> list[str]:
    distributions = metadata.packages_distributions()
    outside = {name for name in _imports(files) if name not in own | sys.stdlib_module_names}
    owners = {owner for name in outside for owner in distributions.get(name, [name])}
    return sorted(owners - _NO_REQUIREMENT)


def _imports(files: dict[str, bytes]) -> Iterator[str]:
    """The top names of all modules that some source imports by its import statements."""
    for path, data in files.items():
        if not path.endswith(".py"):
            continue
        try:
            tree = ast.parse(data)
        except (SyntaxError, ValueError) as error:
            message = f"{path} is not Python: {error}"
            raise UnsupportedModelError(message) from error
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                yield from (alias.name.partition(".")[0] for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                yield node.module.partition(".")[0]


def _lock(requirement: str) -> str:
    if "==" in requirement:
        name, version = locked(requirement)
        return f"{name}=={version}"
    try:
        return f"{requirement}=={metadata.version(requirement)}"
    except metadata.PackageNotFoundError as error:
        message = f"the requirement {requirement!r} is not installed, so it cannot be locked"
        raise RequirementError(message, hint=f"pip install {requirement}") from error
