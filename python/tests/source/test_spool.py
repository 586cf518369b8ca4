"""What waits for its commit is the same in memory and in a file; failures are waited out."""

from __future__ import annotations

from itertools import repeat

import pyarrow as pa
import pytest

from shoal.source._backoff import Backoff
from shoal.source._spooled._spool import Spool

SCHEMA = pa.schema({"n": pa.int64()})
RECORDS = pa.record_batch([range(1000)], SCHEMA)


@pytest.mark.parametrize("memory_bytes", [100, 1 << 20])
def test_what_is_held_is_read_as_often_as_asked(memory_bytes: int) -> None:
    spool = Spool(memory_bytes)
    tokens = [spool.write(SCHEMA, iter([RECORDS] * turns)) for turns in (2, 0, 1)]
    assert [token["rows"] for token in tokens] == [2000, 0, 1000]
    for _ in range(2):
        assert list(spool.read(tokens)) == [RECORDS] * 3
    spool.drop(tokens)
    spool.drop(tokens)
    assert not spool._files


def test_what_fails_while_it_is_written_is_not_held() -> None:
    spool = Spool()

    def failing() -> pa.RecordBatch:
        yield RECORDS
        raise RuntimeError("the reader ended")

    with pytest.raises(RuntimeError, match="the reader ended"):
        spool.write(SCHEMA, failing())
    assert not spool._files


def test_waits_double_up_to_a_bound_and_begin_anew_after_a_success() -> None:
    draws = {0.0: [0.5, 1.0, 1.5, 1.5], 1.0: [1.0, 2.0, 3.0, 3.0]}
    for draw, waits in draws.items():
        backoff = Backoff(1, 3, draw=repeat(draw).__next__)
        assert [backoff.failed() for _ in waits] == waits
        backoff.succeeded()
        assert backoff.failed() == waits[0]
