"""What an analysis may say, and how everything else is refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shoal.deploy._canary._analysis import (
    DEFAULTS,
    Analysis,
    Disagreement,
    read_analysis,
    read_steps,
)
from shoal.errors import ConfigurationError, PathError

if TYPE_CHECKING:
    from pathlib import Path

EVERYTHING = """
interval_seconds = 10
step_seconds = 60.5
patience_seconds = 120
failure_limit = 0
without = ["p99_seconds"]

[prometheus]
url = "https://prometheus.example.org/tenant"
selector = 'kubernetes_namespace="$namespace",app="$service"'
token_file = "token"

[metric.error_rate]
above_old = 0.002

[metric.wait_seconds]
query = "max(wait_seconds{$labels}) + rate(a{b=~'c$$'}[$window])"
at_most = 0.1

[disagreement]
records = "sample.parquet"
at_most = 0.05
outputs = ["label"]
"""


def read(text: str, directory: Path) -> Analysis:
    place = directory / "analysis.toml"
    place.write_text(text, "utf-8")
    return read_analysis(place)


def test_without_a_file_errors_and_latency_are_judged() -> None:
    assert list(Analysis().metrics()) == ["error_rate", "p99_seconds"]
    assert Analysis().disagreement is None


def test_a_default_is_changed_in_what_is_said_and_keeps_the_rest(tmp_path: Path) -> None:
    analysis = read(EVERYTHING, tmp_path)
    metrics = analysis.metrics()
    assert list(metrics) == ["error_rate", "wait_seconds"]
    assert metrics["error_rate"].above_old == 0.002
    assert metrics["error_rate"].query == DEFAULTS["error_rate"].query
    assert metrics["wait_seconds"].samples is None
    assert analysis.disagreement == Disagreement(
        records="sample.parquet", at_most=0.05, outputs=("label",)
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("interval = 3", "unknown field `interval`"),
        ("[metric.error_rate]\nat_mots = 1", "unknown field `at_mots`"),
        ("[prometheus]\nurl = 3", "Expected `str | null`, got `int`"),
        ("not TOML", "not as expected"),
        ("interval_seconds = nan", "interval_seconds is nan"),
        ("step_seconds = inf", "step_seconds is inf"),
        ("patience_seconds = -1", "patience_seconds is -1"),
        ("failure_limit = -1", "failure_limit is -1"),
        ('without = ["p98"]', "without names 'p98', expected one of error_rate, p99_seconds"),
        ('without = ["error_rate", "p99_seconds"]', "nothing is judged"),
        (
            'without = ["error_rate"]\n[metric.error_rate]\nat_most = 1.0',
            "'error_rate' is changed, and left out",
        ),
        ("[metric.mine]\nat_most = 1.0", "metric.mine has no query"),
        ('[metric.mine]\nquery = "a"', "metric.mine has no bound"),
        ('[metric.mine]\nquery = "a$b"\nat_most = 1.0', "metric.mine.query has $b"),
        ('[metric.mine]\nquery = "a$"\nat_most = 1.0', "a dollar sign without a name"),
        ("[metric.error_rate]\nabove_old = nan", "metric.error_rate.above_old is nan"),
        ("[metric.p99_seconds]\ntimes_old = 0.5", "metric.p99_seconds.times_old is 0.5"),
        ("[metric.error_rate]\nminimum_samples = 0", "minimum_samples is 0"),
        ('[prometheus]\nurl = "ftp://here"', "prometheus.url is 'ftp://here'"),
        ('[prometheus]\nselector = "$pod"', "prometheus.selector has $pod"),
        ("[disagreement]\nat_most = 1.5", "disagreement.at_most is 1.5"),
        ("[disagreement]\nlimit_records = 3", "missing required field `at_most`"),
        ("[disagreement]\nat_most = 0.1\nlimit_records = 0", "limit_records is 0"),
        ('[disagreement]\nat_most = 0.1\naddress = "here"', "disagreement.address is 'here'"),
    ],
    ids=lambda value: value.replace("\n", " ")[:40],
)
def test_what_nobody_understands_is_refused(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read(text, tmp_path)
    assert told in str(refusal.value)
    assert str(tmp_path) in str(refusal.value)


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        read('[prometheus]\nurl = "http://me:secret@prometheus"', tmp_path)
    assert "secret" not in refusal.value.render()


def test_a_file_that_is_not_there_or_too_large_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError):
        read_analysis(tmp_path / "none.toml")
    with pytest.raises(ConfigurationError, match="more than 262144 bytes"):
        read("#" * 300_000, tmp_path)


def test_steps_are_shares_that_rise_to_all() -> None:
    assert read_steps("5, 25,50,100") == (5, 25, 50, 100)
    assert read_steps("100") == (100,)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("5,25,50", "expected the last to be 100"),
        ("5,5,100", "expected each above the one before"),
        ("50,25,100", "expected each above the one before"),
        ("0,100", "expected each above the one before"),
        ("5,100,110", "expected the last to be 100"),
        ("5,100,100", "expected each above the one before"),
        ("", "expected whole numbers"),
        ("5,,100", "expected whole numbers"),
        ("-5,100", "expected whole numbers"),
        ("5.5,100", "expected whole numbers"),
        ("५,100", "expected whole numbers"),
        ("5%,100", "expected whole numbers"),
    ],
    ids=repr,
)
def test_other_steps_are_refused(text: str, told: str) -> None:
    with pytest.raises(ConfigurationError, match=told):
        read_steps(text)
