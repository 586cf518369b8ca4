"""A moment gives the same answer as seconds and as text, by every way to the model."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest
import tritonclient.grpc as triton
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from shoal import package, pipeline
from tests.end_to_end.driver import serving
from tests.package.moments import MISSING, sealed
from tests.pipeline.conftest import read

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served

moments = st.datetimes(
    datetime.datetime(1700, 1, 1),  # noqa: DTZ001 - without a zone: UTC
    datetime.datetime(2250, 1, 1),  # noqa: DTZ001
    timezones=st.integers(-1439, 1439).map(
        lambda minutes: datetime.timezone(datetime.timedelta(minutes=minutes))
    ),
)


@pytest.fixture(scope="module")
def telling(tmp_path_factory: pytest.TempPathFactory) -> package.Package:
    return sealed(tmp_path_factory.mktemp("telling") / "telling")


@pytest.fixture(scope="module")
def served(telling: package.Package) -> Iterator[Served]:
    with serving(telling.path) as served:
        yield served


def predict(served: Served, values: list[Any]) -> list[int]:
    """What the short form answers."""
    found: list[int] = served.ask("POST", "/predict", {"features": [[v] for v in values]}).json()[
        "prediction"
    ]
    return found


def by_every_form_of_json(served: Served, values: list[Any]) -> list[list[int]]:
    """The answers by all bodies that take text."""
    named = [{"at": value} for value in values]
    path = "/v1/models/telling:predict"
    return [
        predict(served, values),
        served.ask("POST", "/predict", {"features": named}).json()["prediction"],
        served.ask("POST", path, {"instances": values}).json()["predictions"],
        served.ask("POST", path, {"instances": named}).json()["predictions"],
        served.ask("POST", path, {"inputs": values}).json()["outputs"],
        served.ask("POST", path, {"inputs": {"at": values}}).json()["outputs"],
    ]


def tensor(values: list[Any]) -> dict[str, Any]:
    return {"inputs": [{"name": "at", "datatype": "INT64", "shape": [len(values)], "data": values}]}


@given(st.lists(moments, min_size=1, max_size=4))
def test_a_moment_is_the_same_by_every_way(
    served: Served, telling: package.Package, given_moments: list[datetime.datetime]
) -> None:
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    seconds = [(each - epoch) // datetime.timedelta(seconds=1) for each in given_moments]
    texts = [each.isoformat() for each in given_moments]
    for values in (seconds, texts):
        assert by_every_form_of_json(served, [*values, None]) == [[*seconds, MISSING]] * 6
    answer = served.ask("POST", "/v2/models/telling/infer", tensor(seconds)).json()
    assert answer["outputs"][0]["data"] == seconds
    model = telling.model()
    columns = [pa.array(given_moments, pa.timestamp(unit, "UTC")) for unit in ("s", "ms", "us")]
    for column in (pa.array(seconds), pa.array(texts), *columns):
        assert model.predict(pa.record_batch({"at": column}))["seconds"].to_pylist() == seconds


def test_files_get_the_answers_that_requests_get(
    served: Served, telling: package.Package, tmp_path: Path
) -> None:
    texts = ["2021-05-31", "1969-12-31T23:59:59.5", "2021-05-31 10:20:30-02", "0001-01-01T00Z"]
    expected = predict(served, texts)
    assert expected == [1_622_419_200, -1, 1_622_463_630, -62_135_596_800]
    (tmp_path / "ask.csv").write_text("\n".join(["at", *texts, ""]), encoding="utf-8")
    lines = [f'{{"at":"{text}"}}\n' for text in texts]
    (tmp_path / "ask.jsonl").write_text("".join(lines), encoding="utf-8")
    for name in ("ask.csv", "ask.jsonl"):
        pipeline.score(telling.path, tmp_path / name, tmp_path / f"{name}.out")
        assert read(tmp_path / f"{name}.out")["seconds"].to_pylist() == expected


@pytest.mark.parametrize("wrong", ["2021-02-29", "2021-05-31T24:00:00Z", "1622456430", "", "now"])
def test_text_that_is_no_moment_is_refused_by_column_and_record(served: Served, wrong: str) -> None:
    asked = {"features": [{"at": "2021-05-31"}, {"at": wrong}]}
    v1 = {"inputs": {"at": ["2021-05-31", wrong]}}
    for path, body in (("/predict", asked), ("/v1/models/telling:predict", v1)):
        reply = served.ask("POST", path, body)
        assert (reply.status, reply.code) == (400, "wrong_dtype")
        told = reply.json()
        assert told["error"] == f'column "at" holds moments; value 1 is the text "{wrong}"'
        assert 'an ISO 8601 date or date-time such as "2021-05-31"' in told["hint"]


def test_a_tensor_of_whole_numbers_holds_no_text(served: Served) -> None:
    reply = served.ask("POST", "/v2/models/telling/infer", tensor(["2021-05-31"]))
    assert (reply.status, reply.code) == (400, "wrong_dtype")
    assert reply.json()["error"] == 'column "at" is INT64; value 0 is the text "2021-05-31"'
    assert "send whole seconds since 1970-01-01 UTC; /predict and version 1" in reply.json()["hint"]


def test_grpc_and_metadata_know_it_as_whole_numbers(served: Served) -> None:
    metadata = served.ask("GET", "/v2/models/telling").json()
    assert metadata["inputs"] == [{"name": "at", "datatype": "INT64", "shape": [-1]}]
    asked = triton.InferInput("at", [1], "INT64")
    asked.set_data_from_numpy(np.array([1_622_456_430]))
    with triton.InferenceServerClient(served.grpc) as client:
        found = client.infer("telling", [asked]).as_numpy("seconds").tolist()
    assert found == [1_622_456_430]


def test_the_document_takes_what_the_server_takes(served: Served) -> None:
    document = served.ask("GET", "/openapi.json").json()
    OpenAPIV31SpecValidator(document).validate()
    record = document["components"]["schemas"]["telling.Record"]
    schema = record["anyOf"][1]["properties"]["at"]["anyOf"][0]
    assert schema["type"] == ["integer", "string"]
    # A client that asserts formats would refuse dates by `date-time`, which is RFC 3339 alone.
    assert "format" not in schema
    validator = Draft202012Validator(schema)
    taken: list[object] = [7, "2021-05-31", "2021-05-31 10:20", "2021-05-31T10:20:30.5+02:00"]
    for value in taken:
        assert validator.is_valid(value)
        assert served.ask("POST", "/predict", {"features": [[value]]}).status == 200
    refused: list[object] = [
        7.5,
        True,
        "7",
        "",
        "2021-5-31",
        "2021-05-31T10:20:30+2:00",
        "20210531",
    ]
    for value in refused:
        assert not validator.is_valid(value)
        assert served.ask("POST", "/predict", {"features": [[value]]}).status == 400
    data = document["components"]["schemas"]["telling.InferRequest"]["properties"]["inputs"]
    assert schema["pattern"] not in str(data)


def test_the_page_and_its_examples_show_a_moment(served: Served) -> None:
    page = served.ask("GET", "/docs").body.decode()
    assert "a moment: ISO 8601, or seconds since 1970 UTC; may be null" in page
    assert page.count("1970-01-01T00:00:00Z") == 2
    for path in ("/predict", "/v1/models/telling:predict"):
        operation = served.ask("GET", "/openapi.json").json()["paths"][path]["post"]
        content = operation["requestBody"]["content"]["application/json"]
        value = content["examples"]["one_record"]["value"]
        assert "1970-01-01T00:00:00Z" in str(value)
        assert served.ask("POST", path, value).status == 200
