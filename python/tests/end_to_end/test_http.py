"""The Open Inference Protocol over HTTP, by raw requests and by `tritonclient`."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import tritonclient.http as triton
from prometheus_client.openmetrics.parser import text_string_to_metric_families

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from prometheus_client import Metric

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed


@pytest.fixture(scope="module")
def client(many: Served) -> Iterator[Any]:
    with triton.InferenceServerClient(many.http) as client:
        yield client


def tensor(rows: list[Any], *, nested: bool = False) -> dict[str, Any]:
    data = rows if nested else [value for row in rows for value in row]
    return {"name": "X", "shape": [len(rows), 64], "datatype": "FP32", "data": data}


def output(answer: dict[str, Any], name: str) -> dict[str, Any]:
    return next(each for each in answer["outputs"] if each["name"] == name)


def test_server_is_live_and_ready(many: Served) -> None:
    assert many.ask("GET", "/v2/health/live").json() == {"live": True}
    assert many.ask("GET", "/v2/health/ready").json() == {"ready": True}
    assert many.ask("GET", "/v2/models/digits/ready").json() == {"name": "digits", "ready": True}


def test_server_says_what_it_can_do(many: Served) -> None:
    about = many.ask("GET", "/v2").json()
    assert about["name"] == "shoal"
    assert "binary_tensor_data" in about["extensions"]


def test_metadata_gives_the_signature_with_a_record_dimension(many: Served) -> None:
    about = many.ask("GET", "/v2/models/digits").json()
    assert about["versions"] == ["1"]
    assert about["inputs"] == [{"name": "X", "datatype": "FP32", "shape": [-1, 64]}]
    assert [each["datatype"] for each in about["outputs"]] == ["INT64", "FP32"]
    assert many.ask("GET", "/v2/models/digits/versions/1").json() == about


def test_repository_index_lists_every_model_as_ready(many: Served) -> None:
    listed = many.ask("POST", "/v2/repository/index", {}).json()
    found = {(each["name"], each["version"], each["state"]) for each in listed}
    assert found == {
        (name, version, "READY")
        for name, version in [("digits", "1"), ("tickets", "2"), ("fragile", "1")]
    }


@pytest.mark.parametrize("form", ["flat", "nested"])
def test_flat_and_nested_data_give_the_models_answers(
    many: Served, digits: Sealed, form: str
) -> None:
    question = {"id": "seven", "inputs": [tensor(digits.rows, nested=form == "nested")]}
    reply = many.ask("POST", "/v2/models/digits/versions/1/infer", question)
    assert reply.status == 200
    answer = reply.json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("digits", "1", "seven")
    assert answer["outputs"][0]["data"] == digits.labels
    assert output(answer, answer["outputs"][1]["name"])["shape"] == [len(digits.rows), 10]


def test_only_the_outputs_that_are_asked_for_come_back(many: Served, digits: Sealed) -> None:
    name = many.ask("GET", "/v2/models/digits").json()["outputs"][1]["name"]
    question = {"inputs": [tensor(digits.rows[:1])], "outputs": [{"name": name}]}
    answer = many.ask("POST", "/v2/models/digits/infer", question).json()
    assert [each["name"] for each in answer["outputs"]] == [name]


@pytest.mark.parametrize("form", ["json", "binary"])
def test_tritonclient_gets_the_models_answers(client: Any, digits: Sealed, form: str) -> None:
    rows = np.array(digits.rows, np.float32)
    asked = triton.InferInput("X", list(rows.shape), "FP32")
    asked.set_data_from_numpy(rows, binary_data=form == "binary")
    wanted = triton.InferRequestedOutput("label", binary_data=form == "binary")
    answer = client.infer("digits", [asked], outputs=[wanted])
    assert answer.as_numpy("label").tolist() == digits.labels


@pytest.mark.parametrize("form", ["json", "binary"])
def test_tritonclient_sends_and_gets_text(client: Any, tickets: Sealed, form: str) -> None:
    answer = client.infer("tickets", ticket_inputs(tickets, binary=form == "binary"))
    labels = [value.decode() for value in answer.as_numpy("label").ravel()]
    assert labels == tickets.labels


def ticket_inputs(tickets: Sealed, *, binary: bool) -> list[Any]:
    inputs = []
    for name, kind, dtype in [
        ("age", "FP32", np.float32),
        ("fare", "FP32", np.float32),
        ("class", "BYTES", np.object_),
    ]:
        column: Any = np.array([row[name] for row in tickets.rows], dtype)
        asked = triton.InferInput(name, list(column.shape), kind)
        asked.set_data_from_numpy(column, binary_data=binary)
        inputs.append(asked)
    return inputs


def test_binary_and_json_inputs_may_be_mixed(client: Any, tickets: Sealed) -> None:
    inputs = ticket_inputs(tickets, binary=True)
    inputs[1].set_data_from_numpy(
        np.array([row["fare"] for row in tickets.rows], np.float32), binary_data=False
    )
    answer = client.infer("tickets", inputs)
    assert [value.decode() for value in answer.as_numpy("label").ravel()] == tickets.labels


def test_tritonclient_reads_health_metadata_and_index(client: Any) -> None:
    assert client.is_server_live()
    assert client.is_server_ready()
    assert client.is_model_ready("digits", "1")
    assert client.get_model_metadata("digits")["inputs"][0]["name"] == "X"
    assert len(client.get_model_repository_index()) == 3


def test_a_request_larger_than_a_micro_batch_is_answered_whole(one: Served, digits: Sealed) -> None:
    rows, labels = digits.rows * 5, digits.labels * 5
    answer = one.ask("POST", "/v2/models/digits/infer", {"inputs": [tensor(rows)]}).json()
    assert answer["outputs"][0]["data"] == labels


def test_no_records_are_answered_with_no_records(one: Served) -> None:
    answer = one.ask("POST", "/v2/models/digits/infer", {"inputs": [tensor([])]}).json()
    assert [each["shape"] for each in answer["outputs"]] == [[0], [0, 10]]
    assert one.ask("POST", "/predict", {"features": []}).json() == {"prediction": []}


def test_predict_answers_one_row_or_many(one: Served, digits: Sealed) -> None:
    single = one.ask("POST", "/predict", {"features": digits.rows[0]})
    assert single.json() == {"prediction": digits.labels[:1]}
    several = one.ask("POST", "/predict", {"features": digits.rows})
    assert several.json() == {"prediction": digits.labels}


def test_predict_does_not_ask_for_a_content_type(one: Served, digits: Sealed) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}  # what `curl -d` sends
    reply = one.ask("POST", "/predict", {"features": digits.rows[0]}, headers=form)
    assert reply.json() == {"prediction": digits.labels[:1]}


def test_predict_needs_to_know_which_model(many: Served, digits: Sealed) -> None:
    reply = many.ask("POST", "/predict", {"features": digits.rows[0]})
    assert (reply.status, reply.code) == (400, "invalid_request")


def metrics(served: Served) -> dict[str, Metric]:
    """What a client of Prometheus reads, by name."""
    reply = served.ask("GET", "/metrics")
    assert reply.headers["content-type"].startswith("application/openmetrics-text")
    families = text_string_to_metric_families(reply.body.decode())  # type: ignore[no-untyped-call]  # untyped there
    return {each.name: each for each in families}


def value(metric: Metric, **labels: str) -> float:
    return sum(each.value for each in metric.samples if labels.items() <= each.labels.items())


def test_metrics_count_requests_rows_and_reasons(one: Served, digits: Sealed) -> None:
    before = metrics(one)
    one.ask("POST", "/predict", {"features": digits.rows[:3]})
    one.ask("POST", "/predict", {"features": [1]})
    one.ask("POST", "/v2/models/unknown/infer", {})
    after = metrics(one)

    def grown(name: str, **labels: str) -> float:
        return value(after[name], **labels) - value(before[name], **labels)

    assert grown("shoal_requests", model="digits", version="1", outcome="ok") == 1
    assert grown("shoal_batches", model="digits", reason="executor_free") == 1
    assert grown("shoal_batch_rows", model="digits", le="4.0") == 1
    assert grown("shoal_batch_rows", model="digits", le="2.0") == 0
    assert value(after["shoal_requests"], outcome="wrong_shape") >= 1
    assert value(after["shoal_rejected"], reason="wrong_shape") >= 1
    assert value(after["shoal_rejected"], reason="unknown_model") >= 1
    assert value(after["shoal_queue_rows"]) == value(after["shoal_queue_bytes"]) == 0


def test_every_metric_stands_in_the_reference(many: Served, root: Path) -> None:
    many.ask("POST", "/v2/models/nobody/infer", {})  # a refusal is counted once there is one
    page = (root / "docs" / "reference" / "http.md").read_text(encoding="utf-8")
    listed = {name.removesuffix("_total") for name in re.findall(r"`(shoal_\w+)`", page)}
    # test_canary.py and test_trace.py read these, on servers that have weights and a trace.
    not_everywhere = {"shoal_canary_weight", "shoal_trace_lost"}
    assert listed == set(metrics(many)) | not_everywhere


def test_batching_tells_recent_batches_and_why(one: Served, digits: Sealed) -> None:
    one.ask("POST", "/predict", {"features": digits.rows[:3]})
    account = one.ask("GET", "/v2/models/digits/batching").json()
    assert account["model"] == "digits"
    assert sum(account["reasons"].values()) == sum(account["batch_rows"].values())
    latest = account["recent"][-1]
    assert (latest["rows"], latest["requests"], latest["reason"]) == (3, 1, "executor_free")
    assert latest["service_us"] > 0


def test_binary_answer_states_the_length_of_its_json_part(one: Served, digits: Sealed) -> None:
    wanted = [{"name": "label", "parameters": {"binary_data": True}}]
    question = {"inputs": [tensor(digits.rows[:2])], "outputs": wanted}
    reply = one.ask("POST", "/v2/models/digits/infer", question)
    length = int(reply.headers["inference-header-content-length"])
    assert list(struct.unpack("<2q", reply.body[length:])) == digits.labels[:2]
