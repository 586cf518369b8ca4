"""A real Prometheus scrapes a real server: what is told arrives, and queries of it make sense."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from tests.end_to_end.driver import poll
from tests.end_to_end.repository_driver import keeping
from tests.services.prometheus import scraping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed
    from tests.services.prometheus import Prometheus

SUFFIXES = {"counter": ("_total",), "gauge": ("",), "histogram": ("_bucket", "_sum", "_count")}
WINDOW = "30s"
QUESTIONS = 60
UNKNOWN = 3


@pytest.fixture(scope="module")
def told(
    digits: Sealed,
    fragile: Path,
    program: Callable[[str], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Served, Prometheus]]:
    """A server with everything that has a metric, asked a little, and who scraped it."""
    place = tmp_path_factory.mktemp("served")
    arguments = ("--allow-code", "--trace-file", str(place / "trace"))
    with (
        keeping(place, digits.path, fragile, arguments=arguments) as kept,
        scraping(program, kept.served.http, tmp_path_factory.mktemp("prometheus")) as prometheus,
    ):
        kept.call("models/digits/canary", {"weights": {"1": 100}})
        asked = "shoal_requests_total"
        ask_a_little(kept.served, digits, 1)
        poll(lambda: len(prometheus.query(asked)) == 2, "it was scraped once")
        ask_a_little(kept.served, digits, QUESTIONS)
        last = f'shoal_rejected_total{{reason="unknown_model"}} == {2 * UNKNOWN}'
        poll(lambda: len(prometheus.query(last)) == 1, "it was scraped when all was answered")
        yield kept.served, prometheus


def ask_a_little(served: Served, digits: Sealed, count: int) -> None:
    """Questions to both models, and some that are refused."""
    value = {"inputs": [{"name": "value", "shape": [1], "datatype": "FP64", "data": [1.0]}]}
    rows = {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": digits.rows[0]}
    for _ in range(count):
        answer = served.ask("POST", "/v2/models/digits/infer", {"inputs": [rows]})
        assert answer.status == 200
    for _ in range(UNKNOWN):
        assert served.ask("POST", "/v2/models/fragile/infer", value).status == 200
        assert served.ask("POST", "/v2/models/unknown/infer", value).status == 404


def exposed(served: Served) -> tuple[dict[str, str], set[tuple[str, frozenset[str]]]]:
    """What `/metrics` says: the type of each metric, and (name, labels) of each sample."""
    text = served.ask("GET", "/metrics").body.decode()
    types = dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))
    samples = re.findall(r"^(shoal\w+?)(?:\{(.*)\})? \S+$", text, re.MULTILINE)
    return types, {(name, frozenset(pairs(labels))) for name, labels in samples}


def pairs(labels: str) -> list[str]:
    return re.findall(r'\w+="[^"]*"', labels)


def test_every_series_arrives_with_its_labels(told: tuple[Served, Prometheus]) -> None:
    served, prometheus = told
    _, samples = exposed(served)
    found = prometheus.query('{__name__=~"shoal_.+"}')
    arrived = set()
    for series in found:
        name, _, labels = series.partition("{")
        of_server = [each for each in pairs(labels) if not each.startswith(("job=", "instance="))]
        arrived.add((name, frozenset(of_server)))
    assert arrived == samples


def test_every_metric_has_its_type_and_words(told: tuple[Served, Prometheus]) -> None:
    served, prometheus = told
    types, samples = exposed(served)
    known = prometheus.ask("metadata")
    assert {name: entries[0]["type"] for name, entries in known.items()} == types
    assert all(entries[0]["help"] for entries in known.values())
    names = {name for name, _ in samples}
    assert names == {f"{name}{suffix}" for name, kind in types.items() for suffix in SUFFIXES[kind]}


def test_the_reference_lists_every_metric_and_its_type(
    told: tuple[Served, Prometheus], root: Path
) -> None:
    types, _ = exposed(told[0])
    page = (root / "docs/reference/http.md").read_text("utf-8")
    lines = re.findall(r"^\| (`shoal_.+?) \| (\w+) \|", page, re.MULTILINE)
    listed = {
        name.removesuffix("_total"): kind
        for names, kind in lines
        for name in re.findall(r"shoal_\w+", names)
    }
    assert listed == types


def test_p99_and_queue_wait_are_sane(told: tuple[Served, Prometheus]) -> None:
    _, prometheus = told
    (p99_s,) = prometheus.query(
        "histogram_quantile(0.99, sum by (le)"
        f' (rate(shoal_request_seconds_bucket{{model="digits"}}[{WINDOW}])))'
    ).values()
    assert 0 < p99_s < 1
    (wait_s,) = prometheus.query(
        f'sum(rate(shoal_queue_seconds_sum{{model="digits"}}[{WINDOW}]))'
        f' / sum(rate(shoal_queue_seconds_count{{model="digits"}}[{WINDOW}]))'
    ).values()
    assert 0 <= wait_s < p99_s


def test_what_replicas_are_scaled_by_is_one_number(
    told: tuple[Served, Prometheus], root: Path
) -> None:
    _, prometheus = told
    page = (root / "docs/concepts/autoscaling.md").read_text("utf-8")
    (expression,) = re.findall(r"```promql\n(.+?)```", page, re.DOTALL)
    (in_rows,) = prometheus.query(expression).values()
    assert 0 <= in_rows < 100
    row_s = prometheus.query('shoal_row_seconds{model="digits"}').values()
    assert 0 < next(iter(row_s)) < 0.1


def test_counts_are_those_of_the_clients(told: tuple[Served, Prometheus]) -> None:
    _, prometheus = told
    (answered,) = prometheus.query(
        'shoal_requests_total{model="digits",version="1",outcome="ok"}'
    ).values()
    (refused,) = prometheus.query('shoal_rejected_total{reason="unknown_model"}').values()
    assert (answered, refused) == (QUESTIONS + 1, 2 * UNKNOWN)
    (waits,) = prometheus.query('shoal_queue_seconds_count{model="digits"}').values()
    (batches,) = prometheus.query('sum(shoal_batches_total{model="digits"})').values()
    assert waits == batches
