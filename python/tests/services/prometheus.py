"""A Prometheus that scrapes one server, and `promtool`, which asks it.

It scrapes every `SCRAPE_MS`, so that a few samples are there within a second.
Source: Prometheus 2.42, configuration and HTTP API; `promtool query instant`.
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
    from collections.abc import Callable, Iterator
    from pathlib import Path

SCRAPE_MS = 100
SETTINGS = """
global:
  scrape_interval: {scrape_ms}ms
  scrape_timeout: {scrape_ms}ms
scrape_configs:
  - job_name: shoal
    static_configs: [{{targets: ["{target}"]}}]
"""


class Prometheus:
    """One that runs, and knows one target."""

    def __init__(self, program: Callable[[str], str], target: str, directory: Path) -> None:
        """Starts it, and waits until it answers."""
        self._promtool = program("promtool")
        settings = directory / "prometheus.yml"
        settings.write_text(SETTINGS.format(scrape_ms=SCRAPE_MS, target=target), "utf-8")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        command = [
            program("prometheus"),
            f"--config.file={settings}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--log.level=warn",
        ]
        with (directory / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)
        SERVICES.add(self._process.pid)
        until(lambda: listens(port), f"prometheus answers on port {port}")

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

    def close(self) -> None:
        """Ends it."""
        end(self._process)


@contextmanager
def scraping(program: Callable[[str], str], target: str, directory: Path) -> Iterator[Prometheus]:
    """A Prometheus that scrapes `http://target/metrics`."""
    prometheus = Prometheus(program, target, directory)
    try:
        yield prometheus
    finally:
        prometheus.close()
