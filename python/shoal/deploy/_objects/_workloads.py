"""What runs replicas: a Deployment for each track, or an InferenceService of KServe.

- While a new version comes, one replica more than asked runs, and never one less.
- Where something else owns the number of replicas, it is not stated: applying again changes none.
- KServe makes a Deployment of the same Pod: its raw mode, without Knative.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightkube.models.apps_v1 import DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment
from lightkube.models.core_v1 import PodTemplateSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.apps_v1 import Deployment as Workload

from shoal.deploy._objects._kinds import custom
from shoal.deploy._objects._labels import PACKAGE_DIGEST, TRACK, labels, metadata, selector
from shoal.deploy._objects._pod import pod
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
            annotations={PACKAGE_DIGEST: content.digest},
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
        "annotations": {PACKAGE_DIGEST: asked.content.digest},
        "deploymentStrategy": _STRATEGY,
    }
    return custom("InferenceService", stated, {"predictor": predictor})


def _pod_labels(asked: Deployment, content: Reference) -> dict[str, str]:
    injected = {"sidecar.istio.io/inject": "true"} if asked.target == "istio" else {}
    return {**labels(asked.name, COMPONENT, content), **injected}
