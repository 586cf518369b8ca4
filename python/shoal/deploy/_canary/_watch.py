"""Looks at both versions: what Prometheus tells, and how often they answer otherwise."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from functools import cached_property
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

    from shoal.deploy._canary._document import Document
    from shoal.deploy._canary._machine import State


class Watch:
    """Looks at the two versions of one deployment.

    Records, certificates and addresses are read when they are first needed: whoever only takes a
    version back needs none of them.
    """

    def __init__(self, document: Document, namespace: str) -> None:
        """Takes what is judged; nothing is read yet, and nobody asked.

        Args:
            document: What is remembered of the canary.
            namespace: Where it is.
        """
        self._document = document
        self._namespace = namespace
        self._services = (document.name, f"{document.name}-canary")
        selector = document.analysis.prometheus.selector
        self._sides = Sides(
            *(labels_of(selector, namespace=namespace, service=each) for each in self._services)
        )
        self._metrics = document.analysis.metrics()
        self._opened = ExitStack()

    @cached_property
    def _client(self) -> Client:
        client = Client(self._document.analysis.prometheus)
        self._opened.callback(client.close)
        return client

    @cached_property
    def _comparison(self) -> Comparison | None:
        settings = self._document.analysis.disagreement
        if settings is None:
            return None
        sample = sample_of(
            read_description(self._document.description),
            records=settings.records,
            limit_records=settings.limit_records,
            outputs=settings.outputs,
        )
        addresses = (
            address_of(settings.address, namespace=self._namespace, service=each)
            for each in self._services
        )
        comparison = Comparison(settings, sample, *addresses)
        self._opened.callback(comparison.close)
        return comparison

    def check(self) -> None:
        """Asks those who will be asked, before anything begins.

        Raises:
            DeployError: Prometheus or the old version does not answer.
            ConfigurationError: nobody says where Prometheus is, or there are no records.
            PathError: records, certificates or a secret cannot be read.
            InputError: a record is none that the model takes.
        """
        client, comparison = self._client, self._comparison
        if problem := client.ask("vector(1)").problem:
            hint = "From outside of the cluster: kubectl port-forward, and --prometheus."
            raise DeployError(problem, hint=hint)
        if comparison is not None and (problem := comparison.reach_old()):
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
        self._opened.close()


@contextmanager
def watching(document: Document, namespace: str) -> Iterator[Watch]:
    """Looks at the versions of a canary, while the block runs.

    Args:
        document: What is remembered of it.
        namespace: Where it is.
    """
    watch = Watch(document, namespace)
    try:
        yield watch
    finally:
        watch.close()
