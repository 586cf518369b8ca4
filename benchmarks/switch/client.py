"""`client.py ADDRESS SECONDS`: asks for single rows, and prints how long the answers took, as JSON.

Written on a socket: the client must not be slower than the server.
"""

from __future__ import annotations

import json
import socket
import sys
import time

COLUMN = {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": [0.0] * 64}


def main(address: str, seconds: float) -> None:
    body = json.dumps({"inputs": [COLUMN]}).encode()
    head = f"POST /v2/models/small/infer HTTP/1.1\r\nHost: {address}\r\n"
    request = f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    host, _, port = address.rpartition(":")
    taken_us = []
    of_version = dict.fromkeys(VERSIONS, 0)
    with socket.create_connection((host, int(port))) as connection:
        ends_at = time.perf_counter() + seconds
        while time.perf_counter() < ends_at:
            start = time.perf_counter()
            connection.sendall(request)
            answer = connection.recv(65536)  # an answer to one row is one segment
            taken_us.append((time.perf_counter() - start) * 1e6)
            if not answer.startswith(b"HTTP/1.1 200 ") or not answer.endswith(b"}"):
                sys.exit(f"a request failed: {answer[:200]!r}")
            [version] = [name for name, field in VERSIONS.items() if field in answer]
            of_version[version] += 1
    taken_us.sort()
    at = {name: taken_us[int(len(taken_us) * share)] for name, share in SHARES.items()}
    answered = {name: count for name, count in of_version.items() if count}
    figures = {"requests": len(taken_us), **at, "max_us": taken_us[-1], "of_version": answered}
    print(json.dumps(figures))


VERSIONS = {"1": b'"model_version":"1"', "2": b'"model_version":"2"'}
SHARES = {"p50_us": 0.5, "p99_us": 0.99, "p999_us": 0.999}

if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]))
