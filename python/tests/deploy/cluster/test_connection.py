"""Why there is no cluster, or not the right one, is told without what is secret."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pytest

from shoal import deploy
from shoal.deploy._cluster._connection import Connection, connected
from shoal.deploy._cluster._kinds import CONFIG_MAP
from shoal.errors import (
    ClusterAccessError,
    ClusterLacksError,
    ClusterUnavailableError,
    ConfigurationError,
)
from tests.deploy.cluster.samples import NAME, objects
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

SECRET = "hunter2"
NOT_FOUND = {"kind": "Status", "code": 404, "message": "gone", "details": {"kind": "configmaps"}}


@contextmanager
def answering(*answers: tuple[int, dict[str, str], Any]) -> Iterator[str]:
    """A server that gives these answers, one after the other, and the last one from then on."""
    left = list(answers)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            code, headers, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(code)
            content = body.encode() if isinstance(body, str) else json.dumps(body).encode()
            kind = "text/plain" if isinstance(body, str) else "application/json"
            stated = {"Content-Type": kind, "Content-Length": str(len(content)), **headers}
            for name, value in stated.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Says nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def kubeconfig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the kubeconfig is."""
    path = tmp_path / "kubeconfig"
    monkeypatch.setenv("KUBECONFIG", str(path))
    return path


def name_server(path: Path, server: str, **user: Any) -> None:
    content = {
        "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": server}}],
        "users": [{"name": "test", "user": user or {"token": SECRET}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    }
    path.write_text(json.dumps(content), "utf-8")


def test_no_kubeconfig_is_told_with_where_it_was_looked_for(kubeconfig: Path) -> None:
    with pytest.raises(ClusterUnavailableError, match=f"no kubeconfig at {kubeconfig}") as caught:
        deploy.status(NAME)
    assert "KUBECONFIG" in str(caught.value.hint)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(f"token: [{SECRET}\n: {SECRET}", id="no YAML"),
        pytest.param(f"[{SECRET}]", id="a list"),
        pytest.param(f"clusters: {SECRET}", id="no clusters"),
        pytest.param(f"{{clusters: [], contexts: [], users: [{{name: {SECRET}}}]}}", id="cut off"),
        pytest.param("{clusters: [], contexts: [], users: []}", id="no context"),
        pytest.param("{clusters: [], contexts: [], current-context: other}", id="another context"),
    ],
)
def test_a_kubeconfig_that_is_none_is_refused_and_not_repeated(kubeconfig: Path, text: str) -> None:
    kubeconfig.write_text(text, "utf-8")
    with pytest.raises(ConfigurationError, match=str(kubeconfig)) as caught:
        deploy.status(NAME)
    assert SECRET not in caught.value.render()


def test_several_kubeconfigs_are_refused_with_the_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path}/a:{tmp_path}/b")
    with pytest.raises(ConfigurationError, match="expected one file") as caught:
        deploy.status(NAME)
    assert "--flatten" in str(caught.value.hint)


def test_credentials_that_are_not_there_are_named(kubeconfig: Path) -> None:
    keys = {"client-certificate": "absent.crt", "client-key": "absent.key"}
    name_server(kubeconfig, "https://127.0.0.1:1", **keys)
    with pytest.raises(ConfigurationError, match="credentials that cannot be read"):
        deploy.status(NAME)


def test_a_server_that_is_not_there_is_named_without_its_password(kubeconfig: Path) -> None:
    port = free_port()
    name_server(kubeconfig, f"http://dana:{SECRET}@127.0.0.1:{port}")
    with pytest.raises(ClusterUnavailableError, match=f"http://127.0.0.1:{port} cannot") as caught:
        deploy.status(NAME)
    assert SECRET not in caught.value.render()


def test_what_is_no_api_server_is_told(kubeconfig: Path) -> None:
    with answering((502, {}, "<html>bad gateway</html>")) as server:
        name_server(kubeconfig, server)
        with pytest.raises(ClusterUnavailableError, match="answered with 502"):
            deploy.status(NAME)


def test_who_is_not_known_is_told_to_log_in(kubeconfig: Path) -> None:
    body = {"kind": "Status", "code": 401, "message": "Unauthorized"}
    with answering((401, {}, body)) as server:
        name_server(kubeconfig, server)
        with pytest.raises(ClusterAccessError, match="Unauthorized") as caught:
            deploy.status(NAME)
    assert "Log in again" in str(caught.value.hint)


def test_a_cluster_that_is_too_old_is_refused_before_anything_changes(kubeconfig: Path) -> None:
    with answering((200, {}, {"major": "1", "minor": "29+"})) as server:
        name_server(kubeconfig, server)
        with pytest.raises(ClusterLacksError, match=r"has Kubernetes 1.29, expected 1.31 or later"):
            deploy.apply(objects(), name=NAME)
        assert deploy.cluster_version() == "1.29"


def test_a_server_that_has_too_much_to_do_is_asked_again_when_it_says(kubeconfig: Path) -> None:
    busy = {"kind": "Status", "code": 429, "message": "storage is (re)initializing"}
    found = {"metadata": {"name": "iris"}}
    waited: list[float] = []
    clock = deploy.Clock(lambda: 0.0, waited.append)
    with answering((429, {"Retry-After": "3"}, busy), (429, {}, busy), (200, {}, found)) as server:
        name_server(kubeconfig, server)
        with connected("models") as connection:
            patient = Connection(connection._client, connection._configuration, "models", clock)
            assert patient.get(CONFIG_MAP, "iris") == found
    assert waited == [3.0, 1.0]


def test_a_server_that_stays_busy_is_told(kubeconfig: Path) -> None:
    busy = {"kind": "Status", "code": 429, "message": "too many requests"}
    waited: list[float] = []
    clock = deploy.Clock(lambda: 0.0, waited.append)
    with answering((429, {"Retry-After": "3600"}, busy)) as server:
        name_server(kubeconfig, server)
        with connected("models") as connection:
            patient = Connection(connection._client, connection._configuration, "models", clock)
            with pytest.raises(ClusterUnavailableError, match="too many requests"):
                patient.get(CONFIG_MAP, "iris")
    assert max(waited) == 10.0


def test_an_object_that_is_not_there_is_no_failure(kubeconfig: Path) -> None:
    with answering((404, {}, NOT_FOUND)) as server:
        name_server(kubeconfig, server)
        with connected("models") as connection:
            assert connection.get(CONFIG_MAP, "iris") is None
