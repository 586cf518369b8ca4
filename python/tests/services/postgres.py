"""A PostgreSQL server of the session: `pytest_plugins = ["tests.services.postgres"]`."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.services import SERVICES, end, free_port, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# Where Debian puts what is not on the PATH.
PLACES = "usr/lib/postgresql/*/bin/postgres"
USER, PASSWORD = "shoal", "correct horse"
SETTINGS = {
    "listen_addresses": "127.0.0.1",
    "shared_buffers": "16MB",
    "max_connections": "20",
    "autovacuum": "off",
}


class Postgres:
    """A server with a database of its own."""

    def __init__(self, postgres: Path, directory: Path) -> None:
        self._postgres = postgres
        self._data = directory / "data"
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self.port = free_port()
        self.password = PASSWORD
        password = directory / "password"
        password.write_text(PASSWORD, "utf-8")
        self._as_user = _as_user(directory)
        options = [f"--username={USER}", f"--pwfile={password}", "--auth=scram-sha-256"]
        options += ["--no-sync", "--encoding=UTF8", "--no-locale", f"--pgdata={self._data}"]
        self._run([str(postgres.with_name("initdb")), *options])

    @property
    def conninfo(self) -> str:
        """How to reach it, the password included."""
        parts = {"host": "127.0.0.1", "port": self.port, "dbname": "postgres", "user": USER}
        return " ".join(f"{name}={value}" for name, value in parts.items()) + (
            f" password='{PASSWORD}'"
        )

    def start(self) -> None:
        """Starts it, and waits until it answers."""
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        settings += [f"--unix_socket_directories={self._directory}", f"--port={self.port}"]
        command = [*self._as_user, str(self._postgres), f"-D{self._data}", *settings]
        with (self._directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/")
        SERVICES.add(self._process.pid)
        until(self._answers, f"PostgreSQL answers on port {self.port}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ends it: its connections at once (SIGINT), or as in a crash (SIGQUIT)."""
        assert self._process is not None
        end(self._process, how)
        self._process = None

    def restart(self) -> None:
        """Ends it and starts it again."""
        self.stop()
        self.start()

    def close(self) -> None:
        """Ends it if it runs."""
        if self._process is not None:
            self.stop()

    def query(self, query: str) -> list[tuple[object, ...]]:
        """What another program sees."""
        with psycopg.connect(self.conninfo, autocommit=True) as connection:
            answer = connection.execute(query.encode())
            return answer.fetchall() if answer.description else []

    def _answers(self) -> bool:
        try:
            self.query("select 1")
        except psycopg.OperationalError:
            return False
        return True

    def _run(self, command: list[str]) -> None:
        subprocess.run([*self._as_user, *command], check=True, capture_output=True, cwd="/")


def _as_user(directory: Path) -> list[str]:
    """PostgreSQL refuses to run as root: then it runs as its own user, who owns its directory."""
    if os.geteuid() != 0:
        return []
    user = pwd.getpwnam("postgres")
    for path in (directory, *directory.iterdir()):
        os.chown(path, user.pw_uid, user.pw_gid)
    ids = [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}"]
    return ["setpriv", *ids, "--clear-groups", "--"]


@pytest.fixture(scope="session")
def postgres(program: Callable[[str], str]) -> Iterator[Postgres]:
    """A server that runs; a test that ends it starts it again."""
    installed = max(Path("/").glob(PLACES), default=None)
    found = shutil.which("postgres") or installed or program("postgres")
    # Not in pytest's own folder: that is closed to the user that the server runs as.
    with tempfile.TemporaryDirectory(prefix="shoal-postgres-") as directory:
        server = Postgres(Path(found).resolve(), Path(directory))
        try:
            server.start()
            yield server
        finally:
            server.close()
