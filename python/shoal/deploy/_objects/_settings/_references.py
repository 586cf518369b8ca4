"""References to images and packages in registries: by digest, never by a tag.

- A tag may point elsewhere tomorrow: replicas would differ, and a rollback would bring back
  something else. So what is deployed is named by its digest.
- No message repeats what stands before an `@` that is no digest: it may be a password.

Source: OCI distribution specification 1.1, "Pulling manifests".
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from shoal.errors import ConfigurationError

SCHEME = "oci://"

_HTTPS_PORT = 443
_PORTS = 65535
_HOST = re.compile(
    r"(?:[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|\[[0-9a-fA-F:]+\])(?::(\d{1,5}))?"
)
_PART = re.compile(r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,127}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


@dataclass(frozen=True)
class Reference:
    """Something in a registry.

    Attributes:
        host: The registry, with its port where one was given.
        path: The repository in it.
        digest: Which content: `sha256:` and 64 hexadecimal digits.
    """

    host: str
    path: str
    digest: str

    @property
    def image(self) -> str:
        """As a container's image is written."""
        return f"{self.host}/{self.path}@{self.digest}"

    @property
    def url(self) -> str:
        """As a package is written."""
        return f"{SCHEME}{self.image}"

    @property
    def port(self) -> int:
        """Where the registry listens."""
        match = _HOST.fullmatch(self.host)
        return int(match[1]) if match is not None and match[1] else _HTTPS_PORT


def read_reference(text: str, field: str) -> Reference:
    """Reads `[oci://]HOST[:PORT]/NAME[:TAG]@sha256:...`; the tag says nothing and is left out.

    Args:
        text: The reference.
        field: What it is called where it was written.

    Raises:
        ConfigurationError: it is none, or names no digest.
    """
    named, at, digest = text.removeprefix(SCHEME).partition("@")
    if at and not _DIGEST.fullmatch(digest):
        message = f"{field} has an @ that no digest follows"
        hint = f"Expected {_form(field)}; credentials belong into a Secret (pull_secret)."
        raise ConfigurationError(message, hint=hint)
    host, path = _repository(named, field)
    if not at:
        message = f"{field} is {text!r}, which names no digest; a tag may point elsewhere tomorrow"
        hint = f"Give {_form(field)}; or --resolve to ask the registry for it."
        raise ConfigurationError(message, hint=hint)
    return Reference(host, path, digest)


def reference_to(repository: str, digest: str) -> Reference:
    """A content of a repository `[oci://]HOST/NAME`, by its digest.

    Raises:
        ConfigurationError: it is no repository.
    """
    return read_reference(f"{repository}@{digest}", "registry")


def check_destination(text: str, field: str) -> None:
    """Refuses what a package cannot be pushed to: `oci://HOST[:PORT]/NAME:TAG`.

    Raises:
        ConfigurationError: see the message.
    """
    named = text.removeprefix(SCHEME)
    if "@" in named or not text.startswith(SCHEME) or ":" not in named.partition("/")[2]:
        message = f"{field} is no place in a registry, expected {SCHEME}HOST/NAME:TAG"
        hint = "Credentials belong into a Secret; what is pushed gets its digest by itself."
        raise ConfigurationError(message, hint=hint)
    _repository(named, field)


def _form(field: str) -> str:
    return f"{SCHEME if field.endswith('package') else ''}HOST/NAME@sha256:..."


def _repository(named: str, field: str) -> tuple[str, str]:
    host, _, rest = named.partition("/")
    path, colon, tag = rest.partition(":")
    match = _HOST.fullmatch(host)
    is_host = match is not None and ("." in host or ":" in host or host == "localhost")
    is_port = match is None or match[1] is None or 0 < int(match[1]) <= _PORTS
    is_path = all(map(_PART.fullmatch, path.split("/")))
    if not (is_host and is_port and is_path and (not colon or _TAG.fullmatch(tag))):
        message = f"{field} is {named!r}, expected {_form(field)}"
        hint = "The registry is always named: registry.example.org/digits@sha256:..."
        raise ConfigurationError(message, hint=hint)
    return host, path
