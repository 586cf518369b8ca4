"""From a code to its class, in this process, from the native core, and from servers."""

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


# What a server means by a status where its code is one that we do not know.
_CLASS_OF_STATUS: dict[int, type[ShoalError]] = {
    401: _tree.UnauthorizedError,
    403: _tree.UnauthorizedError,
    404: _tree.UnknownRouteError,
    405: _tree.MethodError,
    413: _tree.BodyTooLargeError,
    429: _tree.OverloadedError,
    431: _tree.HeadersTooLargeError,
    502: _tree.UnreachableError,
    503: _tree.UnavailableError,
    504: _tree.DeadlineError,
}
_REQUEST, _SERVER = 400, 500


def error_of_answer(
    code: str, message: str, hint: str | None = None, *, status: int = _SERVER
) -> ShoalError:
    """Builds the error that a server answered with; the caller raises it.

    Args:
        code: What the answer says. One that is not known here stays, in an error of another class.
        message: What happened, as the server says it.
        hint: What to do about it, as the server says it.
        status: Of HTTP, 400 to 599; it decides on the class where the code is unknown.
    """
    kind = _CLASS_OF_CODE.get(code)
    if kind is not None:
        return kind(message, hint=hint)
    other = _tree.InputError if _REQUEST <= status < _SERVER else InternalError
    error = _CLASS_OF_STATUS.get(status, other)(message, hint=hint)
    error.code = code
    return error
