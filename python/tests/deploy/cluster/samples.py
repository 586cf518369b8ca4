"""A small deployment as typed objects, such as `shoal.deploy.render` gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightkube.models.apps_v1 import DeploymentSpec, DeploymentStrategy, RollingUpdateDeployment
from lightkube.models.autoscaling_v2 import (
    CrossVersionObjectReference,
    ExternalMetricSource,
    HorizontalPodAutoscalerBehavior,
    HorizontalPodAutoscalerSpec,
    HPAScalingRules,
    MetricIdentifier,
    MetricSpec,
    MetricTarget,
)
from lightkube.models.batch_v1 import JobSpec
from lightkube.models.core_v1 import (
    Capabilities,
    ConfigMapEnvSource,
    Container,
    ContainerPort,
    EnvFromSource,
    PodSecurityContext,
    PodSpec,
    PodTemplateSpec,
    ResourceQuotaSpec,
    SeccompProfile,
    SecurityContext,
    ServicePort,
    ServiceSpec,
)
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, ResourceQuota, Service, ServiceAccount

from tests.services import until

if TYPE_CHECKING:
    from tests.services.kubernetes._control_plane import ControlPlane

NAME = "iris"
METRIC = "shoal-queue-wait-rows"
CHOSEN = {"shoal.io/deployment": NAME, "shoal.io/track": "stable"}


def metadata(suffix: str = "", **more: str) -> ObjectMeta:
    return ObjectMeta(name=f"{NAME}{suffix}", labels={"shoal.io/deployment": NAME, **more})


def pod_spec(image: str, options: str = "") -> PodSpec:
    """A Pod that Pod Security `restricted` lets in."""
    given = [EnvFromSource(configMapRef=ConfigMapEnvSource(name=f"{NAME}-{options}"))]
    container = Container(
        name="server",
        image=image,
        envFrom=given if options else None,
        ports=[ContainerPort(name="http", containerPort=8000)],
        securityContext=SecurityContext(
            allowPrivilegeEscalation=False, capabilities=Capabilities(drop=["ALL"])
        ),
    )
    return PodSpec(
        serviceAccountName=NAME,
        automountServiceAccountToken=False,
        securityContext=PodSecurityContext(
            runAsNonRoot=True, seccompProfile=SeccompProfile(type="RuntimeDefault")
        ),
        containers=[container],
    )


def workload(
    version: str = "v1",
    *,
    replicas: int | None = 1,
    options: str = "config-1",
    deadline_seconds: int = 60,
) -> Deployment:
    pods = PodTemplateSpec(
        metadata=ObjectMeta(labels=CHOSEN),
        spec=pod_spec(f"registry.test/iris:{version}", options),
    )
    return Deployment(
        metadata=metadata(),
        spec=DeploymentSpec(
            replicas=replicas,
            selector=LabelSelector(matchLabels=CHOSEN),
            progressDeadlineSeconds=deadline_seconds,
            revisionHistoryLimit=3,
            strategy=DeploymentStrategy(
                type="RollingUpdate",
                rollingUpdate=RollingUpdateDeployment(maxSurge=1, maxUnavailable=0),
            ),
            template=pods,
        ),
    )


def options_map(options: str = "config-1", **data: str) -> ConfigMap:
    return ConfigMap(metadata=metadata(f"-{options}"), data={"SHOAL_THREADS": "1", **data})


def service(suffix: str = "") -> Service:
    ports = [ServicePort(name="http", port=80, targetPort="http")]
    return Service(metadata=metadata(suffix), spec=ServiceSpec(selector=CHOSEN, ports=ports))


def account() -> ServiceAccount:
    return ServiceAccount(metadata=metadata(), automountServiceAccountToken=False)


def autoscaler(least: int = 1, most: int = 6) -> HorizontalPodAutoscaler:
    """Scales on how long records wait, as the controllers of the cluster read it."""
    external = ExternalMetricSource(
        metric=MetricIdentifier(name=METRIC),
        target=MetricTarget(type="Value", value="100m"),
    )
    at_once = HPAScalingRules(stabilizationWindowSeconds=0)
    return HorizontalPodAutoscaler(
        metadata=metadata(),
        spec=HorizontalPodAutoscalerSpec(
            scaleTargetRef=CrossVersionObjectReference(
                apiVersion="apps/v1", kind="Deployment", name=NAME
            ),
            minReplicas=least,
            maxReplicas=most,
            metrics=[MetricSpec(type="External", external=external)],
            behavior=HorizontalPodAutoscalerBehavior(scaleDown=at_once, scaleUp=at_once),
        ),
    )


def objects(version: str = "v1", *more: Any, **settings: Any) -> list[Any]:
    """A Deployment with all that it needs."""
    options = settings.get("options", "config-1")
    return [workload(version, **settings), service(), options_map(options), account(), *more]


def job(options: str = "training-1") -> Job:
    pods = pod_spec("registry.test/trainer:v1", options)
    pods.restartPolicy = "Never"
    template = PodTemplateSpec(metadata=ObjectMeta(labels=metadata().labels), spec=pods)
    spec = JobSpec(backoffLimit=0, template=template)
    return Job(metadata=metadata(f"-{options}"), spec=spec)


def limit(cluster: ControlPlane, namespace: str, **most: str) -> None:
    """A quota of a namespace, once its controller has counted what is there."""
    quota = ResourceQuota(metadata=ObjectMeta(name="few"), spec=ResourceQuotaSpec(hard=most))
    cluster.client.create(quota, namespace=namespace)

    def is_counted() -> bool:
        found = cluster.client.get(ResourceQuota, "few", namespace=namespace)
        return bool(found.status is not None and found.status.used)

    until(is_counted, "the quota is counted")
