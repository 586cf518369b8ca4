"""The metrics of a server, and the questions that are asked of them.

- `METRICS` is what `/metrics` of a server shows, each with its kind and labels; a test compares it
  with a server that runs. Alerts, dashboards and scaling name no other metric.
- Every question is asked of one deployment: by namespace, and by the Services of its tracks.

Source: crates/shoal-server/src/metrics.rs.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Kind: TypeAlias = Literal["counter", "gauge", "histogram"]

WINDOW = "5m"
# What the server, not the client, is to blame for.
FAULTS = ("model_failed", "worker_lost", "worker_timeout", "model_unavailable", "internal")
SHORT_OF_MACHINE = ("queue_full", "server_busy", "deadline_out_of_reach")
RECORDED_WAIT = "shoal:queue_wait_rows"

_SCALING_WINDOW = "1m"
# Of a fleet that runs fewer micro-batches a second, the wait counts as none.
_LEAST_RATE = "0.001"


@dataclass(frozen=True)
class Metric:
    """One family of series.

    Attributes:
        name: As the server calls it; a counter's series end in `_total`.
        kind: What its numbers are.
        tells: What it tells, in words of a dashboard.
        unit: What its numbers are of, as Grafana names units.
        by: The label beside model and version by which it is shown.
    """

    name: str
    kind: Kind
    tells: str
    unit: str = "short"
    by: str | None = None


METRICS = (
    Metric("shoal_requests", "counter", "Requests by outcome", "reqps", "outcome"),
    Metric("shoal_rejected", "counter", "Refused requests by reason", "reqps", "reason"),
    Metric("shoal_tasks", "counter", "Tasks of envelopes by outcome", "reqps", "outcome"),
    Metric("shoal_envelope_tasks", "histogram", "Tasks in an envelope"),
    Metric("shoal_abandoned", "counter", "Clients that left before their answer", "reqps"),
    Metric("shoal_request_seconds", "histogram", "From arrival to answer", "s"),
    Metric("shoal_queue_seconds", "histogram", "Wait for a micro-batch", "s"),
    Metric("shoal_row_seconds", "gauge", "A micro-batch of one row in the model", "s"),
    Metric("shoal_queue_rows", "gauge", "Rows that wait"),
    Metric("shoal_queue_bytes", "gauge", "Bytes that wait", "bytes"),
    Metric("shoal_batches", "counter", "Micro-batches by reason", "ops", "reason"),
    Metric("shoal_batch_seconds", "histogram", "A micro-batch in the model", "s"),
    Metric("shoal_batch_rows", "histogram", "Rows in a micro-batch"),
    Metric("shoal_workers", "gauge", "Workers that live"),
    Metric("shoal_worker_restarts", "counter", "Workers started again", "ops"),
    Metric("shoal_canary_weight", "gauge", "Weights of versions", "percent", "version"),
    Metric("shoal_connections", "gauge", "Open connections"),
    Metric("shoal_connections_dropped", "counter", "Dropped connections", "ops", "reason"),
    Metric("shoal_bodies_bytes", "gauge", "Bodies in flight", "bytes"),
    Metric("shoal_trace_lost", "counter", "Lost lines of the trace", "ops"),
)

_SERIES = re.compile(r"\bshoal_[a-z_]+")


@dataclass(frozen=True)
class Selection:
    """Which series are asked of.

    Attributes:
        namespace: The namespace of the deployment.
        name: Its name.
        all_tracks: Whether a canary counts, too.
    """

    namespace: str
    name: str
    all_tracks: bool = False

    def series(self, name: str, *labels: str) -> str:
        """The series of a metric, with more labels: `shoal_queue_rows{...}`."""
        service = f'=~"{self.name}(-canary)?"' if self.all_tracks else f'="{self.name}"'
        chosen = [f'namespace="{self.namespace}"', f"service{service}", *labels]
        return f"{name}{{{', '.join(chosen)}}}"


def one_of(label: str, values: tuple[str, ...]) -> str:
    """A label that has one of some values."""
    return f'{label}=~"{"|".join(values)}"'


def rate(series: str, by: str = "", window: str = WINDOW) -> str:
    """How often something happens in a second, summed."""
    return f"sum{_by(by)}(rate({series}[{window}]))"


def quantile(share: float, series: str, by: str = "") -> str:
    """A quantile of a histogram, of the series of its buckets."""
    labels = ", ".join(filter(None, ["le", by]))
    return f"histogram_quantile({share:g}, sum by ({labels}) (rate({series}[{WINDOW}])))"


def error_share(of: Selection) -> str:
    """The share of requests that failed by the server's fault."""
    failed = rate(of.series("shoal_requests_total", one_of("outcome", FAULTS)))
    return f"({failed} or vector(0)) / {rate(of.series('shoal_requests_total'))}"


def request_rate(of: Selection) -> str:
    """Requests in a second."""
    return rate(of.series("shoal_requests_total"))


def p99(of: Selection) -> str:
    """The time within which 99 of 100 requests are answered."""
    return quantile(0.99, of.series("shoal_request_seconds_bucket"))


def queue_wait(of: Selection, by: str = "") -> str:
    """How long the first record of a micro-batch has waited for it, on average; 0 without any."""
    waited = rate(of.series("shoal_queue_seconds_sum"), by, _SCALING_WINDOW)
    count = rate(of.series("shoal_queue_seconds_count"), by, _SCALING_WINDOW)
    return f"{waited} / clamp_min({count}, {_LEAST_RATE})"


def queue_wait_rows(of: Selection, by: str = "") -> str:
    """The same, counted in micro-batches of one row; that of the model that waits longest."""
    each = ", ".join(filter(None, [by, "model"]))
    one_row = f"min{_by(each)}({of.series('shoal_row_seconds')})"
    return f"max{_by(by)}({queue_wait(of, each)} / {one_row})"


def ready_replicas(of: Selection) -> str:
    """Replicas that Prometheus reaches; its own metric, of no server."""
    return f"sum({of.series('up')})"


def metrics_in(query: str) -> set[str]:
    """The metrics of a server that a question names, as their series are called."""
    return set(_SERIES.findall(query))


def _by(labels: str) -> str:
    return f" by ({labels}) " if labels else ""
