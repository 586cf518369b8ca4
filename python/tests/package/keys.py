"""Keys to sign with, made by openssl as a user makes them."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PASSWORD = "made-for-these-tests-only"


@dataclass(frozen=True)
class Pair:
    """The files of a private key and of its public half."""

    private: Path
    public: Path


@dataclass(frozen=True)
class Maker:
    """Makes keys in a folder."""

    openssl: str
    directory: Path

    def on(self, curve: str, name: str) -> Pair:
        """A key on a curve."""
        path = self._path(name)
        self.run("ecparam", "-name", curve, "-genkey", "-noout", "-out", str(path))
        return Pair(path, self._public(path))

    def of_kind(self, kind: str, *options: str) -> Pair:
        """A key of another kind."""
        path = self._path(kind)
        self.run("genpkey", "-algorithm", kind, *options, "-out", str(path))
        return Pair(path, self._public(path))

    def locked(self, pair: Pair, form: str) -> Path:
        """The private key behind the password: `pkcs8`, or `ec` as older programs write it."""
        path = self._path(f"{pair.private.stem}-{form}")
        word = ("-passout", f"pass:{PASSWORD}")
        more = ("-topk8",) if form == "pkcs8" else ("-aes256",)
        self.run(form, *more, "-in", str(pair.private), *word, "-out", str(path))
        return path

    def run(self, *words: str) -> bytes:
        done = subprocess.run([self.openssl, *words], check=True, capture_output=True)
        return done.stdout

    def _public(self, private: Path) -> Path:
        path = self._path(f"{private.stem}-public")
        self.run("pkey", "-in", str(private), "-pubout", "-out", str(path))
        return path

    def _path(self, name: str) -> Path:
        return self.directory / f"{name}.pem"


def maker(program: Callable[[str], str], directory: Path) -> Maker:
    """Keys are made in this folder."""
    return Maker(program("openssl"), directory)
