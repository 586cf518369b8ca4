"""Servers that ask a client for a certificate, over both doors."""

from __future__ import annotations

import ssl
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import TYPE_CHECKING, Any

import grpc
import pytest
import trustme

from shoal import errors
from tests.client import served, test_grpc
from tests.client.stage import in_a_loop

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from shoal.client import AsyncClient

AUTHORITY = trustme.CA()
SERVERS = AUTHORITY.issue_cert("127.0.0.1")


@asynccontextmanager
async def over_http(**options: Any) -> AsyncIterator[AsyncClient]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    SERVERS.configure_cert(context)
    AUTHORITY.configure_trust(context)
    context.verify_mode = ssl.CERT_REQUIRED
    running = served.serving(served.Server(served.good))
    await running.start_server(ssl=context)
    try:
        async with served.client_of(running, **options) as client:
            yield client
    finally:
        await running.close()


def over_grpc(**options: Any) -> AbstractAsyncContextManager[AsyncClient]:
    chain = b"".join(each.bytes() for each in SERVERS.cert_chain_pems)
    credentials = grpc.ssl_server_credentials(
        [(SERVERS.private_key_pem.bytes(), chain)],
        AUTHORITY.cert_pem.bytes(),
        require_client_auth=True,
    )
    server = test_grpc.Server(test_grpc.good)
    return test_grpc.asking(server, credentials, **options)


@pytest.mark.parametrize("door", [over_http, over_grpc])
@in_a_loop
async def test_a_client_shows_its_certificate_where_it_is_asked_for_one(
    tmp_path: Path, door: Callable[..., AbstractAsyncContextManager[AsyncClient]]
) -> None:
    issued = AUTHORITY.issue_cert("client.example")
    certificate, key = str(tmp_path / "client.pem"), str(tmp_path / "key.pem")
    issued.cert_chain_pems[0].write_to_path(certificate)
    issued.private_key_pem.write_to_path(key)
    trusted = {"ca": AUTHORITY.cert_pem.bytes()}
    async with door(**trusted, certificate=certificate, certificate_key=key) as client:
        assert await served.ask(client) == [7]
    async with door(**trusted) as client:
        with pytest.raises(errors.UnreachableError):
            await served.ask(client)
    async with door(**trusted, certificate=certificate, certificate_key="/nowhere") as client:
        with pytest.raises(errors.ConfigurationError, match="cannot be read"):
            await served.ask(client)
