"""Looks at both versions: what Prometheus tells, and how often they answer otherwise."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from shoal.deploy._canary._disagreement import NAME, Comparison, address_of
from shoal.deploy._canary._look import Sides, known_of, labels_of, look
from shoal.deploy._canary._machine import Seen
from shoal.deploy._canary._prometheus import Client
from shoal.deploy._canary._sample import sample_of
from shoal.errors import DeployError
from shoal.runtime import read_description

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.deploy._canary._analysis import Analysis
    from shoal.deploy._canary._document import Document
    from shoal.deploy._canary._machine import State
    from shoal.deploy._canary._sample import Sample


class Watch:
    """Looks at the two versions of one deployment."""

    def __init__(
        self, analysis: Analysis, *, name: str, namespace: str, sample: Sample | None
    ) -> None:
        """Takes what is judged; nobody is asked yet.

        Args:
            analysis: How the new version is judged.
            name: The deployment.
            namespace: Where it is.
            sample: Records for both versions; None where answers are not compared.

        Raises:
            ConfigurationError: nobody says where Prometheus is.
            PathError: certificates cannot be read.
        """
        services = (name, f"{name}-canary")
        selector = analysis.prometheus.selector
        self._sides = Sides(
            *(labels_of(selector, namespace=namespace, service=service) for service in services)
        )
        self._metrics = analysis.metrics()
        self._client = Client(analysis.prometheus)
        self._comparison = None
        settings = analysis.disagreement
        if settings is not None and sample is not None:
            addresses = (
                address_of(settings.address, namespace=namespace, service=service)
                for service in services
            )
            self._comparison = Comparison(settings, sample, *addresses)

    def check(self) -> None:
        """Asks those who will be asked, before anything begins.

        Raises:
            DeployError: Prometheus or the old version does not answer.
            PathError: a secret cannot be read.
        """
        if problem := self._client.ask("vector(1)").problem:
            hint = "From outside of the cluster: kubectl port-forward, and --prometheus."
            raise DeployError(problem, hint=hint)
        if self._comparison is not None and (problem := self._comparison.reach_old()):
            hint = "[disagreement] address says where a version answers; key_file holds its key."
            raise DeployError(f"the old version does not answer: {problem}", hint=hint)

    def known(self, window_seconds: int) -> dict[str, float]:
        """What is known of the old version while it has all requests, by metric."""
        return known_of(self._client, self._metrics, self._sides.old, window_seconds)

    def look(self, state: State, window_seconds: int) -> Seen:
        """Judges the new version; what was settled in this step is not measured again."""
        verdicts = look(self._client, self._metrics, self._sides, state.known, window_seconds)
        if self._comparison is None:
            return Seen(verdicts)
        compared = state.settled.get(NAME) or self._comparison.verdict()
        settled = () if compared.verdict == "unknown" else (NAME,)
        return Seen((*verdicts, compared), settled)

    def close(self) -> None:
        """Ends the connections."""
        self._client.close()
        if self._comparison is not None:
            self._comparison.close()


@contextmanager
def watching(document: Document, namespace: str, *, is_looked_at: bool = True) -> Iterator[Watch]:
    """Looks at the versions of a canary, while the block runs.

    Args:
        document: What is remembered of it.
        namespace: Where it is.
        is_looked_at: Whether records will be needed to compare answers.

    Raises:
        ConfigurationError: nobody says where Prometheus is, or there are no records.
        PathError: records or certificates cannot be read.
        InputError: a record is none that the model takes.
    """
    settings = document.analysis.disagreement
    sample = None
    if settings is not None and is_looked_at:
        sample = sample_of(
            read_description(document.description),
            records=settings.records,
            limit_records=settings.limit_records,
            outputs=settings.outputs,
        )
    watch = Watch(document.analysis, name=document.name, namespace=namespace, sample=sample)
    try:
        yield watch
    finally:
        watch.close()
