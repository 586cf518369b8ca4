"""Numbers that Prometheus tells: instant queries over its HTTP API.

- One query gives one number, or says why it does not: not reached, refused, an answer of another
  form, no series, several series, a warning. Nothing is guessed.
- An answer is read up to a limit; it is not followed elsewhere, and asked for once: the next look
  is the next attempt.

Source: prometheus.io/docs/prometheus/latest/querying/api, "Instant queries".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import urllib3

from shoal.deploy._canary._http import ANSWER_LIMIT_BYTES, bounded, pool, read_secret, told
from shoal.deploy._canary._judge import Measured
from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from shoal.deploy._canary._analysis import Prometheus

_SHOWN_CHARACTERS = 200


class _Series(msgspec.Struct, frozen=True):
    value: tuple[float, str]


class _Data(msgspec.Struct, frozen=True, kw_only=True):
    kind: str = msgspec.field(name="resultType")
    result: msgspec.Raw


class _Answer(msgspec.Struct, frozen=True, kw_only=True):
    status: str
    data: _Data | None = None
    error: str = ""
    warnings: tuple[str, ...] = ()


class Client:
    """Asks one Prometheus."""

    def __init__(self, settings: Prometheus) -> None:
        """Takes an address; nothing is asked yet.

        Raises:
            ConfigurationError: there is no address.
            PathError: the certificates cannot be read.
        """
        if settings.url is None:
            hint = "Give --prometheus URL, or [prometheus] url in the analysis."
            raise ConfigurationError("nobody says where Prometheus is", hint=hint)
        self._url = settings.url.rstrip("/") + "/api/v1/query"
        self._timeout_seconds = settings.timeout_seconds
        self._token_file = settings.token_file
        self._pool = pool(settings.ca_file, settings.timeout_seconds)

    def ask(self, query: str) -> Measured:
        """The number that a query gives now.

        Raises:
            PathError: the token cannot be read.
        """
        fields = {"query": query, "timeout": f"{self._timeout_seconds:g}s"}
        headers = {"Accept": "application/json"}
        if self._token_file is not None:
            headers["Authorization"] = f"Bearer {read_secret(self._token_file)}"
        try:
            status, body, _ = bounded(
                self._pool,
                "POST",
                self._url,
                fields=fields,
                headers=headers,
                encode_multipart=False,
            )
        except urllib3.exceptions.HTTPError as error:
            return Measured(problem=f"Prometheus was not reached: {told(error)}")
        if len(body) > ANSWER_LIMIT_BYTES:
            return Measured(problem=f"Prometheus answered more than {ANSWER_LIMIT_BYTES} bytes")
        return _read(status, body)

    def close(self) -> None:
        """Ends the connections."""
        self._pool.clear()


def _read(status: int, body: bytes) -> Measured:
    try:
        answer = msgspec.json.decode(body, type=_Answer)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return Measured(problem=f"Prometheus answered {status}, and nothing of its API")
    if answer.status != "success" or answer.data is None:
        said = " ".join(answer.error.split())[:_SHOWN_CHARACTERS]
        return Measured(problem=f"Prometheus refused the query: {said or status}")
    if answer.warnings:
        said = " ".join(answer.warnings[0].split())[:_SHOWN_CHARACTERS]
        return Measured(problem=f"Prometheus warns: {said}")
    try:
        return _value(answer.data)
    except (msgspec.MsgspecError, ValueError):
        return Measured(problem="Prometheus answered no number")


def _value(data: _Data) -> Measured:
    if data.kind == "scalar":
        _, text = msgspec.json.decode(data.result, type=tuple[float, str])
        return Measured(value=float(text))
    if data.kind != "vector":
        return Measured(problem=f"the query gives a {data.kind[:40]}, expected one number")
    series = msgspec.json.decode(data.result, type=list[_Series])
    if not series:
        return Measured(problem="no series")
    if len(series) > 1:
        return Measured(problem=f"the query gives {len(series)} series, expected one")
    return Measured(value=float(series[0].value[1]))
