"""A new package beside the old one: begun, gone on with, called off.

- Everything that can be refused is refused before anything is changed: steps, analysis, a route
  that is not there, replicas that are not up, a Prometheus that does not answer.
- What was begun is remembered in the cluster with all it needs: the same call without arguments
  goes on with it, from wherever it was killed.
- A deployment that has the new package already is no failure: whoever was killed after the last
  act, and comes again, is told so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shoal.deploy._canary._analysis import Analysis, check_steps
from shoal.deploy._canary._beginning import beginning, holder, plan_of
from shoal.deploy._canary._clock import SYSTEM
from shoal.deploy._canary._document import read
from shoal.deploy._canary._events import CanaryEvent, ended, event_of, waiting
from shoal.deploy._canary._hands import ClusterHands
from shoal.deploy._canary._lease import begin, take
from shoal.deploy._canary._machine import withdrawn
from shoal.deploy._canary._run import Runner
from shoal.deploy._canary._settings import settings_of
from shoal.deploy._canary._store import ConfigMapStore
from shoal.deploy._canary._watch import watching
from shoal.deploy._cluster._connection import connected
from shoal.deploy._cluster._rollout import find_deployment
from shoal.deploy._objects._settings._deployment import Deployment
from shoal.deploy._objects._settings._references import read_reference
from shoal.errors import (
    ClusterConflictError,
    ClusterLacksError,
    ConfigurationError,
    RolloutError,
)
from shoal.runtime import Description

if TYPE_CHECKING:
    from shoal.deploy._canary._clock import Clock
    from shoal.deploy._canary._document import Document
    from shoal.deploy._canary._events import Tell, Word
    from shoal.deploy._canary._lease import Held
    from shoal.deploy._cluster._connection import Connection


class CanaryRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What is tried.

    Attributes:
        to: The new package: `oci://HOST/NAME@sha256:...`.
        steps: The shares that it is given one after the other, in percent.
        analysis: How it is judged.
        description: What the new package says of itself; needed where answers are compared.
    """

    to: str
    steps: tuple[int, ...] = (5, 25, 50, 100)
    analysis: Analysis = Analysis()
    description: Description | None = None

    def __post_init__(self) -> None:
        """Refuses what cannot be tried.

        Raises:
            ConfigurationError: naming what it is.
        """
        read_reference(self.to, "the new package")
        check_steps(self.steps)
        if self.analysis.disagreement is not None and self.description is None:
            message = "answers are to be compared, but nobody says what the new package takes"
            raise ConfigurationError(message, hint="Give it: shoal.package.fetch(to).description.")


def run_canary(
    name: str,
    request: CanaryRequest | None = None,
    *,
    namespace: str | None = None,
    tell: Tell | None = None,
    clock: Clock = SYSTEM,
) -> CanaryEvent:
    """Gives a new package more and more of the requests, and keeps it or takes it back.

    Args:
        name: The deployment.
        request: What is tried; None to go on with what is under way.
        namespace: Where it is; None for the namespace of the kubeconfig.
        tell: Is told what happens.
        clock: Tells the time of day, and lets it pass.

    Returns:
        The last event: it is promoted.

    Raises:
        RolloutError: it is rolled back; the old package serves.
        ConfigurationError: the analysis or the settings cannot be used.
        ClusterConflictError: another canary of the deployment is under way, or somebody runs it.
        ClusterLacksError: there is no such deployment, no route, or nothing under way.
        DeployError: the cluster refuses, or Prometheus does not answer.
    """
    with connected(namespace) as connection:
        tried = _Tried(connection, name, tell or (lambda _: None), clock)
        event = tried.run(request)
    if event.event != "promoted":
        hint = f"{event.old} serves."
        raise RolloutError(f"{name}: the new package is rolled back: {event.detail}", hint=hint)
    return event


def stop_canary(
    name: str,
    *,
    namespace: str | None = None,
    tell: Tell | None = None,
    clock: Clock = SYSTEM,
) -> CanaryEvent:
    """Calls a canary off: the old package has all requests again, and the new one goes.

    Args:
        name: The deployment.
        namespace: Where it is; None for the namespace of the kubeconfig.
        tell: Is told what happens.
        clock: Tells the time of day, and lets it pass.

    Returns:
        The last event: it is rolled back.

    Raises:
        ClusterLacksError: nothing is under way.
        ClusterConflictError: somebody runs it, or it is promoted already.
        DeployError: the cluster refuses.
    """
    with connected(namespace) as connection:
        return _Tried(connection, name, tell or (lambda _: None), clock).stop()


class _Tried:
    """The canary of one deployment."""

    def __init__(self, connection: Connection, name: str, tell: Tell, clock: Clock) -> None:
        self._connection = connection
        self._name = name
        self._tell = tell
        self._clock = clock
        self._store = ConfigMapStore(connection, name)
        found = self._store.read()
        self._under_way = None if found is None else read(found[0])

    def run(self, request: CanaryRequest | None) -> CanaryEvent:
        """Goes on with what is under way, or begins."""
        if self._under_way is None:
            return self._begin(request)
        if request is not None:
            _check_same(self._under_way, request)
        held = self._taken()
        held.keep(held.resumed())
        self._say("resumed", held)
        return self._run(held)

    def _begin(self, request: CanaryRequest | None) -> CanaryEvent:
        """Begins, unless the deployment has the package already."""
        if request is None:
            hint = f"shoal deploy canary {self._name} --to PACKAGE begins one."
            raise ClusterLacksError(f"no canary of {self._name} is under way", hint=hint)
        content = find_deployment(self._connection, self._name)
        settings = settings_of(content)
        if settings.content.digest == read_reference(request.to, "the new package").digest:
            return self._told(ended(settings.package, request.steps, self._clock.now()))
        self._store.belongs_to(content["metadata"]["uid"])
        document = beginning(self._connection, settings, request, self._clock)
        held = begin(self._store, document, self._clock)
        self._say("started", held)
        return self._run(held)

    def stop(self) -> CanaryEvent:
        """Calls it off."""
        if self._under_way is None:
            raise ClusterLacksError(f"no canary of {self._name} is under way")
        held = self._taken()
        state = held.resumed()
        if state.phase in {"returning", "removing", "promoted"}:
            held.release()
            message = f"the canary of {self._name} is promoted already"
            raise ClusterConflictError(message, hint="`shoal deploy rollback` goes back.")
        held.keep(withdrawn(state, "it was called off", self._clock.now()))
        self._say("resumed", held)
        return self._run(held)

    def _taken(self) -> Held:
        content = find_deployment(self._connection, self._name)
        self._store.belongs_to(content["metadata"]["uid"])

        def wait(document: Document, left_seconds: float) -> None:
            self._tell(waiting(document, left_seconds, self._clock.now()))

        return take(self._store, holder(), self._clock, wait)

    def _run(self, held: Held) -> CanaryEvent:
        document = held.document
        settings = msgspec.convert(document.settings, Deployment)
        with watching(document, settings.namespace) as watch:
            hands = ClusterHands(
                self._connection, settings, document.new, replicas=document.replicas, watch=watch
            )
            return Runner(held, hands, self._clock, self._tell).run()

    def _say(self, word: Word, held: Held) -> None:
        document = held.document
        detail = f"{document.old} to {document.new}"
        self._tell(event_of(word, document, None, self._clock.now(), detail=detail))

    def _told(self, event: CanaryEvent) -> CanaryEvent:
        self._tell(event)
        return event


def _check_same(under_way: Document, request: CanaryRequest) -> None:
    is_same = under_way.plan == plan_of(request) and under_way.analysis == request.analysis
    if under_way.new == request.to and is_same:
        return
    more = ", with other steps or another analysis" if under_way.new == request.to else ""
    message = f"a canary of {under_way.name} to {under_way.new} is under way{more}"
    hint = f"`shoal deploy canary {under_way.name}` goes on with it, --abort calls it off."
    raise ClusterConflictError(message, hint=hint)
