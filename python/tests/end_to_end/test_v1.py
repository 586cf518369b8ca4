"""Version 1 of KServe's protocol: rows give rows, columns columns, a mistake is one's own."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

import pytest

from tests.end_to_end.driver import asked_meanwhile

if TYPE_CHECKING:
    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed


def predict(served: Served, model: str, body: object) -> Any:
    return served.ask("POST", f"/v1/models/{model}:predict", body).json()


def test_models_are_listed_and_described(many: Served) -> None:
    assert many.ask("GET", "/v1/models").json() == {"models": ["digits", "fragile", "tickets"]}
    about = many.ask("GET", "/v1/models/tickets").json()
    assert (about["name"], about["ready"]) == ("tickets", True)
    [status] = about["model_version_status"]
    assert (status["version"], status["state"]) == ("2", "AVAILABLE")
    assert status["status"] == {"error_code": "OK", "error_message": ""}
    assert many.ask("GET", "/v1/models/nobody").code == "unknown_model"


def test_rows_of_one_input_are_bare_and_several_outputs_are_objects(
    many: Served, digits: Sealed
) -> None:
    answer = predict(many, "digits", {"instances": digits.rows})
    assert [each["label"] for each in answer["predictions"]] == digits.labels
    assert {len(each["probabilities"]) for each in answer["predictions"]} == {10}


def test_one_output_is_answered_by_bare_values(many: Served) -> None:
    assert predict(many, "fragile", {"instances": [1, 2.5]}) == {"predictions": [2.0, 5.0]}
    assert predict(many, "fragile", {"instances": []}) == {"predictions": []}
    assert predict(many, "fragile", {"inputs": [1, 2.5]}) == {"outputs": [2.0, 5.0]}
    assert predict(many, "fragile", {"inputs": {"value": [4]}}) == {"outputs": [8.0]}


def test_rows_and_columns_of_several_inputs_give_the_same_answers(
    many: Served, tickets: Sealed
) -> None:
    rows = predict(many, "tickets", {"instances": tickets.rows})["predictions"]
    columns = {name: [row[name] for row in tickets.rows] for name in tickets.rows[0]}
    outputs = predict(many, "tickets", {"inputs": columns})["outputs"]
    assert [row["label"] for row in rows] == outputs["label"] == tickets.labels
    assert [row["probabilities"] for row in rows] == outputs["probabilities"]


def test_text_may_come_as_base64(many: Served, tickets: Sealed) -> None:
    encoded = [
        {**row, "class": {"b64": base64.b64encode(row["class"].encode()).decode()}}
        for row in tickets.rows
    ]
    answer = predict(many, "tickets", {"instances": encoded})
    assert [each["label"] for each in answer["predictions"]] == tickets.labels


def test_version_may_be_named(many: Served, tickets: Sealed) -> None:
    path = "/v1/models/tickets/versions/{}:predict"
    body = {"signature_name": "serving_default", "instances": tickets.rows[:1]}
    assert many.ask("POST", path.format("2"), body).status == 200
    assert many.ask("POST", path.format("3"), body).code == "unknown_version"


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "malformed_json"),
        (b'{"instances": [1, NaN]}', "malformed_json"),
        (b'{"instances": ' + b"[" * 100_000, "wrong_shape"),
        ({"instances": [[0.0] * 63]}, "wrong_shape"),
        ({"instances": [[0.0] * 64, [0.0]]}, "wrong_shape"),
        ({"instances": [["x"] * 64]}, "wrong_dtype"),
        ({"instances": [[None] * 64]}, "null_not_allowed"),
        ({"instances": [{"Y": [0.0] * 64}]}, "unexpected_column"),
        ({"instances": [], "inputs": []}, "invalid_request"),
        ({"features": []}, "invalid_request"),
        ({"signature_name": "other", "instances": []}, "invalid_request"),
    ],
)
def test_bad_input_is_refused_by_name_and_nobody_else_notices(
    many: Served, digits: Sealed, body: object, code: str
) -> None:
    question = {"instances": digits.rows[:2]}

    def label() -> Any:
        return [each["label"] for each in predict(many, "digits", question)["predictions"]]

    with asked_meanwhile(label, digits.labels[:2], threads=2):
        refused = many.ask("POST", "/v1/models/digits:predict", body)
        assert (refused.status, refused.code) == (400, code)


def test_verb_and_method_are_held_to(many: Served) -> None:
    assert many.ask("GET", "/v1/models/digits:predict").code == "method_not_allowed"
    assert many.ask("POST", "/v1/models/digits:explain", {}).code == "unknown_model"
    assert many.ask("POST", "/v1/models/:predict", {}).code == "unknown_model"
