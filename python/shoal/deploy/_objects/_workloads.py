"""What runs replicas: a Deployment for each track, or an InferenceService of KServe.

- While a new version comes, one replica more than asked runs, and never one less.
- Where something else owns the number of replicas, it is not stated: applying again changes none.
- KServe makes a Deployment of the same Pod: its raw mode, without Knative.
- The sidecar of Istio is told where the server's metrics are, which it gives along with its own; to
  stay until the last connection ends; and to let a pull pass, which comes before it.

Source: Istio, "Resource Annotations", "Integrations: Prometheus", `pilot-agent` environment.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from lightkube.models.apps_v1 import DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment
from lightkube.models.core_v1 import PodTemplateSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment as Workload

from shoal.deploy._objects._kinds import custom
from shoal.deploy._objects._labels import PACKAGE_DIGEST, TRACK, labels, metadata, selector
from shoal.deploy._objects._network import registry_ports
from shoal.deploy._objects._pod import HTTP_PORT, pod
from shoal.deploy._objects._scaling import kserve_scaling

if TYPE_CHECKING:
    from shoal.deploy._objects._labels import Track
    from shoal.deploy._objects._settings._deployment import Deployment
    from shoal.deploy._objects._settings._references import Reference

COMPONENT = "server"

_HISTORY = 10
# Longer than a start may take, or a slow one would count as stuck.
_STUCK_AFTER_SECONDS = 60
_KSERVE_MODE = "serving.kserve.io/deploymentMode"
_KSERVE_SCALER = "serving.kserve.io/autoscalerClass"
_SIDECAR = {"proxyMetadata": {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true"}}
_STRATEGY = {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}


def workload(asked: Deployment, track: Track, content: Reference, replicas: int | None) -> Workload:
    """The Deployment of a track.

    Args:
        asked: The deployment.
        track: Which of its tracks.
        content: The package that its replicas serve.
        replicas: How many; None if something else says so.
    """
    suffix = "" if track == "stable" else f"-{track}"
    pods = PodTemplateSpec(
        metadata=ObjectMeta(
            labels={**_pod_labels(asked, content), TRACK: track},
            annotations=_pod_annotations(asked, content),
        ),
        spec=pod(asked, track, content),
    )
    spec = DeploymentSpec(
        replicas=replicas,
        selector=selector(asked, track),
        strategy=DeploymentStrategy(
            type="RollingUpdate",
            rollingUpdate=RollingUpdateDeployment(maxSurge=1, maxUnavailable=0),
        ),
        progressDeadlineSeconds=asked.start_seconds + _STUCK_AFTER_SECONDS,
        revisionHistoryLimit=_HISTORY,
        template=pods,
    )
    return Workload(metadata=metadata(asked, COMPONENT, suffix, content=content), spec=spec)


def inference_service(asked: Deployment) -> Any:
    """The InferenceService of KServe, with the same Pod."""
    stated = metadata(asked, COMPONENT)
    scaler = "none" if asked.autoscaling is None else "keda"
    stated.annotations = {
        **(stated.annotations or {}),
        _KSERVE_MODE: "Standard",
        _KSERVE_SCALER: scaler,
    }
    predictor = {
        **pod(asked, "stable", asked.content).to_dict(),
        **kserve_scaling(asked),
        "labels": {**_pod_labels(asked, asked.content), TRACK: "stable"},
        "annotations": _pod_annotations(asked, asked.content),
        "deploymentStrategy": _STRATEGY,
    }
    return custom("InferenceService", stated, {"predictor": predictor})


def _pod_labels(asked: Deployment, content: Reference) -> dict[str, str]:
    injected = {"sidecar.istio.io/inject": "true"} if asked.target == "istio" else {}
    return {**labels(asked.name, COMPONENT, content), **injected}


def _pod_annotations(asked: Deployment, content: Reference) -> dict[str, str]:
    notes = {PACKAGE_DIGEST: content.digest}
    if asked.target != "istio":
        return notes
    notes |= {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(HTTP_PORT),
        "prometheus.io/path": "/metrics",
        "proxy.istio.io/config": json.dumps(_SIDECAR),
    }
    if ports := registry_ports(asked):
        # The sidecar may not be there yet when the init container pulls.
        notes["traffic.sidecar.istio.io/excludeOutboundPorts"] = ",".join(map(str, ports))
    return notes
