"""A server that gives tokens for a registry, and the settings with which a registry takes them.

It knows one user with a password and one identity token; who is neither gets nothing.

Source: https://distribution.github.io/distribution/spec/auth/token/, /jwt/ and /oauth/.
"""

from __future__ import annotations

import base64
import json
import time
import uuid
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from tests.services.docker_registry import PASSWORD, USER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

IDENTITY_TOKEN = "an identity token"
ISSUER, SERVICE = "shoal-tests", "a registry"


class Tokens:
    """What signs tokens, and who has asked for which.

    Attributes:
        asked: The scope of every token that was given.
        lifetime_seconds: How long a token lasts.
    """

    def __init__(self) -> None:
        authority = trustme.CA()
        leaf = authority.issue_cert("tokens.example")
        self._authority = authority
        self._certificate = x509.load_pem_x509_certificate(leaf.cert_chain_pems[0].bytes())
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        self._key = key
        self.asked: list[str] = []
        self.port = 0

    def settings(self, directory: Path) -> dict[str, Any]:
        """How a registry is told to take these tokens."""
        self._authority.cert_pem.write_to_path(directory / "authority.pem")
        return {
            "token": {
                "realm": f"http://127.0.0.1:{self.port}/token",
                "service": SERVICE,
                "issuer": ISSUER,
                "rootcertbundle": str(directory / "authority.pem"),
            }
        }

    def token(self, scope: str) -> str:
        """A token for a scope."""
        self.asked.append(scope)
        kind, name, actions = scope.split(":")
        now = int(time.time())
        access = [{"type": kind, "name": name, "actions": actions.split(",")}]
        claims = {
            "iss": ISSUER,
            "sub": USER,
            "aud": SERVICE,
            "exp": now + 300,
            "nbf": now - 5,
            "iat": now,
            "jti": uuid.uuid4().hex,
            "access": access,
        }
        certificate = self._certificate.public_bytes(serialization.Encoding.DER)
        chain = [base64.b64encode(certificate).decode()]
        head = {"typ": "JWT", "alg": "ES256", "x5c": chain}
        signed = f"{_part(json.dumps(head).encode())}.{_part(json.dumps(claims).encode())}"
        numbers = decode_dss_signature(self._key.sign(signed.encode(), ec.ECDSA(hashes.SHA256())))
        signature = b"".join(number.to_bytes(32, "big") for number in numbers)
        return f"{signed}.{_part(signature)}"


def _part(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@contextmanager
def running() -> Iterator[Tokens]:
    """A server of tokens for a block."""
    tokens = Tokens()

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
            is_known = self.headers["Authorization"] == f"Basic {wanted}"
            self.give(parse_qs(urlsplit(self.path).query), "token", is_known=is_known)

        def do_POST(self) -> None:
            form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
            is_known = form["refresh_token"] == [IDENTITY_TOKEN]
            self.give(form, "access_token", is_known=is_known)

        def give(self, form: dict[str, list[str]], name: str, *, is_known: bool) -> None:
            body = b'{"errors":[{"code":"UNAUTHORIZED","message":"who are you?"}]}'
            if is_known:
                body = json.dumps({name: tokens.token(form["scope"][0])}).encode()
            self.send_response(200 if is_known else 401)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Door)
    tokens.port = server.server_address[1]
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield tokens
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
