"""Open packages, hand them to the native server, and translate its refusals into our errors."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import partial
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Self, TypeAlias
from weakref import ref

from shoal import _native, package
from shoal.errors import InvalidRequestError
from shoal.runtime import Launch, library, native
from shoal.serve._options import Options, in_json
from shoal.serve._repository import Keeper, Repository
from shoal.serve._trust import Trust

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from types import TracebackType

    from shoal.package import Package
    from shoal.runtime import Payload

    Servable: TypeAlias = Package | str | PathLike[str]


class Server:
    """A running server, and the context manager that closes it.

    It answers from the moment it exists. Its methods may be called from any thread. One that is
    neither closed nor dropped is closed when the interpreter exits.
    """

    def __init__(self, native: _native.Server, launches: Sequence[Launch] = ()) -> None:
        """Wrap a native server that listens already; `start` is the way to get one."""
        self._native = native
        self._launches = launches  # a worker that is started again reads its source again
        self._at_exit = partial(_close_if_alive, ref(self))
        atexit.register(self._at_exit)

    @property
    def http(self) -> str:
        """The address bound for HTTP, as "HOST:PORT"; stays after closing."""
        return self._native.http

    @property
    def grpc(self) -> str:
        """The address bound for gRPC, as "HOST:PORT"; stays after closing."""
        return self._native.grpc

    @property
    def admin(self) -> str | None:
        """The address bound for the calls of an operator, or None; stays after closing."""
        return self._native.admin

    @property
    def not_served(self) -> list[tuple[str, str, str]]:
        """What the repository held at the start and is not served: (name, version, reason)."""
        return self._native.problems

    def close(self) -> None:
        """Stop listening, answer everything accepted, and end; more calls do nothing."""
        self._native.close()
        self._launches = ()
        atexit.unregister(self._at_exit)

    def serve_until_signal(self, *, caught: Callable[[], object] | None = None) -> None:
        """Wait for SIGTERM or SIGINT, then close as `close` does.

        The one call that handles signals. A second one while the server drains ends the process at
        once, with exit code 1; what is not answered is named in the log. Both are ignored after it:
        a process that goes on gives them their handlers anew with `signal.signal`.

        Args:
            caught: Called once both signals are caught and will drain.
        """
        self._native.serve_until_signal(caught)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def _close_if_alive(server: ref[Server]) -> None:
    if alive := server():
        alive.close()


def start(
    packages: Servable | Sequence[Servable] | Repository,
    *,
    http: str = "127.0.0.1:0",
    grpc: str = "127.0.0.1:0",
    allow_code: bool = False,
    options: Options | None = None,
) -> Server:
    """Serve one package or several; the server listens when this returns.

    A package of a repository that cannot be served is left out (`Server.not_served` says why), as
    long as another can be; of several versions the highest answers requests that name none.

    Args:
        packages: an open package, the path of one, the name of one in a registry
            (`oci://HOST/NAME:TAG`, looked up now and kept on this machine by its digest), a list
            of these, or a repository.
        http: where to listen for HTTP, as "HOST:PORT"; port 0 picks a free one, which
        `Server.http` tells.
        grpc: the same for gRPC.
        allow_code: let packages whose runtime is `python` run their code, in worker processes.
        options: everything else that may be chosen; None takes every default.

    Raises:
        InvalidRequestError: there is no package in the list or none of a model, the same model
            twice, or an admin address without a token.
        PackageError: nothing in the repository can be served.
        AddressError: an address is in use, or cannot be bound.
        ConfigurationError: a file or number of the options cannot be used.
        PathError: there is no package at a path, or no file that the options name.
        CorruptPackageError: a package's files differ from its digests.
        UntrustedPackageError: a package runs code, and `allow_code` is False.
        SignatureError: the key of `Options.require_signed` has not signed a package.
        RegistryError: a registry has no such package, refuses, or cannot be reached.
        RequirementError: the environment of a python package does not have what it requires.
        ModelError: a python package cannot be opened by its workers; the message has the cause.
        ModelUnavailableError: a worker ended, or took too long, before it could say why.
    """
    chosen = options or Options()
    text = in_json(chosen, http=http, grpc=grpc)
    environment = chosen.worker_environment
    trust = Trust.read(allow_code=allow_code, key=chosen.require_signed)
    if isinstance(packages, Repository):
        keeper = Keeper(Path(packages.directory), trust=trust, environment=environment)
        return Server(_native_server([], text, keeper), [])
    opened = [_open(each, trust) for each in _listed(packages)]
    _check_models(opened, chosen)
    with ExitStack() as payloads:  # a payload may be a file that lives until the server has read it
        models = [
            (
                each.description_text,
                each.digest,
                payloads.enter_context(trust.payload(each, environment)),
            )
            for each in opened
        ]
        server = _native_server(models, text, None)
        return Server(server, [payload for _, _, payload in models if isinstance(payload, Launch)])


def _check_models(opened: list[Package], options: Options) -> None:
    """There is something to serve; a router alone answers nothing."""
    if not opened:
        raise InvalidRequestError("there is no package to serve; at least one is expected")
    if options.admin is None and all(each.routes for each in opened):
        message = f"{opened[0].name} {opened[0].version} is a router, and no model is served"
        raise InvalidRequestError(message, hint="Give the packages of its models, too.")


def _native_server(
    models: list[tuple[str, str, Payload]], options: str, repository: Keeper | None
) -> _native.Server:
    path = str(library())
    make = partial(_native.Server, models, options=options, library=path, repository=repository)
    return native(make)


def _listed(packages: Servable | Sequence[Servable]) -> list[Servable]:
    if isinstance(packages, str | PathLike | package.Package):
        return [packages]
    return list(packages)


def _open(each: Servable, trust: Trust) -> Package:
    if isinstance(each, package.Package):
        return each
    if isinstance(each, str) and "://" in each:  # a name in a registry, or what is meant as one
        return package.fetch(each, key=trust.key)
    return package.open(each)
