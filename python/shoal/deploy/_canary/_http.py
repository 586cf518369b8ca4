"""Calls over HTTP that are bounded: in time, in size, and in whom they follow.

- One call is one attempt: nobody is followed elsewhere, and the next look is the next attempt.
- Secrets are read from files at each call, so that one that was changed counts, and are never in
  a message.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import urllib3

from shoal.errors import ConfigurationError, PathError

ANSWER_LIMIT_BYTES = 16 * 1024 * 1024
_SECRET_LIMIT_BYTES = 64 * 1024
_SHOWN_CHARACTERS = 200
_CHUNK_BYTES = 64 * 1024


class Answer(NamedTuple):
    """An answer; a body over the limit has one byte more than that."""

    status: int
    body: bytes
    headers: dict[str, str]


def pool(ca_file: str | None, timeout_seconds: float) -> urllib3.PoolManager:
    """Connections that try once.

    Raises:
        PathError: the certificates cannot be read.
    """
    if ca_file is not None and not Path(ca_file).is_file():
        raise PathError(f"there are no certificates at {ca_file}")
    options: dict[str, Any] = {} if ca_file is None else {"ca_certs": ca_file}
    return urllib3.PoolManager(
        timeout=urllib3.Timeout(total=timeout_seconds), retries=False, **options
    )


def bounded(connections: urllib3.PoolManager, method: str, url: str, **request: Any) -> Answer:
    """Calls, and reads at most one byte more than the limit.

    Raises:
        urllib3.exceptions.HTTPError: there is no answer.
    """
    answer = connections.request(method, url, preload_content=False, redirect=False, **request)
    body = bytearray()
    try:
        for chunk in answer.stream(_CHUNK_BYTES):
            body += chunk
            if len(body) > ANSWER_LIMIT_BYTES:
                answer.close()
                break
    finally:
        answer.release_conn()
    return Answer(answer.status, bytes(body[: ANSWER_LIMIT_BYTES + 1]), dict(answer.headers))


def read_secret(path: str) -> str:
    """The secret in a file, without the end of the line.

    Raises:
        PathError: it cannot be read.
        ConfigurationError: it is no secret that a header can hold.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(_SECRET_LIMIT_BYTES + 1)
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror or error}") from error
    text = data.strip()
    is_one_line = text.isascii() and text.decode("latin-1").isprintable()
    if not text or len(data) > _SECRET_LIMIT_BYTES or not is_one_line:
        raise ConfigurationError(f"{path} holds no secret of one line")
    return text.decode()


def told(error: BaseException) -> str:
    """What went wrong with a connection, on one line that ends."""
    return " ".join(str(error).split())[:_SHOWN_CHARACTERS]
