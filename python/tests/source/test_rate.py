"""Records at a steady rate are the same whenever they are read, and due by the clock."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from shoal.errors import InvalidRequestError, SourceError
from shoal.source import Limit, PlacedSource, RateSource

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import Any

    from shoal.source import Offset, Refused

START = datetime(2026, 1, 1, tzinfo=UTC)
MUCH = Limit(1 << 30, 1 << 40)


class Clock:
    """A clock that stands where it is put."""

    def __init__(self, now: float = 1_000_000.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def opened(directory: Path, rows_per_second: int, **options: Any) -> RateSource:
    source = RateSource(rows_per_second, **options)
    source.open(directory)
    return source


def read(source: RateSource, start: Offset, end: Offset) -> Iterator[tuple[int, datetime]]:
    for split in source.splits(start, end):
        for batch in source.read(split):
            yield from zip(*batch.to_pydict().values(), strict=True)


def test_record_n_stands_for_n_steps_after_the_start(tmp_path: Path) -> None:
    source = opened(tmp_path, 3, start=START, rows=200_000)
    end = source.latest(source.initial(), MUCH)
    found = list(read(source, {"row": 0}, end))
    assert len(found) == 200_000
    assert [value for value, _ in found[:5]] == [0, 1, 2, 3, 4]
    for value, moment in (found[0], found[1], found[3], found[199_999]):
        assert moment == START + timedelta(microseconds=value * 1_000_000 // 3)
    assert list(read(source, {"row": 17}, {"row": 19})) == found[17:19]
    assert source.latest(end, MUCH) == end
    assert source.is_bounded


def test_records_fall_due_by_the_clock_also_while_nothing_runs(tmp_path: Path) -> None:
    clock = Clock()
    source = opened(tmp_path, 10, clock=clock)
    assert source.latest({"row": 0}, MUCH) == {"row": 1}
    clock.now += 0.5
    assert source.latest({"row": 1}, MUCH) == {"row": 6}
    assert source.latest({"row": 1}, Limit(2, 1 << 20)) == {"row": 3}
    assert source.latest({"row": 1}, Limit(99, 48)) == {"row": 4}
    clock.now += 100
    again = opened(tmp_path, 10, clock=clock)
    assert again.latest({"row": 6}, MUCH) == {"row": 1006}
    assert again.lag_rows({"row": 6}) == 1000
    assert list(read(again, {"row": 1}, {"row": 4})) == list(read(source, {"row": 1}, {"row": 4}))
    clock.now -= 1000
    assert again.latest({"row": 6}, MUCH) == {"row": 6}
    assert not again.is_bounded


def test_it_waits_for_the_next_record_and_no_longer(tmp_path: Path) -> None:
    source = opened(tmp_path, 20)
    began = time.monotonic()
    end = source.latest({"row": 1}, Limit(1 << 20, 1 << 20, wait_seconds=30))
    assert end["row"] >= 2
    assert source.latest({"row": 10_000}, Limit(1, 1 << 20, wait_seconds=0.01)) == {"row": 10_000}
    assert time.monotonic() - began < 15


def test_every_record_is_in_one_partition(tmp_path: Path) -> None:
    source = opened(tmp_path, 5, rows=100, partitions=4, start=START)
    splits = source.splits({"row": 3}, {"row": 90})
    assert [split["partition"] for split in splits] == ["0", "1", "2", "3"]
    values = []
    for split in splits:
        for batch in source.read(split):
            numbers = batch["value"].to_pylist()
            assert {number % 4 for number in numbers} == {int(split["partition"])}
            values += numbers
    assert sorted(values) == list(range(3, 90))
    assert len(source.splits({"row": 3}, {"row": 5})) == 2
    assert source.splits({"row": 3}, {"row": 3}) == []


def test_its_places_are_the_numbers_of_the_records(tmp_path: Path) -> None:
    source = opened(tmp_path, 5, rows=10, partitions=3, start=START)
    assert isinstance(source, PlacedSource)
    refused: list[Refused] = []
    split = source.splits({"row": 0}, {"row": 10})[1]
    ((place, batch),) = source.read_placed(split, refused.append)
    assert batch["value"].to_pylist() == [1, 4, 7]
    assert [place.of(row) for row in range(3)] == ["row 1", "row 4", "row 7"]


def test_another_start_than_the_first_is_refused(tmp_path: Path) -> None:
    opened(tmp_path, 5, start=START)
    with pytest.raises(SourceError, match="began with another"):
        opened(tmp_path, 5, start=START + timedelta(seconds=1))


@pytest.mark.parametrize(
    ("rows_per_second", "options", "reason"),
    [
        (0, {}, "rows_per_second is 0"),
        (1, {"rows": -1}, "rows is -1"),
        (1, {"partitions": 0}, "partitions is 0"),
        (1, {"start": datetime(2026, 1, 1)}, "time zone"),  # noqa: DTZ001 - what is refused
    ],
)
def test_what_makes_no_sense_is_refused(
    rows_per_second: int, options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(InvalidRequestError, match=reason):
        RateSource(rows_per_second, **options)
