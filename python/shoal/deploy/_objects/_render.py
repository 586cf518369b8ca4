"""From what is asked for to objects, in the order in which they are applied.

- Pure: the same settings give the same objects, byte for byte.
- What others refer to comes first: who replicas are, their options, who may speak to them; then
  replicas; then how many, how they are reached from outside, and how they are watched.
- The name of the options says what they are also after a patch has changed them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.deploy._objects._network import network_policy
from shoal.deploy._objects._options import options_map, renamed
from shoal.deploy._objects._patches import patched
from shoal.deploy._objects._routing import http_route, mesh
from shoal.deploy._objects._scaling import autoscaler
from shoal.deploy._objects._services import (
    disruption_budget,
    headless_service,
    service,
    service_account,
)
from shoal.deploy._objects._watch._alerts import alert_rules
from shoal.deploy._objects._watch._dashboard import dashboard_map
from shoal.deploy._objects._watch._monitors import monitor
from shoal.deploy._objects._workloads import inference_service, workload

if TYPE_CHECKING:
    from shoal.deploy._objects._settings._deployment import Deployment


def render(asked: Deployment) -> tuple[Any, ...]:
    """The objects of a deployment, of lightkube's kinds, in the order in which they are applied.

    Raises:
        ConfigurationError: an option of the server or a patch cannot be used.
    """
    first = [service_account(asked), options_map(asked), network_policy(asked)]
    watched = [monitor(asked), alert_rules(asked), dashboard_map(asked)]
    made = [*first, disruption_budget(asked), *_replicas(asked), *_routes(asked), *watched]
    return renamed(patched(made, asked.patches)) if asked.patches else tuple(made)


def _replicas(asked: Deployment) -> list[Any]:
    if asked.target == "kserve":
        return [inference_service(asked)]
    scaling, content = asked.autoscaling, asked.content
    fixed = asked.replicas if scaling is None else None
    made: list[Any] = [
        service(asked, "stable", content),
        headless_service(asked),
        workload(asked, "stable", content, fixed),
    ]
    if (canary := asked.canary) is not None:
        made.append(service(asked, "canary", canary.content))
        made.append(workload(asked, "canary", canary.content, canary.replicas))
    if scaling is not None:
        made.append(autoscaler(asked, scaling))
    return made


def _routes(asked: Deployment) -> list[Any]:
    if asked.target == "istio":
        return mesh(asked)
    return [] if asked.route is None else [http_route(asked, asked.route)]
