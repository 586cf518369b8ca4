"""A Prometheus of a test: what it scrapes, and what it remembers of a time before it was started.

- It listens on a free port of this machine, keeps its data in a folder of its own, and tells
  nobody.
- `Prometheus` asks it: by its API, and by `promtool query instant`.
- A past is written as OpenMetrics with times and made into blocks by promtool, so that a test needs
  not wait until ten minutes are over.

Source: prometheus.io/docs/prometheus/latest/storage, "Backfilling from OpenMetrics format".
"""

from __future__ import annotations

import json
import subprocess
import urllib.parse
import urllib.request
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from tests.services import SERVICES, end, free_port, listens, until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from pathlib import Path

SCRAPES_EVERY = "100ms"


@contextmanager
def running(
    program: Callable[[str], str],
    directory: Path,
    *,
    past: str = "",
    targets: Mapping[str, Mapping[str, str]] | None = None,
) -> Iterator[str]:
    """A Prometheus that runs; gives its address.

    Args:
        program: Finds programs.
        directory: A folder of its own.
        past: What it remembers, as OpenMetrics without the last line.
        targets: The labels of what it scrapes, by address.
    """
    data = directory / "data"
    if past:
        text = directory / "past.txt"
        text.write_text(f"{past}# EOF\n", "utf-8")
        make = [program("promtool"), "tsdb", "create-blocks-from", "openmetrics"]
        subprocess.run([*make, str(text), str(data)], check=True, capture_output=True)
    settings = directory / "prometheus.json"  # JSON is YAML
    settings.write_text(json.dumps(_settings(targets or {})), "utf-8")
    port = free_port()
    command = [
        program("prometheus"),
        f"--config.file={settings}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
        "--log.level=warn",
    ]
    with (directory / "log").open("ab") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    SERVICES.add(process.pid)
    try:
        until(lambda: listens(port), "Prometheus listens")
        until(lambda: _is_ready(port), "Prometheus is ready")
        yield f"http://127.0.0.1:{port}"
    finally:
        end(process)


class Prometheus:
    """One that runs, and `promtool`, which asks it."""

    def __init__(self, promtool: str, url: str) -> None:
        self._promtool = promtool
        self.url = url

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer of its API."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=20) as answer:
            return json.load(answer)["data"]

    def query(self, expression: str) -> dict[str, float]:
        """`promtool query instant`: a value for each series, by its labels as it writes them."""
        command = [self._promtool, "query", "instant", self.url, expression]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        lines = [line for line in done.stdout.splitlines() if line]
        pairs = (line.rsplit(" => ", 1) for line in lines)
        return {labels: float(value.split(" @")[0]) for labels, value in pairs}


@contextmanager
def scraping(program: Callable[[str], str], target: str, directory: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `http://target/metrics`."""
    with running(program, directory, targets={target: {}}) as url:
        yield Prometheus(program("promtool"), url)


def samples(name: str, labels: Mapping[str, str], points: Iterable[tuple[float, float]]) -> str:
    """The lines of a counter, from its values at times."""
    told = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return "".join(f"{name}{{{told}}} {value} {at:.3f}\n" for at, value in points)


def _settings(targets: Mapping[str, Mapping[str, str]]) -> dict[str, Any]:
    jobs = [
        {
            "job_name": "shoal",
            "static_configs": [
                {"targets": [address], "labels": dict(labels)}
                for address, labels in targets.items()
            ],
        }
    ]
    every = {"scrape_interval": SCRAPES_EVERY, "scrape_timeout": SCRAPES_EVERY}
    return {"global": every, "scrape_configs": jobs if targets else []}


def _is_ready(port: int) -> bool:
    import urllib3

    url = f"http://127.0.0.1:{port}/-/ready"
    return urllib3.request("GET", url, retries=False).status == 200
