"""How a new version is judged, as a TOML file; what is left out has a default.

    interval_seconds = 30              # between two looks
    step_seconds = 300                 # how long a step lasts at least
    patience_seconds = 600             # how much longer it may, until a look is good
    failure_limit = 1                  # how many bad looks of a step are forgiven
    without = ["p99_seconds"]          # metrics that are not judged

    [prometheus]
    url = "http://prometheus.monitoring:9090"
    selector = 'namespace="$namespace",service="$service"'

    [metric.error_rate]                # one of the defaults, changed in this
    above_old = 0.002

    [metric.wait_seconds]              # one more
    query = "max(queue_wait_seconds{$labels})"
    at_most = 0.1

    [disagreement]                     # see `Disagreement`
    records = "sample.parquet"
    at_most = 0.05

- A key that is not known is refused; so is a number that is no number, or is below zero.
- `$labels` in a query is what chooses the series of one version, `$window` the time since the step
  began; a dollar sign itself is `$$`.
- Less is better in every metric: write `1 - x` for a share of successes.
- Secrets are in files that are named; no address has a password.
"""

from __future__ import annotations

import math
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgspec

from shoal.errors import ConfigurationError, PathError

if TYPE_CHECKING:
    import os

LIMIT_BYTES = 256 * 1024
METRICS_LIMIT = 20
RECORDS_LIMIT = 10_000


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Structs of the analysis refuse fields that they do not know."""


class MetricText(Part, frozen=True, omit_defaults=True):
    """A metric as it is written, one of the defaults or a new one; see `Metric`."""

    query: str | None = None
    samples: str | None = None
    minimum_samples: int | None = None
    at_most: float | None = None
    above_old: float | None = None
    times_old: float | None = None


class Metric(Part, frozen=True):
    """A number that Prometheus tells of each version.

    At least one bound is given. With `above_old` and `times_old` the new version may be worse by
    the larger of both; `at_most` holds whatever the old one does.

    Attributes:
        query: PromQL that gives one number.
        samples: PromQL that counts what that number was made of; None where it stands for itself.
        minimum_samples: With fewer of them nothing is known.
        at_most: The highest value of the new version.
        above_old: By how much it may be above the old version.
        times_old: How many times the value of the old version it may be.
    """

    query: str
    samples: str | None = None
    minimum_samples: int = 1
    at_most: float | None = None
    above_old: float | None = None
    times_old: float | None = None

    @property
    def is_relative(self) -> bool:
        """Whether the old version counts."""
        return self.above_old is not None or self.times_old is not None


_BUCKETS = "sum by (le) (rate(shoal_request_seconds_bucket{$labels}[$window]))"


def _counted(series: str) -> str:
    """By how much counters grew; one that was not there when the window began grew from nothing.

    A counter of errors appears with the first error, and `increase` would not see what it has then.
    """
    return f"sum(({series} unless {series} offset $window) or increase({series}[$window]))"


_REQUESTS = _counted("shoal_requests_total{$labels}")
_ERRORS = _counted('shoal_requests_total{$labels,outcome!="ok"}')
DEFAULTS = {
    "error_rate": Metric(
        query=f"({_ERRORS} or vector(0)) / {_REQUESTS}",
        samples=_REQUESTS,
        minimum_samples=200,
        above_old=0.01,
    ),
    "p99_seconds": Metric(
        query=f"histogram_quantile(0.99, {_BUCKETS})",
        samples="sum(increase(shoal_request_seconds_count{$labels}[$window]))",
        minimum_samples=200,
        above_old=0.005,
        times_old=1.5,
    ),
}


class Prometheus(Part, frozen=True):
    """Where metrics are asked for.

    Attributes:
        url: The address, with the path below which its HTTP API lies, if there is one.
        selector: The labels that the series of one version have; `$service` is the name of its
            Service, `$namespace` that of both.
        token_file: A file with a bearer token.
        ca_file: Certificates to trust instead of the system's.
        timeout_seconds: How long an answer may take.
    """

    url: str | None = None
    selector: str = 'namespace="$namespace",service="$service"'
    token_file: str | None = None
    ca_file: str | None = None
    timeout_seconds: float = 10.0


class Disagreement(Part, frozen=True):
    """The same records to both versions, once in each step: how many answers differ.

    An answer differs where an output that is no float differs; in a model that gives floats only,
    where one is further away than both tolerances allow. A record that one version refuses and the
    other answers counts as well.

    Attributes:
        records: A Parquet file of inputs; None for the golden rows of the new package.
        at_most: The share of records that may be answered differently.
        limit_records: How many records of the file are sent, from its beginning.
        outputs: The outputs that are compared, instead.
        absolute_tolerance: How far two floats may be apart.
        relative_tolerance: How far, as a share of the larger one.
        address: Where a version answers over HTTP; `$service` and `$namespace` as above.
        key_file: A file with an API key.
        ca_file: Certificates to trust instead of the system's.
        timeout_seconds: How long an answer may take.
    """

    at_most: float
    records: str | None = None
    limit_records: int = 1000
    outputs: tuple[str, ...] = ()
    absolute_tolerance: float = 1e-6
    relative_tolerance: float = 0.01
    address: str = "http://$service.$namespace.svc:8000"
    key_file: str | None = None
    ca_file: str | None = None
    timeout_seconds: float = 10.0

    def __post_init__(self) -> None:
        """Refuses numbers that mean nothing.

        Raises:
            ConfigurationError: naming the key.
        """
        _check_share("disagreement.at_most", self.at_most)
        _check_least("disagreement.absolute_tolerance", self.absolute_tolerance, 0)
        _check_least("disagreement.relative_tolerance", self.relative_tolerance, 0)
        _check_least("disagreement.timeout_seconds", self.timeout_seconds, 0.1)
        if not 1 <= self.limit_records <= RECORDS_LIMIT:
            message = f"disagreement.limit_records is {self.limit_records}"
            raise ConfigurationError(f"{message}, expected 1 to {RECORDS_LIMIT}")
        _check_address("disagreement.address", self.address)
        check_places("disagreement.address", self.address, ("service", "namespace"))


class Analysis(Part, frozen=True):
    """How a new version is judged; see the top of the file.

    Attributes:
        interval_seconds: The time between two looks.
        step_seconds: How long a step lasts at least.
        patience_seconds: How much longer it may last until a look is good; then it is rolled back.
        failure_limit: How many bad looks of a step are forgiven.
        rollout_seconds: How long replicas may take to come up, and a route to be accepted.
        lease_seconds: How long whoever runs it may be silent until another may go on.
        without: Metrics of the defaults that are not judged.
        prometheus: Where metrics are asked for.
        metric: What is changed of the defaults, and what is judged beside them.
        disagreement: How answers of both versions are compared; None for not at all.
    """

    interval_seconds: float = 30.0
    step_seconds: float = 300.0
    patience_seconds: float = 600.0
    failure_limit: int = 1
    rollout_seconds: float = 600.0
    lease_seconds: float = 60.0
    without: tuple[str, ...] = ()
    prometheus: Prometheus = Prometheus()
    metric: dict[str, MetricText] = {}
    disagreement: Disagreement | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be judged by.

        Raises:
            ConfigurationError: naming the key.
        """
        _check_least("interval_seconds", self.interval_seconds, 0.01)
        _check_least("step_seconds", self.step_seconds, 0)
        _check_least("patience_seconds", self.patience_seconds, 0)
        _check_least("rollout_seconds", self.rollout_seconds, 1)
        _check_least("lease_seconds", self.lease_seconds, 0.3)
        _check_least("failure_limit", self.failure_limit, 0)
        _check_least("prometheus.timeout_seconds", self.prometheus.timeout_seconds, 0.1)
        if self.prometheus.url is not None:
            _check_address("prometheus.url", self.prometheus.url)
        check_places("prometheus.selector", self.prometheus.selector, ("service", "namespace"))
        if unknown := [name for name in self.without if name not in DEFAULTS]:
            message = f"without names {unknown[0]!r}, expected one of {', '.join(DEFAULTS)}"
            raise ConfigurationError(message)
        if not self.metrics():
            raise ConfigurationError("nothing is judged: every metric is left out")

    def metrics(self) -> dict[str, Metric]:
        """What is judged, by name: the defaults as they were changed, then the others.

        Raises:
            ConfigurationError: a metric has no query, no bound, or a number that means nothing.
        """
        names = [name for name in DEFAULTS if name not in self.without]
        names += [name for name in self.metric if name not in DEFAULTS]
        if clash := set(self.without) & set(self.metric):
            raise ConfigurationError(f"{min(clash)!r} is changed, and left out by `without`")
        if len(names) > METRICS_LIMIT:
            raise ConfigurationError(f"{len(names)} metrics, at most {METRICS_LIMIT} are judged")
        return {name: _metric(name, self.metric.get(name, MetricText())) for name in names}


def read_analysis(path: str | os.PathLike[str]) -> Analysis:
    """Reads a file that says how a new version is judged.

    Raises:
        PathError: it cannot be read.
        ConfigurationError: it is not TOML, or says what nobody understands.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > LIMIT_BYTES:
        raise ConfigurationError(f"{path} has more than {LIMIT_BYTES} bytes")
    try:
        return msgspec.toml.decode(data, type=Analysis)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}", hint=error.hint) from None
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not as expected: {error}") from None


def read_steps(text: str) -> tuple[int, ...]:
    """The shares that `5,25,50,100` says, in percent.

    Raises:
        ConfigurationError: they are not whole numbers from 1 on that rise and end with 100.
    """
    words = text.split(",")
    if not all(word.strip().isascii() and word.strip().isdigit() for word in words):
        message = f"the steps are {text!r:.80}, expected whole numbers such as 5,25,50,100"
        raise ConfigurationError(message)
    steps = tuple(int(word) for word in words)
    check_steps(steps)
    return steps


def check_steps(steps: tuple[int, ...]) -> None:
    """Refuses steps that do not lead from nothing to everything.

    Raises:
        ConfigurationError: they do not rise from 1 on, or do not end with 100.
    """
    shown = ",".join(map(str, steps))
    if not steps or steps[-1] != 100:  # noqa: PLR2004 - percent
        raise ConfigurationError(f"the steps are {shown:.80}, expected the last to be 100")
    before = (0, *steps)
    if any(later <= earlier for earlier, later in zip(before, steps, strict=False)):
        raise ConfigurationError(f"the steps are {shown:.80}, expected each above the one before")


def check_places(key: str, template: str, names: tuple[str, ...]) -> None:
    """Refuses a template with a place that nothing is known for.

    Raises:
        ConfigurationError: naming the key and the place.
    """
    text = Template(template)
    known = ", ".join(f"${name}" for name in names)
    if not text.is_valid():
        hint = "A dollar sign itself is written $$."
        raise ConfigurationError(f"{key} has a dollar sign without a name of {known}", hint=hint)
    if unknown := [name for name in text.get_identifiers() if name not in names]:
        raise ConfigurationError(f"{key} has ${unknown[0]:.40}, expected of {known}")


def _metric(name: str, text: MetricText) -> Metric:
    usual = DEFAULTS.get(name)
    given = {
        field: value
        for field in text.__struct_fields__
        if (value := getattr(text, field)) is not None
    }
    if usual is None and "query" not in given:
        message = f"metric.{name:.80} has no query"
        raise ConfigurationError(message, hint=f"Only {', '.join(DEFAULTS)} have one of their own.")
    metric = Metric(**given) if usual is None else msgspec.structs.replace(usual, **given)
    _check_metric(f"metric.{name:.80}", metric)
    return metric


def _check_metric(key: str, metric: Metric) -> None:
    check_places(f"{key}.query", metric.query, ("labels", "window"))
    check_places(f"{key}.samples", metric.samples or "", ("labels", "window"))
    _check_least(f"{key}.minimum_samples", metric.minimum_samples, 1)
    bounds = {name: getattr(metric, name) for name in ("at_most", "above_old", "times_old")}
    given = {name: value for name, value in bounds.items() if value is not None}
    if not given:
        raise ConfigurationError(f"{key} has no bound, expected one of {', '.join(bounds)}")
    for name, value in given.items():
        _check_least(f"{key}.{name}", value, 1 if name == "times_old" else 0)


def _check_least(key: str, value: float, least: float) -> None:
    if not math.isfinite(value) or value < least:
        raise ConfigurationError(f"{key} is {value}, expected {least} or more")


def _check_share(key: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigurationError(f"{key} is {value}, expected from 0 to below 1")


def _check_address(key: str, address: str) -> None:
    try:
        parts = urlsplit(address)
        has_password = bool(parts.username or parts.password)
    except ValueError:
        raise ConfigurationError(f"{key} is no address") from None
    if has_password:
        hint = "Name a file with a token or a key instead."
        raise ConfigurationError(f"{key} has a user or a password in it", hint=hint)
    if parts.scheme not in {"http", "https"} or not parts.netloc or parts.query or parts.fragment:
        raise ConfigurationError(f"{key} is {address!r:.80}, expected http:// or https://")
