"""What a registry calls a package or an image: `oci://HOST[:PORT]/NAME[:TAG][@sha256:...]`.

- A name is taken as it is written: no host and no tag is made up, other than Docker Hub's own rule
  (`docker.io/NAME` is `library/NAME`).
- A name with a password in it, whatever its scheme, is refused and not repeated in the message.
- This machine is spoken to in plain HTTP, every other one by TLS, unless told otherwise.

Source: OCI distribution specification 1.1, "Pulling manifests"; the grammar of hosts is that of
https://github.com/distribution/reference.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass

import msgspec

from shoal.errors import InvalidRequestError

SCHEME = "oci://"
DIGEST = re.compile(r"sha256:[0-9a-f]{64}")

_COMPONENT = r"[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*"
_LABEL = r"[A-Za-z0-9](?:[A-Za-z0-9-]*[A-Za-z0-9])?"
_REFERENCE = re.compile(
    rf"(?P<registry>(?:{_LABEL}(?:\.{_LABEL})*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{{1,5}})?)"
    rf"/(?P<repository>{_COMPONENT}(?:/{_COMPONENT})*)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?"
    r"(?:@(?P<digest>[^@]+))?"
)
_ANY_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:/+")
_OTHER_THAN_DIGEST = re.compile(r"@(?!sha[0-9]+:)")
_NAME_LIMIT = 255
_PORTS = range(1, 65_536)
_DOCKER_HUB = ("docker.io", "index.docker.io", "registry-1.docker.io")
_DOCKER_HUB_HOST = "registry-1.docker.io"
_HINT = "It is oci://HOST[:PORT]/NAME:TAG, or oci://HOST[:PORT]/NAME@sha256:..."


@dataclass(frozen=True)
class Reference:
    """A name in a registry.

    Attributes:
        registry: The host, and the port where one is given.
        repository: The name below it.
        tag: The tag, where one is given.
        digest: The digest of a manifest, where one is given.
    """

    registry: str
    repository: str
    tag: str | None = None
    digest: str | None = None

    def __str__(self) -> str:
        tag = f":{self.tag}" if self.tag else ""
        return f"{SCHEME}{self.registry}/{self.repository}{tag}" + (
            f"@{self.digest}" if self.digest else ""
        )

    @property
    def host(self) -> str:
        """Where the registry answers: its own name, other than for Docker Hub."""
        return _DOCKER_HUB_HOST if self.registry in _DOCKER_HUB else self.registry

    @property
    def is_docker_hub(self) -> bool:
        """Whether it is Docker Hub, which has names of its own in files of credentials."""
        return self.registry in _DOCKER_HUB

    @property
    def is_on_this_machine(self) -> bool:
        """Whether the host is a loopback address."""
        return is_loopback(self.registry)


class Resolved(msgspec.Struct, frozen=True):
    """What a reference named when it was asked for.

    Attributes:
        registry: The host, and the port where one is given.
        repository: The name below it.
        tag: The tag that was asked for, where one was.
        digest: The digest of the manifest.
    """

    registry: str
    repository: str
    tag: str | None
    digest: str


def is_loopback(host: str) -> bool:
    """Whether a host, with or without a port, is this machine by its very name."""
    name = host.rpartition("]")[0].lstrip("[") if host.startswith("[") else host.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def read_reference(text: str) -> Reference:
    """The parts of a name.

    Raises:
        InvalidRequestError: it is none.
    """
    _refuse_secrets(text)
    found = _REFERENCE.fullmatch(text.removeprefix(SCHEME)) if text.startswith(SCHEME) else None
    if found is None:
        raise InvalidRequestError(f"{text!r} is no name in a registry", hint=_hint(text))
    reference = Reference(**found.groupdict())
    if not _is_host(reference.registry):
        message = f"{reference.registry!r} is no host with a port that there can be"
        raise InvalidRequestError(message, hint=_HINT)
    if reference.digest and not DIGEST.fullmatch(reference.digest):
        raise InvalidRequestError(f"{reference.digest!r} is no sha256 digest", hint=_HINT)
    if len(reference.registry) + 1 + len(reference.repository) > _NAME_LIMIT:
        raise InvalidRequestError(f"{text!r} is longer than the {_NAME_LIMIT} that registries take")
    return _on_docker_hub(reference) if reference.is_docker_hub else reference


def _refuse_secrets(text: str) -> None:
    """Refuses what may hold a password, without repeating it."""
    if not _OTHER_THAN_DIGEST.search(text):
        return
    if "@" in _ANY_SCHEME.sub("", text, count=1).partition("/")[0]:
        message = "the name of the registry holds a user or a password"
        hint = "Sign in with `docker login` or `podman login`: their files are read."
        raise InvalidRequestError(message, hint=hint)
    raise InvalidRequestError("what follows the @ in the name is no sha256 digest", hint=_HINT)


def _hint(text: str) -> str:
    """What was probably meant."""
    bare = _ANY_SCHEME.sub("", text, count=1)
    for meant in (bare, bare.lower()):
        found = _REFERENCE.fullmatch(meant)
        if found and ("." in found["registry"] or ":" in found["registry"]):
            return f"{_HINT} Is {SCHEME}{meant} meant?"
    return _HINT


def _is_host(registry: str) -> bool:
    host, bracket, port = registry.rpartition("]")
    if not bracket:
        host, _, port = registry.partition(":")
    elif not _is_address(host.removeprefix("[")):
        return False
    number = port.removeprefix(":")
    return not number or int(number) in _PORTS


def _is_address(text: str) -> bool:
    try:
        return ipaddress.ip_address(text).version == 6  # noqa: PLR2004 - the only one in brackets
    except ValueError:
        return False


def _on_docker_hub(reference: Reference) -> Reference:
    if "/" in reference.repository:
        return reference
    repository = f"library/{reference.repository}"
    return Reference(reference.registry, repository, reference.tag, reference.digest)
