"""How many bytes the large table takes on the wire, counted between client and server."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec

from benchmarks.tasks._figures import Sizes

if TYPE_CHECKING:
    from benchmarks.tasks._callers import Place

PIECE_BYTES = 1 << 16
ENCODINGS = ("arrow", "json")


def sizes(place: Place) -> dict[str, Sizes]:
    """Bytes of one request and its answer, by encoding."""
    return {encoding: asyncio.run(_size(place, encoding)) for encoding in ENCODINGS}


async def _size(place: Place, encoding: str) -> Sizes:
    from benchmarks.tasks._callers import Callers

    host, _, port = place.http.partition(":")
    counted = {"sent": 0, "received": 0}
    relays: list[asyncio.Task[None]] = []

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection(host, int(port))
        relays.append(asyncio.create_task(_pass(reader, back, counted, "sent")))
        relays.append(asyncio.create_task(_pass(there, writer, counted, "received")))

    server = await asyncio.start_server(relay, "127.0.0.1", 0)
    address = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
    callers = Callers(msgspec.structs.replace(place, http=address))
    async with server:
        await callers.ask({"kind": "table", "encoding": encoding}, 0.0)
        await callers.close()
        await asyncio.gather(*relays)
    return Sizes(counted["sent"], counted["received"])


async def _pass(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    counted: dict[str, int],
    which: str,
) -> None:
    while piece := await reader.read(PIECE_BYTES):
        counted[which] += len(piece)
        writer.write(piece)
        await writer.drain()
    writer.close()
