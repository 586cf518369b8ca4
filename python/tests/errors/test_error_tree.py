"""The tree of errors and `protocol/errors.toml` agree, and errors read well wherever they show."""

from __future__ import annotations

import pickle
import subprocess
import sys
import tomllib
import traceback
from pathlib import Path
from typing import Any

import pytest

from shoal import errors
from shoal.errors import NullError, ShoalError, all_errors, error_for
from shoal.errors import _tree as tree

ROOT = Path(__file__).parents[3]
CATALOGUE = ROOT / "protocol" / "errors.toml"
GRPC_STATUS_NAMES = {
    "INVALID_ARGUMENT",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "UNAUTHENTICATED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "DEADLINE_EXCEEDED",
}


def catalogue() -> dict[str, dict[str, Any]]:
    return tomllib.loads(CATALOGUE.read_text(encoding="utf-8"))


def test_file_and_tree_have_the_same_codes() -> None:
    codes = [kind.code for kind in all_errors()]
    assert len(codes) == len(set(codes))
    assert set(codes) == set(catalogue())


def test_every_class_says_its_sentence_of_the_file() -> None:
    entries = catalogue()
    for kind in all_errors():
        assert kind.__doc__ == entries[kind.code]["sentence"]


def test_every_entry_of_the_file_is_complete() -> None:
    for code, entry in catalogue().items():
        assert set(entry) == {"http", "grpc", "retryable", "sentence"}, code
        assert 400 <= entry["http"] <= 599, code
        assert entry["grpc"] in GRPC_STATUS_NAMES, code
        assert isinstance(entry["retryable"], bool), code
        assert entry["sentence"].endswith("."), code


def test_only_errors_of_load_or_absence_may_be_sent_again_unchanged() -> None:
    retryable = {code for code, entry in catalogue().items() if entry["retryable"]}
    busy = {"queue_full", "server_busy", "deadline_out_of_reach"}
    away = {
        "shutting_down",
        "model_unavailable",
        "server_unreachable",
        "registry_unavailable",
        "cluster_unavailable",
    }
    assert retryable == busy | away


def test_classes_say_whether_they_may_be_sent_again_as_the_file_does() -> None:
    entries = catalogue()
    for kind in all_errors():
        assert kind.retryable == entries[kind.code]["retryable"], kind.code


def test_a_code_that_is_not_known_is_taken_by_its_status_and_kept() -> None:
    expected = {
        400: errors.InputError,
        401: errors.UnauthorizedError,
        404: errors.UnknownRouteError,
        409: errors.InputError,
        429: errors.OverloadedError,
        500: errors.InternalError,
        503: errors.UnavailableError,
        504: errors.DeadlineError,
    }
    for status, kind in expected.items():
        error = errors.error_of_answer("brand_new", "something new", "a hint", status=status)
        assert type(error) is kind
        assert error.body() == {"error": "something new", "code": "brand_new", "hint": "a hint"}
        assert kind.code != "brand_new"


def test_a_code_that_is_known_decides_alone() -> None:
    error = errors.error_of_answer("queue_full", "full", status=500)
    assert type(error) is errors.OverloadedError
    assert error.retryable


def test_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    lines = [line for line in (tree.__doc__ or "").splitlines() if "── " in line]
    drawn = {tuple(line.split("── ")[1].split()) for line in lines}
    assert drawn == {(k.__name__, k.code) for k in all_errors()}


def test_page_of_errors_is_the_file() -> None:
    page = (ROOT / "docs" / "reference" / "errors.md").read_text(encoding="utf-8")
    entries = catalogue()
    expected = [
        f"| `{kind.code}` | `{kind.__name__}` | {entries[kind.code]['http']} "
        f"| {entries[kind.code]['grpc']} | {kind.__doc__} |"
        for kind in all_errors()
    ]
    assert [line for line in page.splitlines() if line.startswith("| `")] == expected


def test_every_class_is_public() -> None:
    names = {kind.__name__ for kind in all_errors()}
    others = {"ShoalError", "all_errors", "error_for", "error_of_answer"}
    assert names | others == set(errors.__all__)


@pytest.mark.parametrize("kind", all_errors(), ids=lambda kind: kind.code)
def test_code_alone_gives_the_class(kind: type[ShoalError]) -> None:
    error = error_for(kind.code, "it failed", "do this")
    assert type(error) is kind
    assert str(error) == "it failed"
    assert error.hint == "do this"


def test_unknown_code_is_an_internal_error_that_names_it() -> None:
    error = error_for("code_of_tomorrow", "it failed", None)
    assert isinstance(error, errors.InternalError)
    assert str(error) == "it failed (unknown error code 'code_of_tomorrow')"


def test_hint_is_apart_from_the_message() -> None:
    error = NullError("column 'age' row 3 is null, expected INT64", hint="fill it first")
    assert str(error) == "column 'age' row 3 is null, expected INT64"
    assert error.render() == "column 'age' row 3 is null, expected INT64\nhint: fill it first"
    assert traceback.format_exception_only(error)[-1] == "hint: fill it first\n"


def test_body_has_a_hint_only_when_there_is_one() -> None:
    assert NullError("gone").body() == {"error": "gone", "code": "null_not_allowed"}
    assert NullError("gone", hint="look").body()["hint"] == "look"


def test_error_survives_a_process_boundary() -> None:
    copy = pickle.loads(pickle.dumps(NullError("gone", hint="look")))
    assert type(copy) is NullError
    assert (str(copy), copy.hint, copy.__notes__) == ("gone", "look", ["hint: look"])


def test_subclass_of_a_user_does_not_take_over_its_parents_code() -> None:
    class MineError(NullError):
        pass

    assert type(error_for(MineError.code, "gone")) is NullError


def test_errors_import_nothing_heavy() -> None:
    heavy = "{'pyarrow', 'numpy', 'pandas', 'msgspec', 'onnxruntime'}"
    program = f"import sys, shoal.errors; print(sorted({heavy} & set(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout == "[]\n"
