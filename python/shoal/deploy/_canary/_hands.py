"""What a canary does in a cluster: every act is one state of the deployment's own settings.

- An act applies what the settings render to, as far as it concerns: all of it, the replicas of the
  new version, or the route alone. So patches hold, and one field manager owns what is changed.
- Replicas come before requests: a step is given to as many replicas as its share of those of the
  old version.
- What is set is read back, and that counts: weights from the route, acceptance from its status,
  replicas from their rollout. A share that somebody else has changed ends the canary.
- Acts may be repeated: what is so already is not applied again, only waited for.
- An autoscaler of the deployment leaves as many replicas as served when it began, however few
  requests there are for them: all requests may come back at any time.
- To take a version back nothing is needed but its own objects and the route, whose weights are
  taken from whoever else may have them by then: what else stands in the way does not matter.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.deploy._canary._machine import Broken, CanaryWeights, Done, Pending
from shoal.deploy._canary._route import acceptance_of, weights_of
from shoal.deploy._canary._settings import served_digest, with_settings
from shoal.deploy._cluster._apply import apply_all
from shoal.deploy._cluster._kinds import DEPLOYMENT, LABEL, read
from shoal.deploy._cluster._rollout import find_deployment, look
from shoal.deploy._objects._render import render
from shoal.deploy._objects._settings._deployment import Canary
from shoal.errors import ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from shoal.deploy._canary._machine import Action, Outcome, State
    from shoal.deploy._canary._watch import Watch
    from shoal.deploy._cluster._connection import Connection
    from shoal.deploy._cluster._kinds import Item
    from shoal.deploy._cluster._rollout import Rollout
    from shoal.deploy._objects._settings._deployment import Deployment

ROUTES = ("HTTPRoute", "VirtualService")
SCALERS = ("HorizontalPodAutoscaler", "ScaledObject")
_WHOLE = 100
# From here on the deployment itself has the new package.
_PROMOTED = frozenset({"promoting", "returning", "removing"})


class ClusterHands:
    """Does what is decided, in a cluster."""

    def __init__(
        self, connection: Connection, settings: Deployment, to: str, *, replicas: int, watch: Watch
    ) -> None:
        """Takes what is tried; nothing is done yet.

        Args:
            connection: The cluster.
            settings: The settings of the deployment, with the old package.
            to: The new package.
            replicas: How many replicas served when it began.
            watch: Looks at both versions.
        """
        self._connection = connection
        self._settings = settings
        self._to = to
        self._replicas = replicas
        self._watch = watch
        self._canary_name = f"{settings.name}-canary"

    def act(self, action: Action, state: State) -> Outcome:
        """Does it, or what can be done of it now.

        Raises:
            DeployError: the cluster refuses, or cannot be reached.
        """
        if action.kind == "look":
            return self._look(state, action.window_seconds)
        if action.kind == "weigh":
            return self._weighed(state, action.percent)
        if action.kind == "remove":
            return self._removed(state)
        if action.kind == "restore" and not state.is_changed:
            return Done()
        tried = action.kind == "prepare"
        name = self._canary_name if tried else self._settings.name
        package = self._settings.package if action.kind == "restore" else self._to
        return self._rolled_out(name, package, self._wanted(state, state.percent))

    def _wanted(self, state: State, percent: int | None) -> Deployment:
        """The settings in a phase, with a share for the new version; None without it at all."""
        package = self._to if state.phase in _PROMOTED else self._settings.package
        canary = None
        if percent is not None:
            replicas = self._replicas_for(max(percent, state.percent))
            canary = Canary(package=self._to, weight_percent=percent, replicas=replicas)
        return msgspec.structs.replace(self._settings, package=package, canary=canary)

    def _replicas_for(self, percent: int) -> int:
        found = find_deployment(self._connection, self._settings.name)
        serving = max(self._replicas, int(found["spec"].get("replicas", 1)))
        return max(1, math.ceil(serving * percent / _WHOLE))

    def _rolled_out(self, name: str, package: str, wanted: Deployment) -> Outcome:
        """Replicas of a package, ready; applied unless they are asked for already."""
        digest = package.rpartition("@")[2]
        live = self._connection.get(DEPLOYMENT, name)
        if live is None or served_digest(live) != digest:
            self._apply(wanted)
        return _outcome(look(self._connection, name))

    def _weighed(self, state: State, percent: int) -> Outcome:
        """Replicas for a share, then the share; to take it away none are needed."""
        wanted = self._wanted(state, percent)
        if not percent:
            return self._share(wanted, 0, is_taken=state.phase == "withdrawing")
        found = find_deployment(self._connection, self._canary_name)
        item = _item(wanted, DEPLOYMENT.kind, self._canary_name)
        if found["spec"].get("replicas", 1) != item.content["spec"]["replicas"]:
            self._connection.apply(item)
        outcome = _outcome(look(self._connection, self._canary_name))
        return self._share(wanted, percent) if isinstance(outcome, Done) else outcome

    def _share(self, wanted: Deployment, percent: int, *, is_taken: bool = False) -> Outcome:
        """Sets the weights of the route, and reads them back."""
        item = route_of(wanted)
        if self._weights(self._route(item)) != self._expected(percent):
            self._connection.apply(item, force=is_taken)
        route = self._route(item)
        found = self._weights(route)
        if isinstance(found, str) or found != self._expected(percent):
            return Broken(f"{item}: {told(found)}, expected {percent} % for the new version")
        accepted = acceptance_of(route)
        if accepted is None:
            return Done(found)
        if percent and accepted.refusals:
            return Broken(f"{item}: {'; '.join(accepted.refusals)}")
        if percent and not accepted.accepted_by:
            return Pending(f"no Gateway has accepted {item} yet")
        return Done(msgspec.structs.replace(found, accepted_by=accepted.accepted_by))

    def _look(self, state: State, window_seconds: int) -> Outcome:
        item = route_of(self._wanted(state, state.percent))
        found = self._weights(self._route(item))
        if found != self._expected(state.percent):
            expected = f"expected {state.percent} % for the new version"
            return Broken(f"somebody changed {item}: {told(found)}, {expected}")
        return self._watch.look(state, window_seconds)

    def _removed(self, state: State) -> Outcome:
        """Everything as it is without the new version beside the old one."""
        after = self._wanted(state, None)
        if state.phase == "discarding":
            self._discard(after, self._wanted(state, 0))
        else:
            self._apply(after)
        if self._connection.get(DEPLOYMENT, self._canary_name) is None:
            return Done()
        return Pending(f"{self._canary_name} is being deleted")

    def _discard(self, after: Deployment, before: Deployment) -> None:
        """The route without the new version, then its objects away; others have no part in it."""
        self._connection.apply(route_of(after), force=True)
        items = _items(after)
        for item in items:
            if item.kind.kind in SCALERS:
                self._connection.apply(item)
        kept = {each.identity for each in items}
        for item in _items(before):
            live = self._connection.get(item.kind, item.name)
            labels = {} if live is None else live["metadata"].get("labels") or {}
            if item.identity not in kept and labels.get(LABEL) == after.name:
                self._connection.delete(item.kind, item.name)

    def _apply(self, wanted: Deployment) -> None:
        objects = with_settings(render(wanted), wanted)
        if wanted.canary is not None:
            _keep_replicas(objects, self._replicas)
        apply_all(self._connection, objects, wanted.name)

    def _route(self, item: Item) -> dict[str, Any]:
        return self._connection.get(item.kind, item.name) or {}

    def _weights(self, route: dict[str, Any]) -> CanaryWeights | str:
        return weights_of(route, (self._settings.name, self._canary_name))

    def _expected(self, percent: int) -> CanaryWeights:
        return CanaryWeights({self._settings.name: _WHOLE - percent, self._canary_name: percent})


def route_of(wanted: Deployment) -> Item:
    """The object that shares requests out.

    Raises:
        ConfigurationError: the settings render to none.
    """
    for item in _items(wanted):
        if item.kind.kind in ROUTES:
            return item
    message = f"{wanted.name} has no route that could share requests out"
    raise ConfigurationError(message, hint="Deploy it with a Gateway, or with target istio.")


def _keep_replicas(objects: Iterable[Any], replicas: int) -> None:
    """Autoscalers with so many replicas as the least, as far as they may make so many."""
    for each in objects:
        if each.kind == "ScaledObject":
            spec = each["spec"]
            kept = min(replicas, spec["maxReplicaCount"])
            spec["minReplicaCount"] = max(spec.get("minReplicaCount", 0), kept)
        elif each.kind == "HorizontalPodAutoscaler":
            kept = min(replicas, each.spec.maxReplicas)
            each.spec.minReplicas = max(each.spec.minReplicas or 1, kept)


def _items(wanted: Deployment) -> tuple[Item, ...]:
    return read(with_settings(render(wanted), wanted), wanted.name, wanted.namespace)


def _item(wanted: Deployment, kind: str, name: str) -> Item:
    return next(each for each in _items(wanted) if (each.kind.kind, each.name) == (kind, name))


def _outcome(rollout: Rollout) -> Outcome:
    troubles = "".join(f"; {each}" for each in rollout.troubles)
    told = f"{rollout.name}: {rollout.ready} of {rollout.desired} replicas ready{troubles}"
    if rollout.failure is not None:
        return Broken(f"{told}: {rollout.failure}")
    return Done() if rollout.is_done else Pending(told)


def told(found: CanaryWeights | str) -> str:
    """How requests are shared out, in words."""
    if isinstance(found, str):
        return found
    return ", ".join(f"{share} % for {name}" for name, share in found.percent.items())
