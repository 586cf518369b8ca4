"""What is settled before a canary begins, and refused if it cannot come to an end."""

from __future__ import annotations

import os
import platform
import secrets
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.deploy._canary._document import Document
from shoal.deploy._canary._hands import route_of, told
from shoal.deploy._canary._machine import CanaryWeights, Plan, begin
from shoal.deploy._canary._route import weights_of
from shoal.deploy._canary._watch import watching
from shoal.deploy._cluster._rollout import look
from shoal.deploy._objects._settings._deployment import Canary
from shoal.errors import (
    ClusterConflictError,
    ClusterLacksError,
    ConfigurationError,
    DeployError,
)
from shoal.runtime import write_description

if TYPE_CHECKING:
    from shoal.deploy._canary._canary import CanaryRequest
    from shoal.deploy._canary._clock import Clock
    from shoal.deploy._cluster._connection import Connection
    from shoal.deploy._cluster._kinds import Item
    from shoal.deploy._objects._settings._deployment import Deployment
    from shoal.runtime import Description

DESCRIPTION_LIMIT_BYTES = 256 * 1024
_TRIED_PERCENT = 50


def beginning(
    connection: Connection, settings: Deployment, request: CanaryRequest, clock: Clock
) -> Document:
    """What is remembered of a canary that begins; nothing is changed yet.

    Args:
        connection: The cluster.
        settings: The settings of the deployment.
        request: What is tried.
        clock: Tells the time of day.

    Raises:
        ConfigurationError: the deployment cannot have a canary, or the analysis cannot be used.
        ClusterLacksError: the route is not there.
        ClusterConflictError: the route shares requests out already.
        DeployError: replicas are not up, or who will be asked does not answer.
    """
    replicas = _ready_replicas(connection, settings)
    now = clock.now()
    document = Document(
        name=settings.name,
        old=settings.package,
        new=request.to,
        settings=msgspec.to_builtins(settings),
        replicas=replicas,
        plan=plan_of(request),
        analysis=request.analysis,
        description=_description(request),
        state=begin(now, {}),
        holder=holder(),
    )
    with watching(document, settings.namespace) as watch:
        watch.check()
        window_seconds = max(document.plan.step_seconds, 2 * document.plan.interval_seconds)
        known = watch.known(max(1, round(window_seconds)))
    return msgspec.structs.replace(document, state=begin(clock.now(), known))


def holder() -> str:
    """Who acts: this process of this machine."""
    return f"{platform.node()}-{os.getpid()}-{secrets.token_hex(4)}"


def plan_of(request: CanaryRequest) -> Plan:
    """The times and limits of a request."""
    analysis = request.analysis
    return Plan(
        steps=request.steps,
        step_seconds=analysis.step_seconds,
        interval_seconds=analysis.interval_seconds,
        patience_seconds=analysis.patience_seconds,
        failure_limit=analysis.failure_limit,
        rollout_seconds=analysis.rollout_seconds,
    )


def _ready_replicas(connection: Connection, settings: Deployment) -> int:
    """How many replicas serve; refused unless all are up, and a route leads to them."""
    try:
        tried = Canary(package=settings.package, weight_percent=_TRIED_PERCENT)
        route = route_of(msgspec.structs.replace(settings, canary=tried))
    except ConfigurationError as error:
        message = f"{settings.name} cannot have a canary: {error}"
        raise ConfigurationError(message, hint=error.hint) from None
    live = connection.get(route.kind, route.name)
    if live is None:
        hint = "Deploy it once more; its settings have a route."
        raise ClusterLacksError(f"there is no {route} in the cluster", hint=hint)
    _check_shares(settings, route, live)
    rollout = look(connection, settings.name)
    if not rollout.is_done:
        message = f"{settings.name} has {rollout.ready} of {rollout.desired} replicas ready"
        raise DeployError(message, hint=f"shoal deploy status {settings.name} says why.")
    return rollout.desired


def _check_shares(settings: Deployment, route: Item, live: dict[str, Any]) -> None:
    """Refuses a route that does not share out as it would be told to, by its patches or by now.

    Raises:
        ConfigurationError: as it is rendered, it does not share requests out between two Services.
        ClusterConflictError: in the cluster it gives not all requests to the deployment.
    """
    names = settings.name, f"{settings.name}-canary"
    rendered = weights_of(route.content, names)
    if rendered != CanaryWeights(dict.fromkeys(names, _TRIED_PERCENT)):
        message = f"{settings.name} cannot have a canary: as rendered, {route}: {told(rendered)}"
        hint = "A patch of its rules has to leave the Services and their weights as they are."
        raise ConfigurationError(message, hint=hint)
    found = weights_of(live, names)
    if isinstance(found, str) or {name for name, share in found.percent.items() if share} != {
        settings.name
    }:
        message = f"{route}: {told(found)}, expected all for {settings.name}"
        raise ClusterConflictError(message, hint="Deploy it once more; its settings have a route.")


def _description(request: CanaryRequest) -> str:
    """What the new package takes, for whoever goes on; golden rows only where they are asked."""
    analysis = request.analysis
    if analysis.disagreement is None or request.description is None:
        return ""
    description: Description = request.description
    if analysis.disagreement.records is not None:
        description = msgspec.structs.replace(description, golden="none")
    text = write_description(description).decode()
    if len(text) > DESCRIPTION_LIMIT_BYTES:
        message = f"what the new package says of itself has {len(text):,} bytes"
        hint = "Name a file in [disagreement] records, so that no golden rows are remembered."
        raise ConfigurationError(message, hint=hint)
    return text
