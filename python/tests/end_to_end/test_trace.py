"""What a server writes down: each request where the operator wants it, and what it learned."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from shoal import package, serve
from shoal.errors import ConfigurationError
from tests.end_to_end.driver import serving

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

QUESTION = {"features": [[0.0] * 64, [1.0] * 64]}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def costs(served: Served) -> Any:
    return served.ask("GET", "/v2/models/digits/batching").json()["costs"]


def test_every_request_to_a_model_has_its_line(digits: Sealed, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    with serving(digits.path, arguments=("--trace-file", str(trace))) as served:
        for _ in range(3):
            assert served.ask("POST", "/predict", QUESTION).status == 200
        assert served.ask("POST", "/predict", {}).status == 400
        assert served.counted("shoal_trace_lost_total") == 0
        assert "shoal_trace_lost_total 0" in served.ask("GET", "/metrics").body.decode()
    start, model, *requests, end = lines(trace)
    assert start == {"event": "start", "format": 1}
    assert (model["event"], model["model"]) == ("model", "digits")
    assert 64 <= model["max_rows"] <= 512
    assert end == {"event": "end", "requests": 3, "lost": 0}
    assert len({each["client"] for each in requests}) == 3  # a connection each
    for each in requests:
        assert (each["event"], each["outcome"]) == ("request", "ok")
        assert each["lane"] == model["lane"] == 0
        assert (each["model"], each["version"]) == ("digits", package.open(digits.path).version)
        assert (each["rows"], each["batch_rows"], each["bucket"]) == (2, 2, 0)
        assert each["arrived_us"] <= each["started_us"] <= each["answered_us"]
    arrivals = [each["arrived_us"] for each in requests]
    assert arrivals == sorted(arrivals)


def test_a_request_that_fails_is_told_by_its_code(fragile: Path, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    arguments = ("--allow-code", "--trace-file", str(trace))
    with serving(fragile, arguments=arguments) as served:
        column = {"name": "value", "shape": [1], "datatype": "FP64", "data": [-1.0]}
        failed = served.ask("POST", "/v2/models/fragile/infer", {"inputs": [column]})
    assert [each["outcome"] for each in lines(trace) if each["event"] == "request"] == [failed.code]


def test_the_next_life_is_appended(digits: Sealed, tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    for _ in range(2):
        with serving(digits.path, arguments=("--trace-file", str(trace))) as served:
            assert served.ask("POST", "/predict", QUESTION).status == 200
    assert [each["event"] for each in lines(trace)] == ["start", "model", "request", "end"] * 2


def test_a_trace_that_cannot_be_written_is_refused_at_the_start(
    digits: Sealed, tmp_path: Path
) -> None:
    options = serve.Options(trace_file=tmp_path / "no" / "trace.jsonl")
    with pytest.raises(ConfigurationError, match="cannot be written"):
        serve.start(digits.path, options=options)


def test_what_was_learned_is_known_at_the_next_start(digits: Sealed, tmp_path: Path) -> None:
    arguments = ("--profile-cache", str(tmp_path / "profiles"))
    with serving(digits.path, arguments=arguments) as served:
        assert served.ask("POST", "/predict", QUESTION).status == 200
        before = costs(served)
    [kept] = (tmp_path / "profiles").iterdir()
    profile = json.loads(kept.read_text("utf-8"))
    assert profile["key"]["digest"] == package.open(digits.path).digest
    assert [each["rows"] for each in profile["costs"]] == [each["rows"] for each in before["table"]]
    with serving(digits.path, arguments=arguments) as served:
        recalled = {each["rows"]: each["took_us"] for each in costs(served)["table"]}
        assert "profile of costs" not in "".join(served.errors)
    for each in profile["costs"]:
        assert recalled[each["rows"]] == pytest.approx(each["took_ns"] / 1e3, abs=0.01)


def test_a_damaged_profile_is_a_warning(digits: Sealed, tmp_path: Path) -> None:
    arguments = ("--profile-cache", str(tmp_path))
    with serving(digits.path, arguments=arguments) as served:
        assert served.ask("POST", "/predict", QUESTION).status == 200
    [kept] = tmp_path.iterdir()
    kept.write_text('{"key": "damaged')
    with serving(digits.path, arguments=arguments) as served:
        assert served.ask("POST", "/predict", QUESTION).status == 200
    assert "a profile of costs is not used: it is damaged" in "".join(served.errors)
    assert json.loads(kept.read_text("utf-8"))["costs"], "the next one is whole"


def test_profiles_that_cannot_be_kept_are_a_warning(digits: Sealed, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    arguments = ("--profile-cache", str(tmp_path / "file" / "profiles"))
    with serving(digits.path, arguments=arguments) as served:
        assert served.ask("POST", "/predict", QUESTION).status == 200
    assert "".join(served.errors).count("profiles of costs cannot be kept") == 1


def test_nothing_is_kept_where_the_operator_says_so(digits: Sealed, tmp_path: Path) -> None:
    cache = str(tmp_path)
    with serving(digits.path, arguments=("--profile-cache", "off"), XDG_CACHE_HOME=cache) as served:
        assert served.ask("POST", "/predict", QUESTION).status == 200
    assert not (tmp_path / "shoal").exists()
    with serving(digits.path, XDG_CACHE_HOME=cache) as served:
        assert served.ask("POST", "/predict", QUESTION).status == 200
    assert len(list((tmp_path / "shoal" / "profiles").iterdir())) == 1


def test_the_costs_of_micro_batches_are_told(digits: Sealed) -> None:
    with serving(digits.path, arguments=("--profile-cache", "off")) as served:
        told = costs(served)
    sizes = [each["rows"] for each in told["table"]]
    assert sizes[0] == 1
    assert sizes == sorted(set(sizes))
    assert all(each["took_us"] > 0 for each in told["table"])
    assert set(told["line"]) == {"per_row_us", "per_call_us"}
