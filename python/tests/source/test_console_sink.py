"""A console shows an epoch when it commits: to people as a table, to programs as JSON lines."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pytest

from shoal.errors import InvalidRequestError, SinkError
from shoal.source import ConsoleSink, Guarantee

SCHEMA = pa.schema({"n": pa.int64(), "text": pa.string()})


def batch(first: int, end: int) -> pa.RecordBatch:
    numbers = range(first, end)
    return pa.record_batch([list(numbers), [f"[b]{n}\x1b[31m" for n in numbers]], SCHEMA)


def test_nothing_is_printed_before_the_commit() -> None:
    stream = io.StringIO()
    sink = ConsoleSink(stream, form="json")
    assert sink.guarantee is Guarantee.AT_LEAST_ONCE
    assert sink.open("p", SCHEMA) is None
    tokens = [sink.write(1, iter([batch(0, 2), batch(2, 3000)])), sink.write(1, iter([]))]
    given_up = sink.write(2, iter([batch(0, 1)]))
    assert stream.getvalue() == ""
    sink.commit(1, {"at": 0}, {"at": 1}, tokens)
    sink.abort(2, [given_up])
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    assert lines == [{"n": n, "text": f"[b]{n}\x1b[31m"} for n in range(3000)]
    with pytest.raises(SinkError, match="1 records are not held here"):
        sink.commit(2, {"at": 1}, {"at": 2}, [given_up])
    sink.close()


def test_a_table_shows_the_first_records_and_how_many_there_are_more() -> None:
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    sink.open("p", SCHEMA)
    sink.commit(7, {"at": 0}, {"at": 1}, [sink.write(7, iter([batch(0, 50)]))])
    shown = stream.getvalue()
    assert "epoch 7: 50 records" in shown
    assert "and 30 more" in shown
    assert "[b]19�[31m" in shown
    assert "[b]20" not in shown
    sink.close()


def test_a_stream_that_is_closed_is_named() -> None:
    stream = io.StringIO()
    sink = ConsoleSink(stream)
    sink.open("p", SCHEMA)
    token = sink.write(1, iter([batch(0, 1)]))
    stream.close()
    with pytest.raises(SinkError, match="epoch 1 cannot be printed"):
        sink.commit(1, {"at": 0}, {"at": 1}, [token])
    sink.close()


def test_a_form_that_is_none_is_refused() -> None:
    with pytest.raises(InvalidRequestError, match="form is 'xml'"):
        ConsoleSink(form="xml")  # type: ignore[arg-type]  # what is refused
