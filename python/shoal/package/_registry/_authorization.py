"""How a registry is told who asks: only when it wants to know, and nobody else is.

- Nothing is sent before a registry asks for it; files and helpers are not read before.
- `Basic` sends user and password, `Bearer` those to the address that the registry names, which
  gives a token for this one repository; one token serves all threads, and is fetched anew when it
  is refused.
- User and password go to an address by TLS, or in plain HTTP where the registry itself is spoken
  to so.
- If what was sent is refused just after it was fetched, the registry wants another user.

Source: https://distribution.github.io/distribution/spec/auth/token/ and /oauth/.
"""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Protocol
from urllib.parse import urlencode

import msgspec

from shoal.errors import RegistryAccessError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from shoal.package._registry._challenge import Challenge
    from shoal.package._registry._credentials import Credentials

_CLIENT = "shoal"


class Ask(Protocol):
    """Asks an address for a token."""

    def __call__(
        self, method: str, url: str, headers: Mapping[str, str], body: bytes | None
    ) -> bytes:
        """The text of the answer."""


class _Token(msgspec.Struct):
    token: str = ""
    access_token: str = ""


class Authorization:
    """What is sent along with requests of one repository."""

    def __init__(
        self, repository: str, actions: str, find: Callable[[], Credentials | None]
    ) -> None:
        """Nothing is known yet.

        Args:
            repository: What the requests are about.
            actions: What they do: `pull`, or `pull,push`.
            find: Looks up user and password.
        """
        self._scope = f"repository:{repository}:{actions}"
        self._find = find
        self._lock = Lock()
        self._header: str | None = None

    @property
    def header(self) -> str | None:
        """What is sent now: None before the registry has asked."""
        return self._header

    def renewed(self, challenges: Sequence[Challenge], refused: str | None, ask: Ask) -> str | None:
        """What is to be sent instead of what was refused; None if there is nothing else.

        Args:
            challenges: What the registry wants.
            refused: What was sent.
            ask: Asks an address for a token.
        """
        with self._lock:
            if self._header != refused:
                return self._header  # another thread has fetched it meanwhile
            self._header = self._answer(challenges, refused, ask)
            return self._header

    def _answer(self, challenges: Sequence[Challenge], refused: str | None, ask: Ask) -> str | None:
        for challenge in challenges:
            if challenge.scheme == "bearer" and "realm" in challenge.parameters:
                return self._bearer(challenge.parameters, ask)
            if challenge.scheme == "basic" and (credentials := self._find()):
                basic = credentials.basic()
                return None if basic == refused else basic
        return None

    def _bearer(self, wanted: Mapping[str, str], ask: Ask) -> str:
        credentials = self._find()
        form = {"service": wanted["service"]} if "service" in wanted else {}
        form["scope"] = self._scope
        if credentials is not None and credentials.identity_token:
            text = _by_identity_token(wanted["realm"], form, credentials, ask)
        else:
            text = _by_password(wanted["realm"], form, credentials, ask)
        try:
            given = msgspec.json.decode(text, type=_Token)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            given = _Token()
        token = given.token or given.access_token
        if not token or not token.isascii() or not token.isprintable():
            raise RegistryAccessError("the registry's own address for tokens gave none")
        return f"Bearer {token}"


def _by_identity_token(
    realm: str, form: Mapping[str, str], credentials: Credentials, ask: Ask
) -> bytes:
    grant = {
        "grant_type": "refresh_token",
        "client_id": _CLIENT,
        "refresh_token": credentials.identity_token,
    }
    headers = {"Content-Type": "application/x-www-form-urlencoded"}
    return ask("POST", realm, headers, urlencode({**form, **grant}).encode())


def _by_password(
    realm: str, form: Mapping[str, str], credentials: Credentials | None, ask: Ask
) -> bytes:
    account = {} if credentials is None else {"account": credentials.user}
    separator = "&" if "?" in realm else "?"
    headers = {} if credentials is None else {"Authorization": credentials.basic()}
    return ask("GET", f"{realm}{separator}{urlencode({**account, **form})}", headers, None)
