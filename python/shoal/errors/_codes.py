"""From a code to its class."""

from __future__ import annotations

from shoal.errors import _platform, _tree
from shoal.errors._tree import InternalError, ShoalError

MODULES = {_tree.__name__, _platform.__name__}


def all_errors() -> tuple[type[ShoalError], ...]:
    """Gives every class of the tree that has a code, parents before their children."""
    found: list[type[ShoalError]] = []
    waiting: list[type[ShoalError]] = [ShoalError]
    while waiting:
        # Only this room's classes: a user's own subclass shares its parent's code.
        below = [kind for kind in waiting.pop(0).__subclasses__() if kind.__module__ in MODULES]
        found += below
        waiting += below
    return tuple(found)


_CLASS_OF_CODE = {kind.code: kind for kind in all_errors()}


def error_for(code: str, message: str, hint: str | None = None) -> ShoalError:
    """Builds the error a code stands for; the caller raises it.

    Used where only the code crosses a boundary: the native core, or a server's answer.

    Args:
        code: A code of `protocol/errors.toml`. An unknown one (of a newer server) gives an
            `InternalError` whose message names it.
        message: What happened.
        hint: What to do about it.
    """
    kind = _CLASS_OF_CODE.get(code)
    if kind is None:
        return InternalError(f"{message} (unknown error code {code!r})", hint=hint)
    return kind(message, hint=hint)
