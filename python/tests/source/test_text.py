"""Text is cut where records end, wherever the blocks end."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pyarrow as pa
from hypothesis import given
from hypothesis import strategies as st

from shoal.source import _text
from shoal.source._pieces import Piece

if TYPE_CHECKING:
    from shoal.source._pieces import Refused

QUOTED = _text.Lines(quote=b'"')
PLAIN = _text.Lines(quote=None)

fields = st.one_of(
    st.text("ab,1", max_size=5),
    st.text('a,\n"', max_size=8).map(lambda text: '"' + text.replace('"', '""') + '"'),
)
records = st.lists(st.lists(fields, min_size=1, max_size=3).map(",".join), min_size=1, max_size=20)


@given(lines=records, size_bytes=st.integers(1, 50), ends=st.booleans())
def test_blocks_are_whole_records_and_together_the_file(
    *, lines: list[str], size_bytes: int, ends: bool
) -> None:
    text = "\n".join(lines) + ("\n" if ends else "")
    data = text.encode()
    blocks = list(_text.blocks(io.BytesIO(data), QUOTED, size_bytes, "file"))
    assert b"".join(blocks) == data
    ends_of_records = {0, len(data)}
    place = 0
    while place < len(data):
        place = QUOTED.first_end(data, place)
        ends_of_records.add(place)
    place = 0
    for block in blocks:
        place += len(block)
        assert place in ends_of_records
    assert all(block.count(b'"') % 2 == 0 for block in blocks)


@given(st.lists(st.booleans(), min_size=1, max_size=60), st.integers(1, 100))
def test_what_cannot_be_decoded_is_refused_alone(are_bad: list[bool], size_bytes: int) -> None:
    def decode(block: bytes) -> pa.RecordBatch:
        if b"bad" in block:
            raise pa.ArrowInvalid("bad")
        return pa.record_batch({"line": block.decode().splitlines()})

    lines = [f"{'bad' if bad else 'good'}{number}" for number, bad in enumerate(are_bad)]
    refused: list[Refused] = []
    data = "".join(line + "\n" for line in lines).encode()
    good: list[str] = []
    place = 0
    for block in _text.blocks(io.BytesIO(data), PLAIN, size_bytes, "file"):
        refusing = _text._refusing(_piece(len(data)), place, refused.append)
        for offset, batch in _text.decoded(block, PLAIN, decode, refusing):
            found = batch.column("line").to_pylist()
            assert data[place + offset :].startswith(found[0].encode())
            good += found
        place += len(block)
    assert good == [line for line in lines if line.startswith("good")]
    assert [each.record for each in refused] == [line for line in lines if line.startswith("bad")]
    starts = [data.index(f"{each.record}\n".encode()) for each in refused]
    assert [each.place for each in refused] == [f"byte {start}" for start in starts]


def _piece(size_bytes: int) -> Piece:
    return Piece("file", 0, size_bytes, size_bytes)
