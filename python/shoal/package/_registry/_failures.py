"""What a registry's refusals and silences are called: named errors, none of which tells a secret.

- A message says the registry, the repository, what was asked and what happened.
- Of a registry's own words, its codes and messages are told, shortened, without control characters.
- Addresses that a registry sends are told by their host only: they may hold signatures.

Source: OCI distribution specification 1.1, "Error Codes".
"""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING, Any

import msgspec
from urllib3 import exceptions

from shoal.errors import (
    RegistryAccessError,
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from shoal.package._registry._patience import Patience

_WORDS_LIMIT = 200
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404
# Those that a later try may not meet.
PASSING_STATUSES = frozenset({408, 429, 500, 502, 503, 504})


class Passing(Exception):  # noqa: N818 - not an error yet: it may pass
    """A failure that the next try may not meet.

    Attributes:
        error: What it is called if it does not pass.
        retry_after: What the registry said of when to come back.
    """

    def __init__(self, error: RegistryError, retry_after: str | None = None) -> None:
        super().__init__(str(error))
        self.error = error
        self.retry_after = retry_after


class _Stated(msgspec.Struct):
    code: str = ""
    message: str = ""


class _Errors(msgspec.Struct):
    errors: list[_Stated] = []


def refusal(asked: str, host: str, status: int, body: bytes) -> RegistryError:
    """The error for an answer that is none of those hoped for.

    Args:
        asked: The repository, and what was asked of it.
        host: The registry's name, to sign in with.
        status: The status of the answer.
        body: The start of the answer.
    """
    told = f" ({status}{_words(body)})"
    sign_in = f"Sign in with `docker login {host}` or `podman login {host}`: their files are read."
    if status == _UNAUTHORIZED:
        return RegistryAccessError(f"{asked}: the credentials do not do{told}", hint=sign_in)
    if status == _FORBIDDEN:
        hint = f"Ask who owns the repository for that right. {sign_in}"
        return RegistryAccessError(f"{asked}: this user may not{told}", hint=hint)
    if status == _NOT_FOUND:
        hint = "Check the name. Some registries want a repository to be made before it is used."
        return RegistryNotFoundError(f"{asked}: the registry has nothing like it{told}", hint=hint)
    if status in PASSING_STATUSES:
        message = f"{asked}: the registry is not able to answer now{told}"
        return RegistryUnavailableError(message, hint="Try again later.")
    return RegistryError(f"{asked}: the registry answered what it should not{told}")


def passing(asked: str, status: int, headers: Mapping[str, str], body: bytes) -> Passing:
    """The failure of a registry that is busy, or broken for the moment."""
    retry_after = headers.get("Retry-After")
    error = refusal(asked, "", status, body)
    if retry_after is not None:
        wanted = _printable(retry_after[:40])
        error = RegistryUnavailableError(f"{error}, and asks to wait: {wanted}", hint=error.hint)
    return Passing(error, retry_after)


def silence(asked: str, host: str, error: exceptions.HTTPError, patience: Patience) -> Passing:
    """The failure of a connection that did not come about, or broke."""
    if isinstance(error, exceptions.SSLError) and not _has_ended(error):
        raise untrusted(asked, host, error) from error
    if isinstance(error, exceptions.LocationParseError):
        # Without the cause: it may show an address with a signature.
        message = f"{asked}: {host} leads to what is no address"
        raise RegistryUnavailableError(message, hint="Check the host.") from None
    message = f"{asked}: {host} {_what_broke(error, patience)}"
    return Passing(RegistryUnavailableError(message, hint="Check the host, and that it runs."))


def untrusted(asked: str, host: str, error: exceptions.SSLError) -> RegistryUnavailableError:
    """The error of a registry whose certificate is not trusted, or that speaks no TLS."""
    reason = getattr(error.args[0], "reason", None) or "the handshake failed"
    hint = "The system's certificates are used; SSL_CERT_FILE names others."
    if reason in {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"}:
        hint = "If it speaks plain HTTP on purpose: --plain-http, or plain_http=True."
    told = getattr(error.args[0], "verify_message", None)
    why = f"{reason}: {_printable(told[:_WORDS_LIMIT])}" if told else reason
    return RegistryUnavailableError(f"{asked}: no TLS with {host}: {why}", hint=hint)


def _has_ended(error: exceptions.SSLError) -> bool:
    """Whether the other side ended the connection, which says nothing about trust."""
    return isinstance(error.args[0], ssl.SSLEOFError | ssl.SSLZeroReturnError)


def _what_broke(error: exceptions.HTTPError, patience: Patience) -> str:
    if isinstance(error, exceptions.NameResolutionError):
        return "is not a name that is known here"
    if isinstance(error, exceptions.NewConnectionError):
        reason = getattr(error.__cause__, "strerror", None) or "no connection"
        return f"cannot be reached: {reason}"
    if isinstance(error, exceptions.ConnectTimeoutError):
        return f"gave no connection within {patience.connect_seconds:g} s"
    if isinstance(error, exceptions.ReadTimeoutError):
        return f"said nothing for {patience.read_seconds:g} s"
    return "broke off the connection"


def _words(body: bytes) -> str:
    """What a registry said, if it said it in the form of the specification."""
    try:
        stated = msgspec.json.decode(body, type=_Errors).errors
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    words = "; ".join(f"{each.code}: {each.message}" for each in stated)
    return f", {_printable(words[:_WORDS_LIMIT])}" if words else ""


def _printable(text: Any) -> str:
    return "".join(each if each.isprintable() else "?" for each in text)
