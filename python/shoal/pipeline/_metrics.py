"""What Prometheus may ask of a running pipeline.

Names follow prometheus.io/docs/practices/naming; times are in seconds since 1970.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, start_http_server

from shoal.errors import AddressError, InvalidRequestError
from shoal.pipeline._event_time._windows import BEGINNING, END

if TYPE_CHECKING:
    from threading import Thread
    from wsgiref.simple_server import WSGIServer

    from shoal.pipeline._engine import Engine
    from shoal.pipeline._ledger import Result

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """Counts and measures, at an address if there is one."""

    def __init__(self, address: str | None) -> None:
        """Starts to listen.

        Raises:
            InvalidRequestError: the address is no `host:port`.
            AddressError: somebody else listens there.
        """
        self.registry = CollectorRegistry()
        self._rows_in = Counter(
            "shoal_pipeline_records_taken", "Records taken.", registry=self.registry
        )
        self._rows_out = Counter(
            "shoal_pipeline_records_given", "Records given.", registry=self.registry
        )
        self._rows_dead = Counter(
            "shoal_pipeline_records_dead", "Dead letters.", registry=self.registry
        )
        self._epochs = Counter("shoal_pipeline_epochs", "Epochs committed.", registry=self.registry)
        self._seconds = Histogram(
            "shoal_pipeline_epoch_seconds",
            "From the plan of an epoch to its commit.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._lag = Gauge(
            "shoal_pipeline_lag_records", "Records that wait.", registry=self.registry
        )
        self._watermark = Gauge(
            "shoal_pipeline_watermark_seconds",
            "How far event time has come.",
            registry=self.registry,
        )
        self._window = Gauge(
            "shoal_pipeline_window_bytes", "Bytes read and not yet worked.", registry=self.registry
        )
        self._open = Gauge(
            "shoal_pipeline_state_rows", "Rows of open windows.", registry=self.registry
        )
        self._server = None if address is None else _listening(address, self.registry)

    def observe(self, result: Result, engine: Engine) -> None:
        """Counts an epoch."""
        self._rows_in.inc(result.rows_in)
        self._rows_out.inc(result.rows_out)
        self._rows_dead.inc(result.rows_dead)
        self._epochs.inc()
        self._seconds.observe(result.seconds)
        self._window.set(engine.held_bytes)
        self._open.set(engine.state_rows)
        if engine.lag_rows is not None:
            self._lag.set(engine.lag_rows)
        if BEGINNING < result.watermark.at_us < END:
            self._watermark.set(result.watermark.at_us / 1e6)

    def close(self) -> None:
        """Listens no longer."""
        if self._server is not None:
            server, thread = self._server
            server.shutdown()
            server.server_close()
            thread.join()


def _listening(address: str, registry: CollectorRegistry) -> tuple[WSGIServer, Thread]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise InvalidRequestError(f"{address!r} is no address, expected host:port")
    try:
        return start_http_server(int(port), host, registry)
    except OSError as error:
        raise AddressError(f"{address} cannot be listened to: {error.strerror}") from error
