"""What was appended is there, whole and in order, whatever became of the process or the disk."""

from __future__ import annotations

import json
import random
import resource
import signal
import subprocess
import sys
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from threading import Thread
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.errors import BusyError, ConflictError, InvalidRequestError, SourceError
from shoal.source import Limit
from shoal.source._received._segments import (
    Group,
    Segments,
    encoded,
    length_within,
    records_of,
    rows_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.source import Offset

MUCH = Limit(1 << 30, 1 << 40)
KILLS = 8
PYTHON = str(Path(__file__).parents[2])


def opened(path: Path, segment_bytes: int = 200, limit_bytes: int = 1 << 20) -> Segments:
    return Segments(path, segment_bytes=segment_bytes, limit_bytes=limit_bytes)


def group(*numbers: int, note: bytes = b"") -> Group:
    return Group([b'{"n":%d}' % number for number in numbers], note)


def numbers_in(log: Segments, start: Offset, end: Offset) -> list[int]:
    blocks = (records_of(block.lines) for block in log.read(start, end))
    return [json.loads(line)["n"] for lines in blocks for line in lines.splitlines()]


def all_numbers(log: Segments) -> list[int]:
    return numbers_in(log, log.initial(), log.end())


def test_what_is_appended_is_read_and_read_again(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        ends = [log.append(group(n, n + 1000)) for n in range(50)]
        assert numbers_in(log, ends[9], ends[19]) == [
            n + m for n in range(10, 20) for m in (0, 1000)
        ]
    with closing(opened(tmp_path)) as log:
        assert log.end() == ends[-1]
        assert all_numbers(log) == [n + m for n in range(50) for m in (0, 1000)]
        assert log.rows_behind(ends[9]) == 80
        assert log.rows_behind(log.initial()) == 100
    assert len(list(tmp_path.glob("*.jsonl"))) > 5


def test_a_line_break_in_json_stays_inside_its_record(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        log.append(Group([b'{\r\n "n":\n 1}', b'{"n":2}']))
        assert all_numbers(log) == [1, 2]


def test_a_range_ends_where_rows_or_bytes_are_reached(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        for n in range(0, 100, 4):
            log.append(group(*range(n, n + 4)))
        start, found, rows = log.initial(), [], []
        while (end := log.end_within(start, Limit(7, 1 << 20))) != start:
            found += numbers_in(log, start, end)
            rows.append(len(found))
            start = end
        assert found == list(range(100))
        assert rows[:3] == [7, 14, 21]
        start, sizes = log.initial(), []
        while (end := log.end_within(start, Limit(1 << 20, 1))) != start:
            sizes.append(len(numbers_in(log, start, end)))
            start = end
        assert sizes == [1] * 100


@given(
    sizes=st.lists(st.integers(1, 5), min_size=1, max_size=8),
    rows=st.integers(1, 20),
    size_bytes=st.integers(-3, 200),
)
def test_a_range_is_the_shortest_that_reaches_a_limit(
    sizes: list[int], rows: int, size_bytes: int
) -> None:
    lines = b"".join(encoded(group(*range(size))) for size in sizes)
    length = length_within(lines, rows, size_bytes)
    part = lines[:length]
    assert part.endswith(b"\n")
    assert rows_of(part) >= 1
    assert rows_of(part) <= rows
    is_all = length == len(lines)
    assert is_all or rows_of(part) == rows or length >= size_bytes
    before = part[: part[:-1].rfind(b"\n") + 1]
    assert len(before) < size_bytes or not rows_of(before)
    assert rows_of(before) < rows or part[len(before) :].startswith(b"=")


def test_above_its_limit_it_takes_nothing_until_something_is_dropped(tmp_path: Path) -> None:
    with closing(opened(tmp_path, limit_bytes=800)) as log:
        count = _filled(log)
        with pytest.raises(BusyError, match="wait to be read, at most 800"):
            log.append(group(count))
        middle = log.end_within(log.initial(), Limit(count - 2, 1 << 20))
        assert all_numbers(log) == list(range(count))
        log.drop(middle)
        log.append(group(count))
        assert numbers_in(log, middle, log.end()) == [count - 2, count - 1, count]
        with pytest.raises(SourceError, match="not there any more"):
            numbers_in(log, {"segment": 1, "at": 0}, log.end())
        with pytest.raises(InvalidRequestError, match="expected 200 at most"):
            log.append(group(*range(100)))


def _filled(log: Segments) -> int:
    """How many groups were appended before there was no room."""
    count = 0
    with suppress(BusyError):
        while True:
            log.append(group(count))
            count += 1
    return count


def test_there_is_room_as_soon_as_all_was_read(tmp_path: Path) -> None:
    with closing(opened(tmp_path, limit_bytes=800)) as log:
        for turn in range(100):
            try:
                log.append(group(*range(turn % 15 + 1)))
            except BusyError:
                log.drop(log.end())
                log.append(group(*range(15)))
    assert len(list(tmp_path.glob("*.jsonl"))) < 5


def test_notes_are_stored_with_their_groups(tmp_path: Path) -> None:
    with closing(opened(tmp_path)) as log:
        for n in range(30):
            log.append(group(n, n, note=b'"key %d"' % n), group(0))
        log.drop(log.end())
    with closing(opened(tmp_path)) as log:
        last = log.notes(3)
        assert last[-1] == (b'"key 29"', 2)
        assert [note for note, _ in last] == [b'"key %d"' % n for n in range(30 - len(last), 30)]


def test_one_process_writes_to_it(tmp_path: Path) -> None:
    with closing(opened(tmp_path)), pytest.raises(ConflictError, match="another process"):
        opened(tmp_path)
    with pytest.raises(InvalidRequestError, match="limit_bytes is 10"):
        opened(tmp_path, limit_bytes=10)


def test_who_waits_is_told_of_what_comes_and_of_the_end(tmp_path: Path) -> None:
    log = opened(tmp_path)
    assert not log.wait_beyond(log.initial(), 0)
    writer = Thread(target=lambda: log.append(group(1)))
    writer.start()
    assert log.wait_beyond(log.initial(), 60)
    writer.join()
    end = log.end()
    closer = Thread(target=log.close)
    closer.start()
    assert not log.wait_beyond(end, 60)
    closer.join()
    with pytest.raises(SourceError, match="is closed"):
        log.append(group(2))


def test_an_offset_behind_the_end_is_refused(tmp_path: Path) -> None:
    with (
        closing(opened(tmp_path)) as log,
        pytest.raises(SourceError, match=r"ends at .* before"),
    ):
        log.end_within({"segment": 4, "at": 9}, MUCH)


groups = st.lists(st.integers(0, 9), min_size=1, max_size=6)
steps = st.lists(
    st.one_of(groups, st.sampled_from(["reopen", "drop"]), st.integers(0, 400)), max_size=25
)


@given(steps)
def test_what_is_whole_is_kept_however_it_is_cut(plan: list[list[int] | str | int]) -> None:
    """A number cuts that many bytes off the last segment, and spoils what is left of its end."""
    with TemporaryDirectory() as directory:
        path = Path(directory)
        log = opened(path)
        held: list[list[int]] = []
        dropped = 0
        for step in plan:
            if isinstance(step, list):
                log.append(group(*step))
                held.append(step)
            elif step == "drop":
                log.drop(log.end())
                kept = len(all_numbers(log))
                dropped = sum(map(len, held)) - kept
            else:
                log.close()
                held = _cut(path, held, step if isinstance(step, int) else 0)
                log = opened(path)
            assert all_numbers(log) == [n for each in held for n in each][dropped:]
            assert log.rows_behind(log.initial()) == sum(map(len, held)) - dropped
        log.close()


def _cut(path: Path, held: list[list[int]], size_bytes: int) -> list[list[int]]:
    """Cuts the last segment; what stays are the groups that are still whole."""
    last = max(path.glob("*.jsonl"))
    data = last.read_bytes()
    left = data[: max(len(data) - size_bytes, 0)]
    groups_in = data.count(b"\n=") + data.startswith(b"=")
    whole = 0
    if left and size_bytes:
        left = left[:-1] + bytes([left[-1] ^ 1])
    last.write_bytes(left)
    if not size_bytes:
        return held
    place = 0
    for each in held[len(held) - groups_in :]:
        place += len(encoded(group(*each)))
        whole += place < len(left)
    return held[: len(held) - groups_in + whole]


WRITER = """
import sys
from pathlib import Path
from shoal.source._received._segments import Group, Segments

log = Segments(Path(sys.argv[1]), segment_bytes=4096, limit_bytes=1 << 30)
number = int(sys.argv[2])
while True:
    records = [b'{"n":%d}' % n for n in range(number, number + 1 + number % 97)]
    log.append(Group(records, b"%d" % number))
    number += len(records)
    print(number, flush=True)
"""


def test_a_writer_that_is_killed_leaves_all_that_it_has_acknowledged(
    tmp_path: Path, prove_scale: int
) -> None:
    draw = random.Random(7)
    number = 0
    for _ in range(KILLS * prove_scale):
        command = [sys.executable, "-c", WRITER, str(tmp_path), str(number)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={"PYTHONPATH": PYTHON}
        ) as child:
            assert child.stdout is not None
            for _ in range(draw.randrange(1, 60)):
                acknowledged = int(child.stdout.readline())
            child.send_signal(signal.SIGKILL)
            rest = child.stdout.read().split()
        if rest and len(rest[-1]) >= len(str(acknowledged)):
            acknowledged = int(rest[-1])
        with closing(opened(tmp_path, segment_bytes=4096)) as log:
            found = all_numbers(log)
            assert found == list(range(len(found)))
            assert len(found) >= acknowledged
            note, rows = log.notes(1)[-1]
            assert int(note) + rows == len(found)
        number = len(found)


@contextmanager
def files_of_at_most(size_bytes: int) -> Iterator[None]:
    """What a full disk does: a write takes a part, and the next one fails."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def test_an_append_that_fails_leaves_nothing(tmp_path: Path) -> None:
    with closing(opened(tmp_path, segment_bytes=1 << 16)) as log:
        log.append(group(1, 2, 3))
        end = log.end()
        with (
            files_of_at_most(end["at"] + 20),
            pytest.raises(SourceError, match="cannot be written: File too large"),
        ):
            log.append(group(*range(100)))
        assert log.end() == end
        assert (tmp_path / "000000000001.jsonl").stat().st_size == end["at"]
        log.append(group(4))
        assert all_numbers(log) == [1, 2, 3, 4]
    with closing(opened(tmp_path, segment_bytes=1 << 16)) as log:
        assert all_numbers(log) == [1, 2, 3, 4]


def test_several_threads_append_and_each_group_stays_whole(tmp_path: Path) -> None:
    with closing(opened(tmp_path, segment_bytes=1000)) as log:
        threads = [
            Thread(target=lambda n=n: [log.append(group(n, n, n)) for _ in range(20)])
            for n in range(5)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = all_numbers(log)
        assert len(found) == 300
        assert all(found[n] == found[n + 1] == found[n + 2] for n in range(0, 300, 3))
