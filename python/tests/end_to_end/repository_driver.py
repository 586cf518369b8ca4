"""Drive a server of a repository: put packages in, take them out, and call its admin address."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.end_to_end.driver import Reply, ask, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served

TOKEN = "made-for-these-tests-only"  # no secret: it opens servers of these tests


@dataclass(frozen=True)
class Kept:
    """A server process, and the folder that it serves from."""

    served: Served
    directory: Path

    def put(self, package: Path) -> None:
        """Copies a package into the repository; it appears there at once, or not at all."""
        unfinished = self.directory / f".{package.name}"
        shutil.copytree(package, unfinished)
        unfinished.rename(self.directory / package.name)

    def call(self, path: str, body: object = None, *, token: str = TOKEN) -> Reply:
        """One call of the admin address, by its path below /v2/repository/."""
        assert self.served.admin is not None
        headers = {"Authorization": f"Bearer {token}"}
        return ask(self.served.admin, "POST", f"/v2/repository/{path}", body, headers=headers)

    def load(self, name: str, version: str | None = None) -> Reply:
        return self.call(f"models/{name}/load", version and {"parameters": {"version": version}})

    def unload(self, name: str, version: str | None = None) -> Reply:
        return self.call(f"models/{name}/unload", version and {"parameters": {"version": version}})

    def states(self) -> dict[tuple[str, str], tuple[str, str]]:
        """The state and reason of each name and version."""
        lines = self.call("index").json()
        return {(one["name"], one["version"]): (one["state"], one["reason"]) for one in lines}

    def answering(self, row: list[Any]) -> str:
        """The version that answers a request which names none."""
        column = {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": row}
        reply = self.served.ask("POST", "/v2/models/digits/infer", {"inputs": [column]})
        assert reply.status == 200, reply.body
        return str(reply.json()["model_version"])


@contextmanager
def keeping(
    directory: Path, *packages: Path, arguments: tuple[str, ...] = (), **settings: str
) -> Iterator[Kept]:
    """A server of a repository that holds these packages, with its admin address open."""
    repository = directory / "repository"
    repository.mkdir()
    for package in packages:
        shutil.copytree(package, repository / package.name)
    token_file = directory / "token"
    token_file.write_text(f"{TOKEN}\n", "utf-8")
    options = ("--repository", repository, "--admin", "127.0.0.1:0")
    words = (*map(str, options), "--admin-token-file", str(token_file), *arguments)
    with serving(arguments=words, **settings) as served:
        yield Kept(served, repository)
