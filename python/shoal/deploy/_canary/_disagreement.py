"""How often the new version answers otherwise than the old one: the same records to both.

- The server copies no requests from one version to another, so the one that watches asks both.
- It asks once in a step, a bounded number of records: its own requests count in the metrics too.
- A record that both refuse is answered alike; one that only one refuses is answered otherwise. A
  request that is refused is sent again record by record.
- A server that is not there, is busy or does not know the model has not answered: nothing is known
  then, which is never good.
"""

from __future__ import annotations

import math
from string import Template
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec
import urllib3

from shoal.deploy._canary._analysis import Metric
from shoal.deploy._canary._http import ANSWER_LIMIT_BYTES, bounded, pool, read_secret, told
from shoal.deploy._canary._judge import Measured, judge
from shoal.deploy._canary._sample import request_of
from shoal.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from shoal.deploy._canary._analysis import Disagreement
    from shoal.deploy._canary._judge import Verdict
    from shoal.deploy._canary._sample import Sample

NAME = "disagreement"
# Refusals that say nothing of a record: who asks, whether it is there, whether it has time.
_NO_ANSWER = frozenset({401, 403, 404, 405, 408, 413, 429, 502, 503})
_OK = 200
_REFUSED = 400

Row: TypeAlias = dict[str, Any] | str
"""What one record was answered: its outputs, or the code of a refusal."""


class _Problem(msgspec.Struct, frozen=True):
    code: str = "refused"


class _NotAnsweredError(Exception):
    """A server gave no answer to compare."""


class Comparison:
    """Asks both versions for the same records."""

    def __init__(self, settings: Disagreement, sample: Sample, old: str, new: str) -> None:
        """Takes the records and the addresses; nothing is asked yet.

        Args:
            settings: What is compared, and how.
            sample: The records.
            old: The address of the old version.
            new: The address of the new one.

        Raises:
            PathError: the certificates cannot be read.
        """
        self._settings = settings
        self._sample = sample
        self._addresses = (old, new)
        self._pool = pool(settings.ca_file, settings.timeout_seconds)

    def verdict(self) -> Verdict:
        """Asks for all records, and judges the share that is answered otherwise.

        Raises:
            PathError: the API key cannot be read.
        """
        metric = Metric(query="", at_most=self._settings.at_most)
        return judge(NAME, metric, Measured(0.0), self._measured())

    def reach_old(self) -> str:
        """Why the old version cannot be asked; nothing where it answers."""
        first = self._sample.batches[0].slice(0, 1)
        try:
            self._ask(self._addresses[0], first)
        except _NotAnsweredError as error:
            return str(error)
        return ""

    def close(self) -> None:
        """Ends the connections."""
        self._pool.clear()

    def _measured(self) -> Measured:
        differing = 0
        try:
            for batch in self._sample.batches:
                differing += sum(self._differing(batch))
        except _NotAnsweredError as error:
            return Measured(problem=str(error))
        records = self._sample.records
        return Measured(differing / records, records)

    def _differing(self, batch: pa.RecordBatch) -> Iterator[bool]:
        pairs = [self._ask(address, batch) for address in self._addresses]
        if batch.num_rows > 1 and any(isinstance(rows[0], str) for rows in pairs):
            for place in range(batch.num_rows):
                yield from self._differing(batch.slice(place, 1))
            return
        for old, new in zip(*pairs, strict=True):
            yield self._differ(old, new)

    def _differ(self, old: Row, new: Row) -> bool:
        if isinstance(old, str) or isinstance(new, str):
            return isinstance(old, str) != isinstance(new, str)
        settings = self._settings
        tolerances = (settings.absolute_tolerance, settings.relative_tolerance)
        return any(
            differ(old.get(column.name), new.get(column.name), *tolerances)
            for column in self._sample.outputs
        )

    def _ask(self, address: str, batch: pa.RecordBatch) -> list[Row]:
        message = request_of(self._sample, batch)
        url = f"{address}/v2/models/{self._sample.model}/infer"
        headers = {**message.headers, "Content-Type": "application/octet-stream"}
        if self._settings.key_file is not None:
            headers["X-API-Key"] = read_secret(self._settings.key_file)
        try:
            answer = bounded(self._pool, "POST", url, body=message.body, headers=headers)
        except urllib3.exceptions.HTTPError as error:
            raise _NotAnsweredError(f"{address} was not reached: {told(error)}") from None
        if answer.status in _NO_ANSWER or _OK < answer.status < _REFUSED:
            raise _NotAnsweredError(f"{address} answered {answer.status}: {_code(answer.body)}")
        if answer.status != _OK:
            return [_code(answer.body)] * batch.num_rows
        if len(answer.body) > ANSWER_LIMIT_BYTES:
            raise _NotAnsweredError(f"{address} answered more than {ANSWER_LIMIT_BYTES} bytes")
        return _rows(address, answer.body, answer.headers, batch.num_rows)


def address_of(template: str, *, namespace: str, service: str) -> str:
    """Where a version answers over HTTP."""
    return Template(template).substitute(namespace=namespace, service=service).rstrip("/")


def differ(old: Any, new: Any, absolute: float, relative: float) -> bool:
    """Whether two answers to a record differ; floats may be a little apart.

    Args:
        old: The answer of the old version: a value, or a list of them.
        new: That of the new one.
        absolute: How far two floats may be apart.
        relative: How far, as a share of the larger one.
    """
    if isinstance(old, list) and isinstance(new, list):
        pairs = zip(old, new, strict=False)
        return len(old) != len(new) or any(differ(*pair, absolute, relative) for pair in pairs)
    if not isinstance(old, float) or not isinstance(new, float):
        return bool(old != new)
    if math.isnan(old) and math.isnan(new):
        return False
    return not math.isclose(old, new, rel_tol=relative, abs_tol=absolute)


def _rows(address: str, body: bytes, headers: dict[str, str], count: int) -> list[Row]:
    from shoal.values import Column, Dtype, decode_response, to_arrow

    try:
        wire = decode_response(body, headers, limit_bytes=ANSWER_LIMIT_BYTES).columns
        columns = [
            Column(name, Dtype(dtype), tuple(shape[1:]), nullable=True)
            for name, dtype, shape, _, _ in wire
        ]
        rows: list[Row] = to_arrow(wire, columns).to_pylist()
    except InputError as error:
        raise _NotAnsweredError(f"{address} answered what cannot be read: {error}") from None
    if len(rows) != count:
        raise _NotAnsweredError(f"{address} answered {len(rows)} records of {count}")
    return rows


def _code(body: bytes) -> str:
    try:
        return msgspec.json.decode(body, type=_Problem).code
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return "refused"
