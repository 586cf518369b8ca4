"""API keys: 32 random bytes for the caller, their hash for the server's file.

Source: the form of a line is read by `crates/shoal-server/src/keys.rs`.
"""

from __future__ import annotations

import hashlib
import re
import secrets

import msgspec

from shoal.errors import ConfigurationError

PREFIX = "shoal_"
KEY_BYTES = 32
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


class Key(msgspec.Struct, frozen=True):
    """A new API key.

    Attributes:
        name: Whose it is.
        secret: What the caller sends; nobody can tell it from the line.
        line: What stands in the file of `Options.api_keys`.
    """

    name: str
    secret: str
    line: str

    def __repr__(self) -> str:
        return f"Key(name={self.name!r}, secret=...)"


def new_key(name: str) -> Key:
    """Make a key of 32 random bytes.

    Args:
        name: Whose it is: letters, digits, dots, hyphens and underscores, at most 64.

    Raises:
        ConfigurationError: the name is none.
    """
    if not NAME.fullmatch(name):
        raise ConfigurationError(
            f"{name!r} is no name of a key; expected letters, digits, '.', '_' and '-', at most 64"
        )
    secret = PREFIX + secrets.token_urlsafe(KEY_BYTES)
    return Key(name, secret, f"{name} sha256:{hashlib.sha256(secret.encode()).hexdigest()}")
