"""What a sender was told is stored is read, also after kill -9; what is refused leaves nothing."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import pyarrow as pa
import pytest

from shoal.errors import AddressError, ConflictError, InvalidRequestError
from shoal.source import HttpPushSource, Limit, PlacedSource
from shoal.source._received import _http_intake

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.source import Offset

COLUMNS = pa.schema(
    [
        pa.field("n", pa.int64(), nullable=False),
        ("text", pa.string()),
        ("at", pa.timestamp("us", "UTC")),
    ]
)
MUCH = Limit(1 << 30, 1 << 40)
PYTHON = str(Path(__file__).parents[2])
KILLS = 3


@contextmanager
def listening(directory: Path, **options: Any) -> Iterator[tuple[HttpPushSource, httpx2.Client]]:
    source = HttpPushSource(columns=options.pop("columns", COLUMNS), **options)
    source.open(directory)
    try:
        with httpx2.Client(base_url=f"http://{source.address}", timeout=30) as client:
            yield source, client
    finally:
        source.close()


def rows_of(source: HttpPushSource, start: Offset, end: Offset) -> list[dict[str, Any]]:
    batches = [batch for split in source.splits(start, end) for batch in source.read(split)]
    rows: list[dict[str, Any]] = pa.Table.from_batches(batches, source.schema).to_pylist()
    return rows


def all_numbers(source: HttpPushSource) -> list[int]:
    start = source.initial()
    return [row["n"] for row in rows_of(source, start, source.latest(start, MUCH))]


def test_an_object_an_array_and_lines_are_accepted(tmp_path: Path) -> None:
    lines = {"content-type": "application/x-ndjson; charset=utf-8"}
    with listening(tmp_path) as (source, client):
        assert isinstance(source, PlacedSource)
        assert source.replayable
        pretty = json.dumps({"n": 1, "text": "a\nb", "other": [1]}, indent=2)
        assert client.post("/records", content=pretty).json() == {"accepted": 1}
        array = [{"n": 2, "at": "2026-01-02T03:04:05.5Z"}, {"n": 3, "text": "é"}]
        assert client.post("/records", json=array).json() == {"accepted": 2}
        answer = client.post("/records", content='{"n": 4}\n\n{"n": 5}', headers=lines)
        assert answer.json() == {"accepted": 2}
        assert client.post("/records", json=[]).json() == {"accepted": 0}
        end = source.latest(source.initial(), MUCH)
        found = rows_of(source, source.initial(), end)
        assert [row["n"] for row in found] == [1, 2, 3, 4, 5]
        assert found[0]["text"] == "a\nb"
        assert found[1]["at"].isoformat() == "2026-01-02T03:04:05.500000+00:00"
        assert found[2]["text"] == "é"
        middle = source.latest(source.initial(), Limit(2, 1 << 20))
        assert source.lag_rows(middle) == 3
        assert source.latest(end, MUCH) == end
        assert source.splits(end, end) == []
    with listening(tmp_path) as (source, _):
        assert rows_of(source, source.initial(), end) == found


BAD: dict[str, tuple[bytes, int, str]] = {
    "no JSON": (b"{", 400, "malformed_json"),
    "cut": (b'[{"n": 1}, {"n":', 400, "malformed_json"),
    "no UTF-8": (b'{"n": 1, "text": "\xff"}', 400, "malformed_json"),
    "nested": (b'{"n": 1, "x": ' + b"[" * 100_000, 400, "malformed_json"),
    "empty": (b"", 400, "malformed_json"),
    "a number": (b"5", 400, "invalid_request"),
    "an array of numbers": (b'[{"n": 1}, 5]', 400, "invalid_request"),
    "another type": (b'[{"n": 1}, {"n": "2"}]', 400, "wrong_dtype"),
    "a fraction": (b'{"n": 1.5}', 400, "wrong_dtype"),
    "a missing value": (b'{"text": "a"}', 400, "wrong_dtype"),
    "a null": (b'{"n": null}', 400, "wrong_dtype"),
    "no time": (b'{"n": 1, "at": "yesterday"}', 400, "wrong_dtype"),
    "too large": (b" " * (9 << 20), 413, "body_too_large"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_body_is_refused_and_nothing_of_it_stored(name: str, tmp_path: Path) -> None:
    body, status, code = BAD[name]
    with listening(tmp_path) as (source, client):
        answer = client.post("/records", content=body)
        assert (answer.status_code, answer.json()["code"]) == (status, code)
        assert answer.json()["error"]
        assert source.latest(source.initial(), MUCH) == source.initial()
        assert client.post("/records", json={"n": 1}).status_code == 200


def test_the_record_that_is_to_blame_is_named(tmp_path: Path) -> None:
    records = [{"n": n} for n in range(1000)]
    records[777] = {"n": True}
    with listening(tmp_path) as (_, client):
        answer = client.post("/records", json=records)
        assert answer.json()["error"].startswith("record 777 does not fit the columns")


def test_only_who_knows_the_token_may_send(tmp_path: Path) -> None:
    with listening(tmp_path, token="sesame") as (source, client):
        for said in (None, "Bearer wrong", "sesame", "Basic sesame", "Bearer"):
            headers = {} if said is None else {"authorization": said}
            answer = client.post("/records", json={"n": 1}, headers=headers)
            assert answer.status_code == 401
            assert answer.headers["www-authenticate"] == "Bearer"
            assert "sesame" not in answer.text + repr(source)
        known = {"authorization": "bearer sesame"}
        assert client.post("/records", json={"n": 2}, headers=known).status_code == 200
        assert client.get("/healthz").status_code == 200
        assert all_numbers(source) == [2]


def test_other_addresses_and_methods_are_refused(tmp_path: Path) -> None:
    with listening(tmp_path, path="/in") as (_, client):
        assert client.get("/healthz").json() == {"status": "ok"}
        assert client.post("/records", json={"n": 1}).status_code == 404
        answer = client.get("/in")
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")
        answer = client.post("/healthz")
        assert (answer.status_code, answer.headers["allow"]) == (405, "GET")
        packed = {"content-encoding": "gzip"}
        assert client.post("/in", content=b"x", headers=packed).status_code == 400


def test_a_key_is_stored_once_also_after_a_restart(tmp_path: Path) -> None:
    key = {"idempotency-key": "order 17"}
    with listening(tmp_path) as (source, client):
        for _ in range(3):
            answer = client.post("/records", json=[{"n": 1}, {"n": 2}], headers=key)
            assert answer.json() == {"accepted": 2}
        assert client.post("/records", json={"n": 3}, headers={"idempotency-key": ""}).is_error
    with listening(tmp_path) as (source, client):
        answer = client.post("/records", json=[{"n": 1}, {"n": 2}], headers=key)
        assert answer.json() == {"accepted": 2}
        with ThreadPoolExecutor(8) as pool:
            other = {"idempotency-key": "order 18"}
            answers = [
                pool.submit(client.post, "/records", json={"n": 4}, headers=other)
                for _ in range(16)
            ]
        assert {answer.result().json()["accepted"] for answer in answers} == {1}
        assert all_numbers(source) == [1, 2, 4]


def test_many_senders_are_stored_together(tmp_path: Path) -> None:
    with listening(tmp_path) as (source, client), ThreadPoolExecutor(16) as pool:

        def send(number: int) -> int:
            return client.post("/records", json=[{"n": number}, {"n": number}]).status_code

        assert set(pool.map(send, range(300))) == {200}
        found = all_numbers(source)
        assert sorted(found) == sorted([*range(300), *range(300)])
        assert all(found[n] == found[n + 1] for n in range(0, 600, 2))


def test_senders_wait_where_the_pipeline_does_not_keep_up(tmp_path: Path) -> None:
    with listening(tmp_path, limit_bytes=40_000) as (source, client):
        sent = 0
        while (answer := client.post("/records", json={"n": sent, "text": "x" * 500})).is_success:
            sent += 1
        assert (answer.status_code, answer.json()["code"]) == (503, "server_busy")
        assert int(answer.headers["retry-after"]) >= 1
        assert all_numbers(source) == list(range(sent))
        source.commit(source.latest(source.initial(), MUCH))
        assert client.post("/records", json={"n": sent}).status_code == 200
        assert all_numbers(source)[-1] == sent


def test_a_sender_that_is_slow_or_gone_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http_intake, "BODY_SECONDS", 0.2)
    head = b"POST /records HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\n"
    with listening(tmp_path) as (source, client):
        host, _, port = source.address.rpartition(":")
        with socket.create_connection((host, int(port))) as slow:
            slow.sendall(head + b'{"n"')
            answer = b"".join(iter(lambda: slow.recv(4096), b""))
            assert answer.startswith(b"HTTP/1.1 408")
        with socket.create_connection((host, int(port))) as gone:
            gone.sendall(head + b'{"n"')
        assert client.post("/records", json={"n": 7}).status_code == 200
        assert all_numbers(source) == [7]


def test_more_than_memory_may_hold_is_refused_for_now(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_http_intake, "HELD_BYTES", 100)
    with listening(tmp_path) as (_, client):
        answer = client.post("/records", json={"n": 1, "text": "x" * 100})
        assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
        assert client.post("/records", json={"n": 1}).status_code == 200


def test_latest_waits_for_a_record(tmp_path: Path) -> None:
    with listening(tmp_path) as (source, client), ThreadPoolExecutor(1) as pool:
        start = source.initial()
        waiting = pool.submit(source.latest, start, Limit(100, 1 << 20, wait_seconds=60))
        client.post("/records", json={"n": 1})
        assert rows_of(source, start, waiting.result()) == [{"n": 1, "text": None, "at": None}]


LISTENER = """
import sys
from pathlib import Path
import pyarrow as pa
from shoal.source import HttpPushSource

source = HttpPushSource(columns=pa.schema({"n": pa.int64()}))
source.open(Path(sys.argv[1]))
print(source.address, flush=True)
sys.stdin.read()
"""


def _send(client: httpx2.Client, number: int) -> int | None:
    """Sends a number twice; the number where it was acknowledged."""
    try:
        answer = client.post("/records", json=[{"n": number}, {"n": number}])
    except httpx2.TransportError:
        return None
    return number if answer.is_success else None


def test_what_was_acknowledged_is_there_after_a_kill(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    number = 0
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", LISTENER, str(tmp_path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={"PYTHONPATH": PYTHON},
        ) as child:
            assert child.stdout is not None
            address = child.stdout.readline().strip()

            client = httpx2.Client(base_url=f"http://{address}")
            with client, ThreadPoolExecutor(4) as pool:
                sent = [pool.submit(_send, client, n) for n in range(number, number + 60)]
                number += 60
                sent[20].result()
                child.send_signal(signal.SIGKILL)
            acknowledged += [n for each in sent if (n := each.result()) is not None]
    with listening(tmp_path, columns=pa.schema({"n": pa.int64()})) as (source, _):
        found = all_numbers(source)
    assert len(acknowledged) >= 10 * KILLS
    assert set(acknowledged) <= set(found)
    assert {found.count(n) for n in found} == {2}


def test_one_source_receives_into_a_directory(tmp_path: Path) -> None:
    with listening(tmp_path) as (source, _):
        with pytest.raises(ConflictError, match="another process"):
            HttpPushSource(columns=COLUMNS).open(tmp_path)
        with pytest.raises(AddressError, match="cannot listen on"):
            HttpPushSource(source.address, columns=COLUMNS).open(tmp_path / "other")


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"address": "8080"}, "expected HOST:PORT"),
        ({"path": "records"}, "begins with /"),
        ({"path": "/healthz"}, "is not /healthz"),
        ({"token": ""}, "token is empty"),
        ({"columns": pa.schema({"n": pa.duration("s")})}, "column 'n' is duration"),
        ({"columns": pa.schema({})}, "columns are"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        HttpPushSource(**{"columns": COLUMNS, **options})
