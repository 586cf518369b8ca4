"""The admin address under TLS, and what it does with clients that are slow, many or no HTTP."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import ExitStack
from http.client import HTTPSConnection
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end import models
from tests.end_to_end.certificates import certify
from tests.end_to_end.driver import DEADLINE_S, poll
from tests.end_to_end.repository_driver import TOKEN, keeping
from tests.end_to_end.test_limits import MALFORMED, refusal
from tests.end_to_end.test_slow_clients import TIMEOUT_MS, connected, dropped, is_dropped, patient
from tests.end_to_end.test_tls import serial, spoken

if TYPE_CHECKING:
    from pathlib import Path

MOST_CONNECTIONS = 64
WARNING = "the admin token travels in plain text"


@pytest.fixture(scope="session")
def tree(places: Path) -> Path:
    return models.tree(places, "81")


def call(address: str, context: ssl.SSLContext, token: str) -> tuple[int, object]:
    connection = HTTPSConnection(address, timeout=DEADLINE_S, context=context)
    try:
        headers = {"Authorization": f"Bearer {token}"}
        connection.request("POST", "/v2/repository/models/digits/load", "", headers)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_admin_address_speaks_tls_with_the_certificate_of_the_server(
    tree: Path, tmp_path: Path
) -> None:
    certified = certify(tmp_path)
    with keeping(tmp_path, tree, arguments=certified.arguments) as kept:
        assert kept.served.admin is not None
        context = certified.context()
        assert call(kept.served.admin, context, TOKEN) == (200, {"serving": ["81"]})
        assert call(kept.served.admin, context, "another token than that")[0] == 401
        assert serial(kept.served.admin, certified) == serial(kept.served.http, certified)
        plain = b"POST /v2/repository/index HTTP/1.1\r\nAuthorization: Bearer " + TOKEN.encode()
        assert b"HTTP" not in spoken(kept.served.admin, plain + b"\r\n\r\n")
        with pytest.raises(ssl.SSLCertVerificationError):
            call(kept.served.admin, ssl.create_default_context(), TOKEN)


def test_admin_token_in_plain_text_beyond_this_machine_is_warned_of(
    tree: Path, tmp_path: Path
) -> None:
    def is_warned(name: str, *arguments: str) -> bool:
        directory = tmp_path / name
        directory.mkdir()
        with keeping(directory, tree, arguments=arguments) as kept:
            pass
        lines = kept.served.errors
        poll(lambda: any("the server has ended" in line for line in lines), "the last line")
        return any(WARNING in line for line in lines)

    certified = certify(tmp_path)
    everywhere = ("--admin", "0.0.0.0:0")
    assert not is_warned("local")
    assert is_warned("exposed", *everywhere)
    assert not is_warned("secure", *everywhere, *certified.arguments)


def test_slow_clients_of_the_admin_address_are_dropped(tree: Path, tmp_path: Path) -> None:
    short = dict.fromkeys(("header", "body", "idle"), TIMEOUT_MS)
    head = f"POST /v2/repository/index HTTP/1.1\r\nAuthorization: Bearer {TOKEN}\r\n".encode()
    words = {"idle": b"", "header": head, "body": head + b"Content-Length: 9\r\n\r\n{"}
    with keeping(tmp_path, tree, arguments=patient(**short)) as kept:
        assert kept.served.admin is not None
        for reason, sent in words.items():
            with connected(kept.served.admin) as client:
                client.sendall(sent)
                assert is_dropped(client), reason
            assert dropped(kept.served, reason) == 1, reason


def test_admin_address_refuses_what_is_no_http_and_more_connections_than_anybody_needs(
    tree: Path, tmp_path: Path
) -> None:
    with keeping(tmp_path, tree) as kept, ExitStack() as stack:
        assert kept.served.admin is not None
        assert refusal(spoken(kept.served.admin, b"no HTTP\r\n\r\n")) == MALFORMED
        clients = [
            stack.enter_context(connected(kept.served.admin)) for _ in range(MOST_CONNECTIONS)
        ]
        limit = 'shoal_connections_dropped_total{reason="limit"}'
        with connected(kept.served.admin) as client:
            assert is_dropped(client)
        assert kept.served.counted(limit) == 1
        clients[0].shutdown(socket.SHUT_RDWR)
        clients[0].close()
        poll(lambda: has_room(kept.served.admin or ""), "there is room again")
        assert kept.served.ask("GET", "/v2/health/ready").status == 200  # the others have theirs


def has_room(address: str) -> bool:
    """Whether a new client is answered."""
    with connected(address) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        try:
            return client.recv(100).startswith(b"HTTP/1.1 401")
        except ConnectionResetError:
            return False
