"""Moments are whole seconds, however they are given; what is none is refused with its row."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import DtypeError, InvalidRequestError, NullError, ShapeError
from shoal.values import (
    Column,
    Dtype,
    Signature,
    from_arrow,
    in_seconds,
    read_moments,
    with_moments,
    with_seconds,
)

VECTORS: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[3] / "protocol/vectors/moments.json").read_text(encoding="utf-8")
)
AT = Column("at", Dtype.INT64, nullable=True, moment=True)
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}
ZONES = [None, "UTC", "Europe/Berlin", "-09:30"]
# What nanoseconds of 64 bits reach, so that every unit holds each of them.
REACH = 9_000_000_000
moments = st.datetimes(
    datetime.datetime(1, 1, 2),  # noqa: DTZ001 - without a zone: UTC
    datetime.datetime(9999, 12, 30),  # noqa: DTZ001
)


def seconds_of(array: pa.Array) -> list[int | None]:
    """What a model is given for a column of moments."""
    _, dtype, shape, data, missing = from_arrow(pa.record_batch({"at": array}), [AT])[0]
    assert (dtype, shape) == ("INT64", [len(array)])
    assert not isinstance(data, list)
    gone = np.zeros(len(array), np.uint8) if missing is None else np.frombuffer(missing, np.uint8)
    pairs = zip(np.frombuffer(data, np.int64).tolist(), gone, strict=True)
    return [None if is_gone else value for value, is_gone in pairs]


@pytest.mark.parametrize("case", VECTORS, ids=lambda case: repr(case["text"]))
def test_text_is_read_as_the_vectors_say(case: dict[str, Any]) -> None:
    column = pa.array(["2000-01-01", None, case["text"]])
    if case["seconds"] is not None:
        assert seconds_of(column) == [946_684_800, None, case["seconds"]]
        return
    with pytest.raises(DtypeError, match="column 'at' row 2 is ") as caught:
        seconds_of(column)
    assert "expected a moment" in str(caught.value)
    assert "ISO 8601" in str(caught.value.hint)


def test_every_day_and_no_other_is_read() -> None:
    days = [
        (year, month, day)
        for year in [*range(110), *range(1890, 2110), 2400, 9996, 9999]
        for month in range(14)
        for day in range(33)
    ]

    def known(parts: tuple[int, int, int]) -> int | None:
        try:
            return (datetime.date(*parts).toordinal() - 719_163) * 86_400
        except ValueError:
            return None

    found = read_moments(pa.array(f"{year:04}-{month:02}-{day:02}" for year, month, day in days))
    assert found.to_pylist() == [known(parts) for parts in days]


@given(
    seconds=st.integers(-REACH, REACH),
    part=st.floats(0, 1, exclude_max=True),
    unit=st.sampled_from(list(UNITS)),
    zone=st.sampled_from(ZONES),
)
def test_a_timestamp_of_any_unit_and_zone_is_the_second_that_it_lies_in(
    *, seconds: int, part: float, unit: str, zone: str | None
) -> None:
    count = seconds * UNITS[unit] + int(part * UNITS[unit])
    column = pa.array([count, None], pa.int64()).cast(pa.timestamp(unit, zone))
    assert seconds_of(column) == [seconds, None]


@given(moment=moments, offset_minutes=st.integers(-1439, 1439), is_dated=st.booleans())
def test_a_moment_means_the_same_in_every_form(
    *, moment: datetime.datetime, offset_minutes: int, is_dated: bool
) -> None:
    moment = datetime.datetime.combine(moment, datetime.time()) if is_dated else moment
    whole = (moment - datetime.datetime(1970, 1, 1)) // datetime.timedelta(seconds=1)  # noqa: DTZ001
    zone = datetime.timezone(datetime.timedelta(minutes=offset_minutes))
    local = moment.replace(tzinfo=datetime.UTC).astimezone(zone)
    texts = [moment.isoformat(), moment.isoformat(" ") + "Z", local.isoformat()]
    assert seconds_of(pa.array([whole])) == [whole]
    assert seconds_of(pa.array(texts)) == [whole] * 3
    assert seconds_of(pa.array([moment], pa.timestamp("us"))) == [whole]
    if is_dated:
        days = pa.array([moment.date()])
        assert seconds_of(days) == seconds_of(days.cast(pa.date64())) == [whole]


def test_dictionaries_chunks_slices_and_nulls_are_read_by_value() -> None:
    texts = pa.array(["1970-01-01", None, "1970-01-02"])
    for column in (
        texts.dictionary_encode(),
        texts.cast(pa.large_string()),
        texts.cast(pa.string_view()),
        texts.cast(pa.date32()).dictionary_encode(),
        pa.array([9, 0, None, 86_400_999], pa.timestamp("ms")).slice(1),
    ):
        assert seconds_of(column) == [0, None, 86_400]
    assert seconds_of(pa.nulls(2)) == [None, None]
    for kind in (pa.string(), pa.date32(), pa.timestamp("ns")):
        assert seconds_of(pa.array([], kind)) == []
        assert seconds_of(pa.nulls(1, kind)) == [None]
    chunks = pa.table({"at": pa.chunked_array([texts.slice(0, 1), texts.slice(2)])})
    assert from_arrow(chunks, [AT])[0][2] == [2]


def test_what_is_no_moment_is_refused_as_in_other_columns() -> None:
    for column in (pa.array([1.0]), pa.array([True]), pa.array([b"2021-05-31"])):
        with pytest.raises(DtypeError, match=r"column 'at' is .* in Arrow"):
            seconds_of(column)
    with pytest.raises(ShapeError, match="1 dimensions"):
        seconds_of(pa.array([["2021-05-31"]]))
    required = Column("at", Dtype.INT64, moment=True)
    with pytest.raises(NullError, match="column 'at' row 1 is null"):
        from_arrow(pa.record_batch({"at": pa.array(["2021-05-31", None])}), [required])


def test_a_column_without_the_flag_takes_no_moments() -> None:
    plain = Column("at", Dtype.INT64)
    for kind in (pa.string(), pa.date32(), pa.timestamp("s")):
        with pytest.raises(DtypeError):
            from_arrow(pa.record_batch({"at": pa.array(["2021-05-31"]).cast(kind)}), [plain])


def test_a_field_of_a_text_file_may_also_be_digits() -> None:
    fields = ["1622456430", " -1 ", "2021-05-31\t", "", None, "1e3", "1.0", "+1", "0x1F"]
    fields += [str(10**18 - 1), "9" * 19, "-"]
    found = read_moments(pa.array(fields), digits=True).to_pylist()
    gone = [None] * 6
    assert found == [1_622_456_430, -1, 1_622_419_200, *gone, 10**18 - 1, None, None]
    assert read_moments(pa.array(["1622456430", " 2021-05-31"])).to_pylist() == [None, None]


def test_columns_of_a_table_become_seconds_by_name() -> None:
    batch = pa.record_batch({"at": ["1970-01-02"], "day": ["1970-01-02"], "n": [1]})
    found = with_seconds(batch, {"at", "n", "else"})
    assert found.to_pydict() == {"at": [86_400], "day": ["1970-01-02"], "n": [1]}
    assert in_seconds(batch.column("n"), "n").equals(batch.column("n"))


def test_a_signature_without_moments_is_written_as_before() -> None:
    signature = Signature((Column("at", Dtype.INT64),), (Column("y", Dtype.FP32),))
    assert b"moment" not in signature.to_json()
    told = Signature(with_moments(signature.inputs, ["at"]), signature.outputs)
    assert b'{"dtype":"INT64","moment":true,"name":"at","shape":[]}' in told.to_json()
    assert Signature.from_json(told.to_json()) == told
    assert with_moments(told.inputs, []) == signature.inputs


def test_only_inputs_of_int64_scalars_hold_moments() -> None:
    for dtype, shape in ((Dtype.FP64, ()), (Dtype.INT32, ()), (Dtype.INT64, (1,))):
        with pytest.raises(InvalidRequestError, match=r"'at' .* and holds moments, expected INT64"):
            Column("at", dtype, shape, moment=True)
    with pytest.raises(InvalidRequestError, match="output 'at' holds moments"):
        Signature((AT,), (AT,))
    with pytest.raises(
        InvalidRequestError, match="moments names 'on', which is no input"
    ) as caught:
        with_moments((AT,), ["on"])
    assert caught.value.hint == "The inputs are at."
