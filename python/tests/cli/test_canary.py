"""`shoal deploy canary`: what it refuses, what it prints, how it lives on a terminal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from rich.console import Console
from typer.testing import CliRunner

from shoal.cli._canary import View, line_of
from shoal.cli._main import app
from shoal.deploy import CanaryEvent, CanaryWeights, Verdict

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.models import Sealed

OLD, NEW = (f"oci://registry.test/digits@sha256:{digit * 64}" for digit in "ab")
GOOD = Verdict(metric="error_rate", verdict="good", old=0.001, new=0.002, threshold=0.011)
BAD = Verdict(metric="p99_seconds", verdict="bad", new=0.25, threshold=0.1, why="above 0.1")
UNKNOWN = Verdict(metric="mine", verdict="unknown", why="no series")


def told(**more: object) -> CanaryEvent:
    usual = {"event": "phase", "at": 0.0, "phase": "stepping", "step": 2, "steps": (5, 25, 100)}
    return CanaryEvent(**{**usual, "percent": 25, "old": OLD, "new": NEW, **more})  # type: ignore[arg-type]  # fields by name


def test_events_are_lines_where_nobody_watches() -> None:
    weights = CanaryWeights({"digits": 75, "digits-canary": 25}, accepted_by=1)
    assert line_of(told(event="weights", weights=weights)) == (
        "25 %: weights digits 75 %, digits-canary 25 %, accepted by 1"
    )
    assert line_of(told(event="look", verdicts=(GOOD, BAD, UNKNOWN))) == (
        "25 %: error_rate 0.002, old 0.001, at most 0.011: good; "
        "p99_seconds 0.25, at most 0.1: bad (above 0.1); mine none: unknown (no series)"
    )
    assert line_of(told(phase="withdrawing", detail="worse")) == "25 %: withdrawing: worse"
    end = told(event="rolled_back", phase="rolled_back", percent=0, step=0)
    assert line_of(end) == "0 %: rolled back"


def test_a_terminal_shows_steps_weights_and_every_metric() -> None:
    view, console = View("digits"), Console(record=True, width=110)
    console.print(view)
    weights = CanaryWeights({"digits": 75, "digits-canary": 25}, accepted_by=1)
    view.take(told(event="weights", weights=weights))
    view.take(told(event="look", verdicts=(GOOD, BAD, UNKNOWN)))
    view.take(told(event="waiting", detail="digits-canary: 1 of 2\x1b[2J replicas ready"))
    console.print(view)
    text = console.export_text()
    for shown in (
        "digits: looking",
        "sha256:aaaaaaaaaaaa to sha256:bbbbbbbbbbbb",
        "5 %   25 %   100 %",
        "digits 75 %, digits-canary 25 %, accepted by 1",
        "0.002",
        "above 0.1",
        "no series",
        "1 of 2\N{REPLACEMENT CHARACTER}[2J replicas ready",
    ):
        assert shown in text


@pytest.mark.parametrize(
    ("words", "refusal"),
    [
        (["--to", NEW, "--steps", "5,25,50"], "expected the last to be 100"),
        (["--to", NEW, "--steps", "50,25,100"], "expected each above the one before"),
        (["--to", "oci://registry.test/digits:1"], "names no digest"),
        (["--to", "nowhere"], "there is nothing at nowhere"),
        (["--to", NEW, "--analysis", "none.toml"], "none.toml cannot be read"),
        (["--to", NEW, "--analysis", "wrong.toml"], "unknown field `interval`"),
        (["--steps", "5,100"], "--steps is for a canary that begins"),
        (["--prometheus", "http://here"], "--prometheus is for a canary that begins"),
        (["--abort", "--to", NEW], "--to is for a canary that begins"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else "",
)
def test_wrong_input_ends_with_2(
    words: list[str], refusal: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "wrong.toml").write_text("interval = 3", "utf-8")
    answer = CliRunner().invoke(app, ["deploy", "canary", "digits", *words])
    assert answer.exit_code == 2
    assert refusal in answer.stderr


def test_a_directory_needs_the_registry_it_was_pushed_to(digits: Sealed) -> None:
    answer = CliRunner().invoke(app, ["deploy", "canary", "digits", "--to", str(digits.path)])
    assert answer.exit_code == 2
    assert "--registry" in answer.stderr


def test_without_a_cluster_it_ends_with_1_and_an_error_in_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "none"))
    answer = CliRunner().invoke(app, ["deploy", "canary", "digits", "--to", NEW, "--json"])
    assert answer.exit_code == 1
    assert json.loads(answer.stderr)["code"] == "cluster_unavailable"
