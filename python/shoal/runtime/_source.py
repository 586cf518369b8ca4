"""Imports the Python source of a package under a name of its own.

- Two packages may hold a module of the same name: each sees its own, and neither is seen by the
  process. `import sibling` inside a package means the package's sibling.
- Nothing of the source is found on `sys.path`, and no bytecode is written beside it.
- What reaches modules by other means than the import statement (`importlib.import_module("x")`)
  sees the process's modules, not the package's.
"""

from __future__ import annotations

import builtins
import importlib
import itertools
import sys
from importlib.machinery import FileFinder, ModuleSpec, SourceFileLoader
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

_numbers = itertools.count(1)


def import_object(source: Path, name: str) -> object:
    """The object `module:attribute` of the source in a directory, freshly imported.

    Raises:
        ImportError: there is no such module in the source.
        AttributeError: the module has no such attribute.
        Exception: whatever the module raises while it is imported.
    """
    module, _, attributes = name.partition(":")
    prefix = f"shoal_package_{next(_numbers)}"
    finder = _SealedFinder(prefix, source)
    sys.modules[prefix] = _root(prefix, source)
    sys.meta_path.insert(0, finder)
    found: Any = importlib.import_module(f"{prefix}.{module}")
    for attribute in attributes.split("."):
        found = getattr(found, attribute)
    return found


def _root(prefix: str, source: Path) -> ModuleType:
    root = ModuleType(prefix, "The source of one opened package.")
    root.__path__ = [str(source)]
    return root


class _SealedFinder:
    """Finds modules below one prefix, in the source of one package."""

    def __init__(self, prefix: str, source: Path) -> None:
        self._prefix = prefix
        self._own = _top_names(source)

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The specification of a module of this package; None for every other."""
        if not name.startswith(f"{self._prefix}.") or path is None:
            return None
        for directory in path:
            # A loader made with arguments is a factory, which the type of FileFinder leaves out.
            loader: Any = self._loader
            finder = FileFinder(directory, (loader, [".py"]))
            if spec := finder.find_spec(name, target):
                return spec
        return None

    def _loader(self, name: str, path: str) -> SourceFileLoader:
        return _SealedLoader(name, path, _importing(self._prefix, self._own))


class _SealedLoader(SourceFileLoader):
    """Runs a module whose import statements look into the package first."""

    def __init__(self, name: str, path: str, own_builtins: Mapping[str, Any]) -> None:
        super().__init__(name, path)
        self._builtins = own_builtins

    def exec_module(self, module: ModuleType) -> None:
        module.__dict__["__builtins__"] = dict(self._builtins)
        super().exec_module(module)

    def set_data(self, path: str, data: Any, **_: Any) -> None:
        """Writes no bytecode."""


def _top_names(source: Path) -> frozenset[str]:
    return frozenset(
        entry.stem for entry in source.iterdir() if entry.is_dir() or entry.suffix == ".py"
    )


def _importing(prefix: str, own: frozenset[str]) -> dict[str, Any]:
    """Python's built-ins with an `__import__` that finds the package's own modules first."""
    original = builtins.__import__

    def import_module(  # the signature of __import__
        name: str,
        globals: Mapping[str, object] | None = None,  # noqa: A002
        locals: Mapping[str, object] | None = None,  # noqa: A002
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        top = name.partition(".")[0]
        if level or top not in own:
            return original(name, globals, locals, fromlist or (), level)
        found = original(f"{prefix}.{name}", globals, locals, fromlist or (), 0)
        return found if fromlist else sys.modules[f"{prefix}.{top}"]

    return {**vars(builtins), "__import__": import_module}
