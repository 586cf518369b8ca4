"""Train, seal, serve, ask, compare: the steps of the first minute, in order.

The clients run in a process of their own; the server runs in this one, which only waits meanwhile.
Whatever happens, the clients' process and the server have ended when `run` returns or raises. The
package is kept. A second run into the same place replaces the package of the first, and touches
nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from shoal.errors import InvalidRequestError
from shoal.quickstart._report import Report, percentile

if TYPE_CHECKING:
    from shoal.package import Package
    from shoal.quickstart._ask import Exchange

Progress = Callable[[str, int, int], None]
"""Called as `progress(step, done, total)`; the steps are "train", "seal" and "ask"."""

DEFAULT_OUTPUT = Path("shoal-quickstart") / "digits"
REQUESTS = 8_000  # about a second of asking
NANOSECONDS_PER_MS = 1e6


def run(
    output: Path = DEFAULT_OUTPUT, *, requests: int = REQUESTS, progress: Progress | None = None
) -> Report:
    """Train, seal, serve and ask a real model; the package stays in `output`.

    Args:
        output: the directory of the package; made if it is not there.
        requests: how many single-row requests to send, at least 1.
        progress: told how far each step is, from the calling thread.

    Raises:
        InvalidRequestError: `requests` is below 1, or `output` holds something else.
        RequirementError: scikit-learn or its export is not installed.
    """
    if requests < 1:
        raise InvalidRequestError(f"{requests} requests were asked for; at least 1 is expected")
    from shoal.quickstart import _digits, _seal

    progress = progress or _silent
    digits = _digits.load()
    model = _digits.train(digits.train, each_epoch=lambda done, of: progress("train", done, of))
    progress("seal", 0, 1)
    package = _seal.seal(model, proof=digits.proof[0], output=output)
    progress("seal", 1, 1)
    features, labels = digits.held_out
    exchange = _serve_and_ask(package, features.tolist(), requests=requests, progress=progress)
    return _report(exchange, expected=model.predict(features).tolist(), labels=labels.tolist())


def _silent(step: str, done: int, total: int) -> None:
    """Tell nobody."""


def _serve_and_ask(
    package: Package, rows: list[list[float]], *, requests: int, progress: Progress
) -> Exchange:
    from shoal import serve
    from shoal.quickstart import _ask

    with serve.start(package) as server:
        progress("ask", 0, requests)
        asked = _ask.ask(
            server.http, rows, total=requests, each=lambda done: progress("ask", done, requests)
        )
        account = _ask.batching(server.http, package.description.name)
        return _ask.Exchange(package, rows, asked, account, (server.http, server.grpc))


def _report(exchange: Exchange, *, expected: list[int], labels: list[int]) -> Report:
    from shoal.quickstart import _ask, _next

    answers = _ask.predictions(exchange.asked)
    first = list(zip(answers, labels, strict=False))  # the first answer to each row that was asked
    right = sum(answer == label for answer, label in first)
    wanted = [expected[number % len(expected)] for number in range(len(answers))]
    latencies_ms = sorted(ns / NANOSECONDS_PER_MS for _, _, ns in exchange.asked.answers)
    return Report(
        package=str(exchange.package.path),
        digest=exchange.package.digest,
        accuracy=right / len(first),
        held_out_rows=len(first),
        requests=len(answers),
        mismatches=sum(answer != want for answer, want in zip(answers, wanted, strict=True)),
        connections=min(_ask.CONNECTIONS, len(answers)),
        requests_per_s=round(len(answers) / exchange.asked.seconds, 1),
        p50_ms=round(percentile(latencies_ms, 0.50), 3),
        p99_ms=round(percentile(latencies_ms, 0.99), 3),
        batch_rows=exchange.account.batch_rows,
        release_reasons=exchange.account.reasons,
        next=_next.next_steps(exchange.package.path, exchange.rows[0], spare=exchange.addresses),
    )
