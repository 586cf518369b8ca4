"""A mixed list is sent as it is: each record goes to its model, and answers come back in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from shoal import package
from tests.end_to_end import models
from tests.end_to_end.driver import poll, serving
from tests.end_to_end.envelopes import code, column, data, run, send, table, task, values

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served

TEXT = {"column": "value", "is": "text"}
MIXED = [
    {"model": "words", "when": TEXT, "rename": {"value": "word"}},
    {"model": "fragile", "when": {"not": {"column": "value", "is": "missing"}}},
]


@pytest.fixture(scope="module")
def words(places: Path) -> Path:
    """A model of text: `double` text, `letters` INT64."""
    path = places / "words"
    example = pa.record_batch({"word": ["a", "bc", ""]})
    settings = package.Settings(source=models.STORIES)
    package.build(
        "words:answer", name="words", version="1", output=path, example=example, settings=settings
    )
    return path


def router(places: Path, name: str, *routes: dict[str, Any]) -> Path:
    """A sealed router."""
    return package.route(routes, name=name, version="1", output=places / f"router-{name}").path


@pytest.fixture(scope="module")
def routed(places: Path, words: Path, fragile: Path) -> Iterator[Served]:
    """A server of two models, and of routers over them and over each other."""
    routers = [
        router(places, "mixed", *MIXED),
        router(places, "outer", {"model": "mixed", "when": {"any": [TEXT]}}, {"model": "fragile"}),
        router(places, "ping", {"model": "pong"}),
        router(places, "pong", {"model": "ping"}),
        router(places, "lost", {"model": "nobody", "when": TEXT}, {"model": "fragile"}),
    ]
    with serving(words, fragile, *routers, arguments=("--allow-code",)) as served:
        yield served


def mixed(*records: object) -> dict[str, Any]:
    """A table of one column `value`, of any types."""
    return table(column("value", None, records))


@pytest.mark.parametrize("dtype", [None, "MIXED"])
def test_each_record_is_answered_by_its_model_in_order(routed: Served, dtype: str | None) -> None:
    records = [1, "ab", 2.5, "", -0.5, "käse"]
    (result,) = run(routed, task("mixed", table(column("value", dtype, records[:4]))))
    assert (result["model"], result["version"]) == ("mixed", "1")
    assert [each["name"] for each in result["table"]["columns"]] == ["double", "letters"]
    assert data(result, "double") == [{"FP64": 2}, "abab", {"FP64": 5}, ""]
    assert data(result, "letters") == [None, 2, None, 0]
    (result,) = run(routed, task("mixed", table(column("value", dtype, records[4:]))))
    assert code(result) == "model_failed"


def test_records_of_a_router_share_the_micro_batches_of_their_models(routed: Served) -> None:
    tasks = [task("mixed", mixed(number, "a" * number)) for number in range(40)]
    tasks += [task("fragile", values(number)) for number in range(40)]
    results = run(routed, *tasks)
    assert [data(result, "letters")[1] for result in results[:40]] == list(range(40))
    assert max(result["batch_rows"] for result in results) >= 40


def test_typed_columns_are_routed_too(routed: Served) -> None:
    typed = [table(column("value", "FP32", [1.5])), table(column("value", "UTF8", ["x"]))]
    numbers, text = run(routed, *(task("mixed", each) for each in typed))
    assert data(numbers, "double") == [3.0]
    assert numbers["table"]["columns"][0]["dtype"] == "FP64"
    assert data(text, "double") == ["xx"]


def test_columns_that_one_model_does_not_have_are_passed_over(routed: Served) -> None:
    both = table(column("value", None, [1, "a"]), column("note", "UTF8", ["not", "read"]))
    (result,) = run(routed, task("mixed", both, outputs=["letters"]))
    assert [each["name"] for each in result["table"]["columns"]] == ["letters"]
    assert data(result, "letters") == [None, 1]


def test_a_table_of_no_records_has_no_answer_and_no_error(routed: Served) -> None:
    (result,) = run(routed, task("mixed", mixed()))
    assert result["table"] == {"rows": 0, "columns": []}


def test_a_router_leads_to_a_router(routed: Served) -> None:
    (result,) = run(routed, task("outer", mixed("ab", 4)))
    assert data(result, "double") == ["abab", {"FP64": 8}]


def test_what_cannot_be_routed_fails_alone_and_by_name(routed: Served) -> None:
    shared = {"some": mixed("a", 1)}
    results = run(
        routed,
        task("mixed", mixed(1, None)),
        task("mixed", table(column("other", None, [1]))),
        task("ping", mixed(1)),
        task("lost", mixed("a")),
        task("lost", mixed(1)),
        task("mixed", "some", outputs=["nothing"]),
        task("mixed", "some", outputs=["double", "double"]),
        task("mixed", "some"),
        tables=shared,
    )
    assert [code(result) for result in results] == [
        "no_route",
        "missing_column",
        "router_cycle",
        "unknown_model",
        "",
        "unexpected_column",
        "duplicate_column",
        "",
    ]
    assert "'lost'" in results[3]["error"]["error"] or '"lost"' in results[3]["error"]["error"]


def test_the_results_of_a_router_are_merged(routed: Served) -> None:
    tasks = [task("mixed", mixed("abc", 1)), task("mixed", mixed("a"), weight=3)]
    merge = {"by": "mean", "columns": ["letters"]}
    merged = send(routed, *tasks, merge=merge).json()["merged"]
    assert merged["table"]["columns"][0]["data"] == [1.5]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v2/models/mixed/infer"),
        ("POST", "/v1/models/mixed:predict"),
        ("GET", "/v2/models/mixed"),
        ("GET", "/v2/models/mixed/batching"),
        ("GET", "/v1/models/mixed"),
    ],
)
def test_doors_of_models_refuse_a_router(routed: Served, method: str, path: str) -> None:
    reply = routed.ask(method, path, {"inputs": []} if method == "POST" else None)
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert "router" in reply.json()["error"]
    assert "/v1/tasks" in reply.json()["hint"]


def test_a_router_is_listed_where_packages_are_and_not_among_models(routed: Served) -> None:
    listed = routed.ask("GET", "/v2/models").json()["models"]
    assert listed == ["fragile", "words"]
    states = {
        each["name"]: (each["state"], each["reason"])
        for each in routed.ask("POST", "/v2/repository/index").json()
    }
    assert states["mixed"] == ("READY", "")
    assert states["lost"][0] == "UNAVAILABLE"
    assert "nobody" in states["lost"][1]


def test_a_router_without_its_model_says_so_and_leaves_the_others_ready(routed: Served) -> None:
    assert routed.ask("GET", "/v2/health/ready").status == 200
    assert routed.ask("GET", "/v2/models/mixed/ready").status == 200
    reply = routed.ask("GET", "/v2/models/lost/ready")
    assert (reply.status, reply.code) == (503, "model_unavailable")
    said = [line for line in routed.errors if "WARN" in line and "lost" in line]
    assert any("nobody" in line for line in said), routed.errors


def test_predict_without_a_name_is_for_the_only_model(words: Path, places: Path) -> None:
    only = router(places, "only", {"model": "words"})
    with serving(words, only, arguments=("--allow-code",)) as served:
        reply = served.ask("POST", "/predict", {"features": {"word": "ab"}})
        assert reply.json() == {"prediction": ["abab"]}


def test_a_repository_holds_routers(fragile: Path, tmp_path: Path) -> None:
    package.route([{"model": "fragile"}], name="any", version="1", output=tmp_path / "any")
    (tmp_path / "fragile").symlink_to(fragile)
    with serving(arguments=("--repository", str(tmp_path), "--allow-code")) as served:
        poll(lambda: served.ask("GET", "/v2/models/any/ready").status == 200, "the router is ready")
        (result,) = run(served, task("any", values(2)))
        assert data(result, "double") == [4.0]
