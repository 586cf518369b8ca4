"""The codecs read every golden vector as `protocol/vectors` says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from shoal.errors import ShoalError
from shoal.values import Signature, WireColumn, decode_request, decode_response
from tests.vectors import generator

FOLDER = Path(__file__).parents[3] / "protocol" / "vectors"
VECTORS: list[dict[str, Any]] = json.loads((FOLDER / "vectors.json").read_text(encoding="utf-8"))
GOOD = [vector for vector in VECTORS if "columns" in vector["expect"]]
BAD = [vector for vector in VECTORS if "error" in vector["expect"]]


def named(vector: dict[str, Any]) -> str:
    return str(vector["name"])


def decode(vector: dict[str, Any]) -> Any:
    body = (FOLDER / vector["body"]).read_bytes()
    signature = msgspec.convert(vector["signature"], Signature)
    reader = decode_request if vector["kind"] == "infer_request" else decode_response
    return reader(body, vector["headers"], signature)


def described(wire: WireColumn) -> dict[str, Any]:
    name, dtype, shape, data, missing = wire
    entry: dict[str, Any] = {"name": name, "dtype": dtype, "shape": shape}
    if isinstance(data, list):
        entry["strings_hex"] = [text.hex() for text in data]
    else:
        entry["data_hex"] = bytes(data).hex()
    return entry if missing is None else {**entry, "missing_hex": bytes(missing).hex()}


def test_files_are_what_the_generator_writes() -> None:
    program = generator(FOLDER)
    vectors = program.build()
    on_disk = {f"bodies/{file.name}": file.read_bytes() for file in (FOLDER / "bodies").iterdir()}
    assert vectors.bodies == on_disk, "run protocol/vectors/generate.py"
    assert program.index_text(vectors) == (FOLDER / "vectors.json").read_text(encoding="utf-8")
    moments = generator(FOLDER, "generate_moments").text()
    assert moments == (FOLDER / "moments.json").read_text(encoding="utf-8")


def test_names_are_unique() -> None:
    assert len({named(vector) for vector in VECTORS}) == len(VECTORS)


@pytest.mark.parametrize("vector", GOOD, ids=named)
def test_vector_decodes_to_its_columns(vector: dict[str, Any]) -> None:
    message = decode(vector)
    expected = dict(vector["expect"])
    assert [described(column) for column in message.columns] == expected.pop("columns")
    assert {key: getattr(message, key) for key in expected} == expected


@pytest.mark.parametrize("vector", BAD, ids=named)
def test_vector_is_refused_with_its_code(vector: dict[str, Any]) -> None:
    with pytest.raises(ShoalError) as caught:
        decode(vector)
    assert caught.value.code == vector["expect"]["error"], str(caught.value)
