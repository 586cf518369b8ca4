"""Naming a function so that another process finds it: `module:object`, or `file.py:object`."""

from __future__ import annotations

import importlib
import runpy
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Callable

# The name under which a worker runs a script for its functions: `if __name__ == "__main__"` is
# false there, so the script's own work is not done again.
SCRIPT_NAME = "__shoal_worker__"


def path_of(function: str | Callable[..., object]) -> str:
    """Gives the path under which another process finds a function.

    Raises:
        InvalidRequestError: It has none: a lambda, a closure, a method, or typed at a prompt.
    """
    if isinstance(function, str):
        return function
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", "")
    if not module or not name or "<" in name:
        raise _not_importable(name or type(function).__name__)
    path = f"{module}:{name}"
    if module == "__main__":
        script = getattr(sys.modules["__main__"], "__file__", None)
        if script is None:
            raise _not_importable(name)
        return f"{Path(script).resolve()}:{name}"
    try:
        found = find(path)
    except InvalidRequestError as cause:
        raise _not_importable(name) from cause
    if found is not function:
        raise _not_importable(name)
    return path


def find(path: str) -> Callable[..., Any]:
    """Gives the function of a path.

    Raises:
        InvalidRequestError: There is none, or it is no function.
    """
    place, _, name = path.rpartition(":")
    if not place or not name:
        raise InvalidRequestError(
            f"{path!r} names no function", hint="write it as package.module:function"
        )
    try:
        found = _namespace(place)
        for part in name.split("."):
            found = found[part] if isinstance(found, dict) else getattr(found, part)
    except (ImportError, AttributeError, KeyError, OSError) as cause:
        raise InvalidRequestError(
            f"function {path!r} was not found: {type(cause).__name__}: {cause}",
            hint="is its module on the path, and the function at the top of the module?",
        ) from cause
    if not callable(found):
        raise InvalidRequestError(f"{path!r} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]  # whatever the module holds there


def check_is_not_worker_script() -> None:
    """Refuses to start workers while a script is only run for its functions.

    Raises:
        InvalidRequestError: Otherwise each worker would start workers of its own, without end.
    """
    if SCRIPT_NAME in sys.modules:  # runpy keeps it there while the script runs
        raise InvalidRequestError(
            "a script started worker processes while a worker was reading it",
            hint='put the script\'s own work under `if __name__ == "__main__":`',
        )


def _namespace(place: str) -> Any:
    if place.endswith(".py"):
        return runpy.run_path(place, run_name=SCRIPT_NAME)
    return importlib.import_module(place)


def _not_importable(name: str) -> InvalidRequestError:
    return InvalidRequestError(
        f"function {name!r} cannot be found by another process: it is no top-level object of a "
        "module",
        hint="move it to the top of a module, name it 'module:function', or use threads(n)",
    )
