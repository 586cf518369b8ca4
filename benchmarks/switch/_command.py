"""`python benchmarks/run.py switch`: serves, takes the rounds, writes and prints the result."""

from __future__ import annotations

import datetime
import json as text
import secrets
import subprocess
import sys
import tempfile
import warnings
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Annotated, Any

import msgspec
import numpy as np
import pyarrow as pa
import typer

from benchmarks.serve._machine import Machine, Neighbours, machine, neighbours
from shoal import package, serve

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
WIDTH = 3000
"""Neurons in each of two layers of the large model: about 35 MiB of weights."""
CHANGES = (
    ("load", "small", "2"),  # from here on it answers the client, as the highest version
    ("load", "large", "1"),
    ("unload", "small", "2"),
    ("unload", "large", "1"),
)


class Window(msgspec.Struct, frozen=True):
    """How long answers took in one window."""

    requests: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    of_version: dict[str, int]
    """Requests that each version answered."""


class Round(msgspec.Struct, frozen=True):
    """A quiet window and one in which models came and went."""

    quiet: Window
    meanwhile: Window
    changes: int
    """How often all of `CHANGES` were made."""

    @property
    def spike(self) -> float:
        """By how much p99 was higher meanwhile."""
        return self.meanwhile.p99_us / self.quiet.p99_us


class Result(msgspec.Struct, frozen=True):
    """One run."""

    date: str
    commit: str
    machine: Machine
    neighbours: Neighbours
    seconds: float
    rounds: list[Round]
    spike: float
    """The median of the rounds."""


def main(
    *,
    rounds: Annotated[int, typer.Option(min=1, help="How often both windows take turns.")] = 5,
    seconds: Annotated[float, typer.Option(min=1, help="Length of a window; two a round.")] = 10.0,
    results: Annotated[Path, typer.Option(help="Folder for the JSON.")] = HERE / "results",
) -> None:
    """Measures what others notice while models are loaded and unloaded."""
    before = neighbours()
    taken = _rounds(rounds, seconds)
    date = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    spike = median(each.spike for each in taken)
    result = Result(date, _commit(), machine(), before, seconds, taken, spike)
    results.mkdir(parents=True, exist_ok=True)
    path = results / f"{date.replace(':', '')}-{result.commit}.json"
    path.write_bytes(msgspec.json.format(msgspec.json.encode(result)) + b"\n")
    _print(result, path)


def _rounds(count: int, seconds: float) -> list[Round]:
    with tempfile.TemporaryDirectory(prefix="shoal-") as directory, _serving(directory) as server:
        token = Path(directory, "token").read_text()
        return [_round(server, token, seconds) for _ in range(count)]


def _print(result: Result, path: Path) -> None:
    for each in result.rounds:
        quiet, busy = each.quiet, each.meanwhile
        print(
            f"p50 {quiet.p50_us:.0f} -> {busy.p50_us:.0f} us, p99 {quiet.p99_us:.0f} -> "
            f"{busy.p99_us:.0f} us ({each.spike:.2f}x), {each.changes} loads and switches"
        )
    busy_share = result.neighbours.busy_share
    print(f"spike of p99: {result.spike:.2f}x; others used {busy_share:.0%} of the machine; {path}")


def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty=-changed"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()


@contextmanager
def _serving(directory: str) -> Iterator[serve.Server]:
    """A server of the small model; its next version and the large one wait in the repository."""
    repository = Path(directory, "repository")
    _seal("small", 8, repository / "small")
    Path(directory, "token").write_text(secrets.token_hex(32))
    options = serve.Options(admin="127.0.0.1:0", admin_token_file=str(Path(directory, "token")))
    with serve.start(serve.Repository(repository), options=options) as server:
        _seal("small", 8, repository / "small-2", version="2")
        _seal("large", WIDTH, repository / "large")
        yield server


def _seal(name: str, width: int, output: Path, *, version: str = "1") -> None:
    from sklearn.neural_network import MLPClassifier

    random = np.random.default_rng(0)
    rows = random.normal(size=(300, 64)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it has not converged, and need not
        model = MLPClassifier((width, width), max_iter=1, random_state=0)
        model.fit(rows, np.arange(300) % 10)
    column = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), 64)
    example = pa.record_batch({"X": column})
    package.build(model, name=name, version=version, output=output, example=example)


def _round(server: serve.Server, token: str, seconds: float) -> Round:
    quiet = _window(_client(server, seconds))
    client, changes = _client(server, seconds), 0
    while client.poll() is None:
        for change, model, version in CHANGES:
            _call(server, token, f"{model}/{change}", version)
        changes += 1
    meanwhile = _window(client)
    if set(quiet.of_version) != {"1"} or "2" not in meanwhile.of_version:
        message = f"the versions did not switch: {quiet.of_version}, {meanwhile.of_version}"
        raise RuntimeError(message)
    return Round(quiet, meanwhile, changes)


def _client(server: serve.Server, seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, str(HERE / "client.py"), server.http, str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def _window(client: subprocess.Popen[str]) -> Window:
    output, _ = client.communicate()
    if client.returncode:
        raise typer.Exit(1)
    return msgspec.json.decode(output, type=Window)


def _call(server: serve.Server, token: str, change: str, version: str) -> Any:
    connection = HTTPConnection(server.admin or "")
    headers = {"Authorization": f"Bearer {token}"}
    wanted = text.dumps({"parameters": {"version": version}})
    connection.request("POST", f"/v2/repository/models/{change}", wanted, headers)
    with connection.getresponse() as answer:
        body = text.load(answer)
    connection.close()
    if answer.status != 200:  # noqa: PLR2004 - the status of success
        message = f"{change} of version {version} failed: {body}"
        raise RuntimeError(message)
    return body
