"""What Prometheus tells: a real one, and everything that is no number."""

from __future__ import annotations

import itertools
import json
import math
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
import urllib3

from shoal import serve
from shoal.deploy._canary._analysis import DEFAULTS, Prometheus
from shoal.deploy._canary._judge import Measured
from shoal.deploy._canary._look import Sides, known_of, labels_of, look
from shoal.deploy._canary._prometheus import Client
from shoal.errors import ConfigurationError, PathError
from tests.services import free_port, until
from tests.services.prometheus import running, samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shoal.deploy._canary._judge import Verdict
    from tests.end_to_end.models import Sealed

SELECTOR = Prometheus().selector
STEP_SECONDS = 15
BOUNDS = ("0.01", "0.02", "0.05", "0.1", "+Inf")


def labels(service: str, **more: str) -> dict[str, str]:
    return {"namespace": "models", "service": service, "pod": f"{service}-1", **more}


class Past:
    """Ten minutes of requests to services, as counters."""

    def __init__(self) -> None:
        now = time.time()
        # Samples go on for a while, so that the end is always within the look-back.
        self._times = [now + STEP_SECONDS * place for place in range(-40, 5)]
        self.lines: dict[str, str] = {}

    def service(
        self, name: str, *, bad: float = 0.0, slow: float = 0.0, a_second: float = 10.0
    ) -> None:
        """Requests for ten minutes: the first errors come in the last four of them."""
        rates = [0.0 if at < self._times[-20] else bad for at in self._times]
        done = [a_second * STEP_SECONDS * place for place in range(len(self._times))]
        lost = list(itertools.accumulate(rate * a_second * STEP_SECONDS for rate in rates))
        ok = [all_ - failed for all_, failed in zip(done, lost, strict=True)]
        self._add("shoal_requests_total", labels(name, outcome="ok"), ok)
        begun = [(at, value) for at, value in zip(self._times, lost, strict=True) if value]
        errors = samples("shoal_requests_total", labels(name, outcome="model_failed"), begun)
        self.lines["shoal_requests"] += errors
        for bound in BOUNDS:
            share = 1 - slow if float(bound.replace("+Inf", "inf")) < 0.1 else 1.0
            self._add(
                "shoal_request_seconds_bucket",
                labels(name, le=bound),
                [share * value for value in done],
            )
        self._add("shoal_request_seconds_count", labels(name), done)

    def text(self) -> str:
        return "".join(
            f"# TYPE {family} {'histogram' if 'seconds' in family else 'counter'}\n{lines}"
            for family, lines in self.lines.items()
        )

    def _add(self, name: str, told: dict[str, str], values: list[float]) -> None:
        family = name.removesuffix("_total").removesuffix("_bucket").removesuffix("_count")
        points = list(zip(self._times, values, strict=True))
        self.lines[family] = self.lines.get(family, "") + samples(name, told, points)


@pytest.fixture(scope="module")
def remembering(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Client]:
    """A Prometheus that remembers services of every kind."""
    past = Past()
    past.service("old")
    past.service("alike")
    past.service("failing", bad=0.05)
    past.service("slow", slow=0.05)
    past.service("quiet", a_second=0.1)
    past.service("idle", a_second=0.0)
    with running(program, tmp_path_factory.mktemp("prometheus"), past=past.text()) as url:
        client = Client(Prometheus(url=url))
        yield client
        client.close()


def sides(new: str, old: str = "old") -> Sides:
    return Sides(
        *(labels_of(SELECTOR, namespace="models", service=service) for service in (old, new))
    )


def looked(client: Client, new: str, window_seconds: int = 300, **known: float) -> dict[str, Any]:
    verdicts = look(client, DEFAULTS, sides(new), known, window_seconds)
    return {each.metric: each for each in verdicts}


def words(verdicts: dict[str, Verdict]) -> dict[str, str]:
    return {name: verdict.verdict for name, verdict in verdicts.items()}


def test_a_new_version_like_the_old_one_is_good(remembering: Client) -> None:
    found = looked(remembering, "alike")
    assert words(found) == {"error_rate": "good", "p99_seconds": "good"}
    assert found["error_rate"].new == 0
    assert found["error_rate"].samples == pytest.approx(3000, rel=0.02)
    assert found["p99_seconds"].new == pytest.approx(0.0099)


def test_errors_count_from_the_first_one_on(remembering: Client) -> None:
    found = looked(remembering, "failing", 120)
    assert words(found) == {"error_rate": "bad", "p99_seconds": "good"}
    assert found["error_rate"].new == pytest.approx(0.05, rel=0.02)
    # A window in which the counter of errors appears: what it began with is counted as well.
    whole = looked(remembering, "failing", 500)["error_rate"]
    assert whole.new == pytest.approx(0.05 * 240 / 500, rel=0.05)


def test_a_slower_version_is_bad(remembering: Client) -> None:
    found = looked(remembering, "slow")
    assert words(found) == {"error_rate": "good", "p99_seconds": "bad"}
    assert found["p99_seconds"].threshold == pytest.approx(0.0149)


def test_few_requests_or_none_are_unknown(remembering: Client) -> None:
    assert set(words(looked(remembering, "quiet")).values()) == {"unknown"}
    assert looked(remembering, "quiet")["error_rate"].why == "30 of 200 samples"
    assert set(words(looked(remembering, "idle")).values()) == {"unknown"}
    never = looked(remembering, "never-heard-of")
    assert {each.why for each in never.values()} == {"no series"}


def test_what_is_known_of_the_old_version_is_what_counts(remembering: Client) -> None:
    old, quiet = sides("quiet").old, sides("quiet").new
    assert known_of(remembering, DEFAULTS, old, 300) == {
        "error_rate": 0.0,
        "p99_seconds": pytest.approx(0.0099),
    }
    assert known_of(remembering, DEFAULTS, quiet, 300) == {}


def test_a_query_gives_one_number_or_says_why_not(remembering: Client) -> None:
    assert remembering.ask("1 + 1") == Measured(2.0)
    assert remembering.ask("vector(3)") == Measured(3.0)
    assert math.isnan(remembering.ask("vector(0) / 0").value or 0.0)
    assert remembering.ask("vector(1) / 0").value == math.inf
    assert remembering.ask("nothing_at_all").problem == "no series"
    assert remembering.ask("sum by (service) (shoal_requests_total)").problem == (
        "the query gives 6 series, expected one"
    )
    assert "expected one number" in remembering.ask("shoal_requests_total[1m]").problem
    assert "parse error" in remembering.ask("sum(").problem


def test_the_metrics_of_real_servers_are_judged(
    digits: Sealed, program: Callable[[str], str], tmp_path: Path
) -> None:
    few = {
        name: msgspec.structs.replace(metric, minimum_samples=20, above_old=0.1)
        for name, metric in DEFAULTS.items()
    }
    with serve.start(digits.path) as old, serve.start(digits.path) as new:
        targets = {old.http: labels("old"), new.http: labels("new")}
        row = {"features": [0.0] * 64}
        with running(program, tmp_path, targets=targets) as url:
            client = Client(Prometheus(url=url))

            def seen() -> dict[str, Verdict]:
                for server, body in ((old, row), (new, row), (new, {"features": [1.0]})):
                    urllib3.request("POST", f"http://{server.http}/predict", json=body)
                found = look(client, few, sides("new"), {}, 10)
                return {each.metric: each for each in found}

            until(lambda: seen()["p99_seconds"].verdict == "good", "latency is known")
            found = seen()
            assert found["error_rate"].verdict == "bad"
            assert found["error_rate"].new == pytest.approx(0.5, abs=0.2)
            client.close()


class Answers(BaseHTTPRequestHandler):
    """Answers every query as the test says."""

    status, body, asked = 200, b"", dict[str, str]()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).asked = dict(self.headers)
        self.send_response(self.status)
        self.send_header("Content-Length", str(len(self.body)))
        self.end_headers()
        self.wfile.write(self.body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    handler = type("Fixed", (Answers,), {"status": status, "body": body})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def success(result: object, kind: str = "vector", **more: object) -> bytes:
    data = {"resultType": kind, "result": result}
    return json.dumps({"status": "success", "data": data, **more}).encode()


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (200, b"", "answered 200, and nothing of its API"),
        (502, b"<html>bad gateway</html>", "answered 502, and nothing of its API"),
        (302, b"", "answered 302"),
        (503, b'{"status":"error","error":"too many\\nqueries"}', "the query: too many queries"),
        (200, b'{"status":"success"}', "refused the query: 200"),
        (200, success([]), "no series"),
        (200, success([{"value": [1.0, "one"]}]), "no number"),
        (200, success([{"value": [1.0, 1]}]), "no number"),
        (200, success([1.0, "x"], "scalar"), "no number"),
        (200, success([1.0, "x"], "string"), "gives a string"),
        (200, success([{"value": [1.0, "1"]}], warnings=["a store was away"]), "store was away"),
        (200, b'{"status":"success"' + b" " * 17_000_000 + b"}", "more than 16777216 bytes"),
        (200, b"[" * 100_000, "nothing of its API"),
        (200, b"\xff\xfe", "nothing of its API"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_an_answer_that_is_no_number_says_why(status: int, body: bytes, told: str) -> None:
    with answering(status, body) as url:
        client = Client(Prometheus(url=url))
        found = client.ask("up")
        client.close()
    assert found.value is None
    assert told in found.problem


def test_a_prometheus_that_is_away_or_slow_says_so() -> None:
    client = Client(Prometheus(url=f"http://127.0.0.1:{free_port()}", timeout_seconds=0.5))
    assert client.ask("up").problem.startswith("Prometheus was not reached: ")
    verdicts = look(client, DEFAULTS, sides("new"), {}, 60)
    assert {each.verdict for each in verdicts} == {"unknown"}
    client.close()


def test_a_token_is_read_from_its_file_at_each_query(tmp_path: Path) -> None:
    token = tmp_path / "token"
    with answering(200, success([])) as url:
        client = Client(Prometheus(url=url, token_file=str(token)))
        with pytest.raises(PathError):
            client.ask("up")
        token.write_text("two\nlines")
        with pytest.raises(ConfigurationError, match="no secret of one line"):
            client.ask("up")
        token.write_text("secret\n")
        assert client.ask("up").problem == "no series"
        client.close()


def test_where_prometheus_is_has_to_be_said() -> None:
    with pytest.raises(ConfigurationError, match="nobody says where Prometheus is"):
        Client(Prometheus())
    with pytest.raises(PathError):
        Client(Prometheus(url="https://prometheus", ca_file="/none"))
