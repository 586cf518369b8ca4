"""Who one is at a registry: the files and helpers of docker and podman, read and never written.

- The first file with an entry for the registry counts: `$REGISTRY_AUTH_FILE`, then `config.json` of
  `$DOCKER_CONFIG` or `~/.docker`, then podman's `auth.json` below `$XDG_RUNTIME_DIR` (or
  `/run/containers/USER`) and below `$XDG_CONFIG_HOME`.
- An entry for a part of a registry (`HOST/NAME`) is preferred to one for all of it.
- A helper is a program `docker-credential-NAME`; no shell starts it, and it has its time.
- What is secret stands in no message and in no `repr`.

Source: https://docs.docker.com/reference/cli/docker/login/ (credential stores, helpers);
containers-auth.json(5); https://github.com/docker/docker-credential-helpers (the protocol).
"""

from __future__ import annotations

import base64
import binascii
import os
import re
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from shoal.package._registry._reference import Reference

_HUB_NAMES = ("https://index.docker.io/v1/", "index.docker.io", "docker.io")
_HELPER = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_HELPER_SECONDS = 30.0
_FILE_LIMIT_BYTES = 4 * 1024 * 1024
_TOKEN_USER = "<token>"  # noqa: S105 - the word by which helpers mark an identity token
_NOT_FOUND = b"credentials not found"


@dataclass(frozen=True)
class Credentials:
    """A user and a password, or a token that stands for both."""

    user: str
    password: str = field(repr=False)
    identity_token: str = field(default="", repr=False)

    def basic(self) -> str:
        """The header that says it in the form of HTTP."""
        pair = f"{self.user}:{self.password}".encode()
        return f"Basic {base64.b64encode(pair).decode()}"


class _Entry(msgspec.Struct):
    auth: str = ""
    username: str = ""
    password: str = ""
    identitytoken: str = ""


class _File(msgspec.Struct):
    auths: dict[str, _Entry | None] = {}
    credHelpers: dict[str, str] = {}  # noqa: N815 - the field's name in docker's file
    credsStore: str = ""  # noqa: N815 - the field's name in docker's file


class _Answer(msgspec.Struct):
    """What a helper prints."""

    Username: str = ""
    Secret: str = ""


def find_credentials(
    reference: Reference, environment: Mapping[str, str], home: Path
) -> Credentials | None:
    """What the user's files say of a registry; None if they say nothing.

    Raises:
        ConfigurationError: a file cannot be read, or a helper fails.
    """
    for path in _files(environment, home):
        text = _text(path)
        if text is not None and (found := _found(path, _decoded(path, text), reference)):
            return found
    return None


def _files(environment: Mapping[str, str], home: Path) -> Iterator[Path]:
    if named := environment.get("REGISTRY_AUTH_FILE"):
        yield Path(named)
    yield Path(environment.get("DOCKER_CONFIG") or home / ".docker", "config.json")
    runtime = environment.get("XDG_RUNTIME_DIR")
    yield Path(runtime or f"/run/containers/{os.getuid()}", *_containers(runtime))
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config", "containers", "auth.json")


def _containers(runtime: str | None) -> tuple[str, ...]:
    return ("containers", "auth.json") if runtime else ("auth.json",)


def _text(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(_FILE_LIMIT_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = error.strerror or error
        raise ConfigurationError(f"the credentials in {path} cannot be read: {reason}") from error


def _decoded(path: Path, text: bytes) -> _File:
    try:
        return msgspec.json.decode(text or b"{}", type=_File)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        # Without the cause: it might show a part of the file.
        message = f"{path} is not a file of credentials as docker and podman write it"
        raise ConfigurationError(message) from None


def _found(path: Path, file: _File, reference: Reference) -> Credentials | None:
    names = _names(reference)
    helpers = [file.credHelpers[name] for name in names if name in file.credHelpers]
    helpers += [file.credsStore] if file.credsStore else []
    server = _HUB_NAMES[0] if reference.is_docker_hub else reference.registry
    if helpers and (found := _ask(path, helpers[0], server)):
        return found
    # An address may stand beside the host itself, and be empty.
    entries = {_host(name): entry for name, entry in file.auths.items()} | file.auths
    for name in names:
        entry = entries.get(name)
        if entry is not None and (given := _given(path, name, entry)):
            return given
    return None


def _names(reference: Reference) -> list[str]:
    """Under which names a registry may stand in a file, the most exact first."""
    parts = reference.repository.split("/")
    whole = [f"{reference.registry}/{'/'.join(parts[:end])}" for end in range(len(parts), 0, -1)]
    return [*whole, reference.registry, *(_HUB_NAMES if reference.is_docker_hub else ())]


def _host(name: str) -> str:
    """The host in an address, as docker once wrote the names: `https://HOST/v1/`."""
    scheme, separator, rest = name.partition("://")
    return rest.partition("/")[0] if separator and scheme in {"http", "https"} else name


def _given(path: Path, name: str, entry: _Entry) -> Credentials | None:
    user, password = entry.username, entry.password
    if entry.auth:
        user, password = _pair(path, name, entry.auth)
    if user or entry.identitytoken:
        return Credentials(user, password, entry.identitytoken)
    return None


def _pair(path: Path, name: str, text: str) -> tuple[str, str]:
    try:
        user, separator, password = base64.b64decode(text, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        separator = ""
    if not separator:
        message = f"the entry of {name} in {path} is no user and password in base64"
        raise ConfigurationError(message, hint="Sign in again with `docker login`.") from None
    return user, password.rstrip("\0")


def _ask(path: Path, helper: str, server: str) -> Credentials | None:
    if not _HELPER.fullmatch(helper):
        raise ConfigurationError(f"{path} names a credential helper {helper!r}, which is no name")
    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(  # noqa: S603 - the user's own file names it, no shell reads it
            [program, "get"],
            input=server.encode(),
            capture_output=True,
            timeout=_HELPER_SECONDS,
            check=False,
        )
    except FileNotFoundError as error:
        message = f"{path} wants the program {program}, which is not installed"
        raise ConfigurationError(message) from error
    except (OSError, subprocess.TimeoutExpired):
        # Without the cause: what a helper has printed so far may be a secret.
        message = f"the program {program} does not answer for {server}"
        raise ConfigurationError(message) from None
    return _answered(program, server, done)


def _answered(
    program: str, server: str, done: subprocess.CompletedProcess[bytes]
) -> Credentials | None:
    if done.returncode != 0 and _NOT_FOUND in done.stdout + done.stderr:
        return None
    if done.returncode != 0:
        message = f"the program {program} failed for {server}, exit code {done.returncode}"
        raise ConfigurationError(message)
    try:
        said = msgspec.json.decode(done.stdout, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        message = f"the program {program} answered for {server} what is no user and password"
        raise ConfigurationError(message) from None
    if said.Username == _TOKEN_USER:
        return Credentials("", "", said.Secret)
    return Credentials(said.Username, said.Secret)
