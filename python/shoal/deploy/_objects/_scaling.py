"""How many replicas there are: as many as keep the wait of records short.

- The measure is how long records wait for a micro-batch, not CPU: a server that gathers
  micro-batches is busy long before anybody waits. It is counted in micro-batches of one row, so
  that one target suits every model.
- Replicas become more at once, at most by as many again in a minute; fewer slowly, one in ten a
  minute, after it has been quiet for a while: a wait is no proportion of the load.
- In plain Kubernetes the wait is an external metric that an adapter takes from Prometheus; KEDA
  and KServe ask Prometheus themselves.
- KServe hands question and threshold on to KEDA, as a plain number and as what each replica may
  have of it (`AverageValue`): so there the wait is multiplied by the replicas that answer.

Source: docs/concepts/autoscaling.md, where the numbers come from; Kubernetes API,
autoscaling/v2; KEDA, "Prometheus" scaler; KServe 0.20, `reconcilers/keda/keda_reconciler.go`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightkube.models.autoscaling_v2 import (
    CrossVersionObjectReference,
    ExternalMetricSource,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec,
    HPAScalingPolicy,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
)
from lightkube.models.meta_v1 import LabelSelector
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler

from shoal.deploy._objects._kinds import custom
from shoal.deploy._objects._labels import metadata
from shoal.deploy._objects._watch._signals import Selection, queue_wait_rows, ready_replicas

if TYPE_CHECKING:
    from shoal.deploy._objects._settings._deployment import Autoscaling, Deployment

COMPONENT = "autoscaler"
# The name of the external metric; an adapter of metrics serves it.
METRIC = "shoal-queue-wait-rows"

_ASK_EVERY_SECONDS = 15


def autoscaler(asked: Deployment, scaling: Autoscaling) -> Any:
    """What scales the stable track: of Kubernetes, or of KEDA."""
    if asked.target == "keda":
        return custom("ScaledObject", metadata(asked, COMPONENT), _scaled(asked, scaling))
    return HorizontalPodAutoscaler(
        metadata=metadata(asked, COMPONENT),
        spec=HorizontalPodAutoscalerSpec(
            scaleTargetRef=CrossVersionObjectReference(
                apiVersion="apps/v1", kind="Deployment", name=asked.name
            ),
            minReplicas=asked.replicas,
            maxReplicas=scaling.max_replicas,
            metrics=[MetricSpec(type="External", external=_external(asked, scaling))],
            behavior=_behavior(scaling),
        ),
    )


def kserve_scaling(asked: Deployment) -> dict[str, Any]:
    """The fields of a predictor that say how many replicas there are."""
    scaling = asked.autoscaling
    if scaling is None:
        return {"minReplicas": asked.replicas, "maxReplicas": asked.replicas}
    metric = {
        "backend": "prometheus",
        "serverAddress": asked.monitoring.prometheus_address,
        "query": f"({_query(asked)}) * {ready_replicas(Selection(asked.namespace, asked.name))}",
    }
    external = {"metric": metric, "target": {"type": "Value", "value": _threshold(scaling)}}
    behavior = _behavior(scaling).to_dict()
    return {
        "minReplicas": asked.replicas,
        "maxReplicas": scaling.max_replicas,
        "autoScaling": {
            "metrics": [{"type": "External", "external": external}],
            "behavior": behavior,
        },
    }


def _external(asked: Deployment, scaling: Autoscaling) -> ExternalMetricSource:
    chosen = LabelSelector(matchLabels={"service": asked.name})
    return ExternalMetricSource(
        metric=MetricIdentifier(name=METRIC, selector=chosen),
        target=MetricTarget(type="Value", value=_target(scaling)),
    )


def _scaled(asked: Deployment, scaling: Autoscaling) -> dict[str, Any]:
    behavior = _behavior(scaling).to_dict()
    advanced = {"horizontalPodAutoscalerConfig": {"name": asked.name, "behavior": behavior}}
    triggers = [_trigger(asked, "queue-wait", _query(asked), _threshold(scaling))]
    if scaling.wake_query is not None:
        # Any work keeps one replica; how many there are beyond that is decided by the wait.
        wake = f"clamp_max({scaling.wake_query}, 1)"
        triggers.append(_trigger(asked, "work", wake, "1"))
    return {
        "scaleTargetRef": {"name": asked.name},
        "minReplicaCount": asked.replicas,
        "maxReplicaCount": scaling.max_replicas,
        "pollingInterval": _ASK_EVERY_SECONDS,
        "cooldownPeriod": scaling.quiet_seconds,
        "advanced": advanced,
        "triggers": triggers,
    }


def _trigger(asked: Deployment, name: str, query: str, threshold: str) -> dict[str, Any]:
    return {
        "type": "prometheus",
        "name": name,
        "metricType": "Value",
        "metadata": {
            "serverAddress": asked.monitoring.prometheus_address,
            "query": query,
            "threshold": threshold,
            # A Prometheus that knows nothing is no reason to take replicas away.
            "ignoreNullValues": "true" if asked.replicas == 0 else "false",
        },
    }


def _behavior(scaling: Autoscaling) -> HorizontalPodAutoscalerBehavior:
    double = HPAScalingPolicy(type="Percent", value=100, periodSeconds=60)
    tenth = HPAScalingPolicy(type="Percent", value=10, periodSeconds=60)
    one = HPAScalingPolicy(type="Pods", value=1, periodSeconds=60)
    return HorizontalPodAutoscalerBehavior(
        scaleUp=HPAScalingRules(
            stabilizationWindowSeconds=0, selectPolicy="Max", policies=[double, one]
        ),
        scaleDown=HPAScalingRules(
            stabilizationWindowSeconds=scaling.quiet_seconds,
            selectPolicy="Max",
            policies=[tenth, one],
        ),
    )


def _query(asked: Deployment) -> str:
    return queue_wait_rows(Selection(asked.namespace, asked.name))


def _threshold(scaling: Autoscaling) -> str:
    """As a plain number."""
    return f"{scaling.queue_wait_rows:g}"


def _target(scaling: Autoscaling) -> str:
    """As a quantity, in thousandths."""
    return f"{scaling.queue_wait_rows * 1000:.0f}m"
