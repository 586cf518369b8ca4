"""The Pod of a replica: one container that serves, and how the package comes to it.

- Restricted in the sense of the Pod Security Standards, with a root that is read only.
- The package is a volume made of its own image where the cluster knows that; elsewhere an init
  container pulls it, which checks every digest, too.
- Three probes that are really apart. Startup: it answers with its models, or it is started again.
  Ready: whether requests come. Live: the event loop turns; a restart repairs no model.
- Ending: for a while it goes on as before, so that whoever shares out requests learns of it; then
  it drains. The grace period counts both, and some more.
- Cores are requested, never limited: a quota would make micro-batches late. Memory is both.

Source: Kubernetes documentation, "Pod Security Standards", "Pod Lifecycle".
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from lightkube.models.core_v1 import (
    Capabilities,
    ConfigMapEnvSource,
    Container,
    ContainerPort,
    EmptyDirVolumeSource,
    EnvFromSource,
    EnvVar,
    EnvVarSource,
    HTTPGetAction,
    ImageVolumeSource,
    KeyToPath,
    LocalObjectReference,
    PodSecurityContext,
    PodSpec,
    Probe,
    ResourceFieldSelector,
    ResourceRequirements,
    SeccompProfile,
    SecretVolumeSource,
    SecurityContext,
    TopologySpreadConstraint,
    Volume,
    VolumeMount,
)

from shoal.deploy._objects._labels import selector
from shoal.deploy._objects._options import argument, options_name, options_of
from shoal.deploy._objects._settings._versions import has_image_volumes, has_user_namespaces

if TYPE_CHECKING:
    from shoal.deploy._objects._labels import Track
    from shoal.deploy._objects._settings._deployment import Deployment
    from shoal.deploy._objects._settings._references import Reference

HTTP_PORT = 8000
GRPC_PORT = 8001
# Where the package is: as its image shows it, or in a folder below, as it was pulled.
PACKAGE_PATH = "/srv/shoal/package"
PULLED_PATH = f"{PACKAGE_PATH}/pulled"

_CACHE_PATH = "/var/cache/shoal"
_CREDENTIALS_PATH = "/etc/shoal/registry"
_NOBODY = 65532
_SPARE_SECONDS = 5
_CPUS = "SHOAL_CPUS"
_SPREAD_OVER = ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
# Libraries of Python packages would else take every core of the node.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def pod(asked: Deployment, track: Track, content: Reference) -> PodSpec:
    """What a replica is.

    Args:
        asked: The deployment.
        track: Whose replica it is.
        content: The package that it serves.
    """
    pulls = not has_image_volumes(asked.version)
    return PodSpec(
        serviceAccountName=asked.name,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        hostUsers=False if has_user_namespaces(asked.version) else None,
        imagePullSecrets=pull_secrets(asked.pull_secret),
        securityContext=pod_security(),
        initContainers=[_puller(asked, content)] if pulls else None,
        containers=[_server(asked)],
        volumes=_volumes(asked, content, pulls=pulls),
        topologySpreadConstraints=[_spread(asked, track, over) for over in _SPREAD_OVER],
        terminationGracePeriodSeconds=grace_seconds(asked),
    )


def grace_seconds(asked: Deployment) -> int:
    """How long a replica may take to end: all that it does until then, and some more."""
    notice = math.ceil(float(options_of(asked)["drain_notice_ms"]) / 1000)
    return notice + asked.drain_seconds + _SPARE_SECONDS


def pull_secrets(secret: str | None) -> list[LocalObjectReference] | None:
    """With what the node pulls images."""
    return None if secret is None else [LocalObjectReference(name=secret)]


def pod_security() -> PodSecurityContext:
    """Who the processes of a Pod are: nobody."""
    return PodSecurityContext(
        runAsNonRoot=True,
        runAsUser=_NOBODY,
        runAsGroup=_NOBODY,
        fsGroup=_NOBODY,
        fsGroupChangePolicy="OnRootMismatch",
        seccompProfile=SeccompProfile(type="RuntimeDefault"),
    )


def container_security() -> SecurityContext:
    """What a process may do: next to nothing."""
    return SecurityContext(
        allowPrivilegeEscalation=False,
        capabilities=Capabilities(drop=["ALL"]),
        readOnlyRootFilesystem=True,
    )


def resources(cpu: str, memory: str) -> ResourceRequirements:
    """What a container is given: cores at least, memory exactly."""
    return ResourceRequirements(requests={"cpu": cpu, "memory": memory}, limits={"memory": memory})


def credentials(secret: str) -> Volume:
    """Credentials of registries, as a file that `DOCKER_CONFIG` leads to."""
    items = [KeyToPath(key=".dockerconfigjson", path="config.json")]
    return Volume(name="registry", secret=SecretVolumeSource(secretName=secret, items=items))


def credentials_mount() -> VolumeMount:
    """Where they are."""
    return VolumeMount(name="registry", mountPath=_CREDENTIALS_PATH, readOnly=True)


def credentials_variable() -> EnvVar:
    """How a program finds them."""
    return EnvVar(name="DOCKER_CONFIG", value=_CREDENTIALS_PATH)


def _server(asked: Deployment) -> Container:
    return Container(
        name="kserve-container" if asked.target == "kserve" else "server",
        image=asked.runtime.image,
        command=["shoal"],
        args=_arguments(asked),
        ports=[
            ContainerPort(name="http", containerPort=HTTP_PORT, protocol="TCP"),
            ContainerPort(name="grpc", containerPort=GRPC_PORT, protocol="TCP"),
        ],
        env=_variables(),
        envFrom=[EnvFromSource(configMapRef=ConfigMapEnvSource(name=options_name(asked)))],
        resources=resources(asked.cpu, asked.memory),
        startupProbe=_probe("ready", every_seconds=1, failures=asked.start_seconds),
        readinessProbe=_probe("ready", every_seconds=2, failures=3),
        livenessProbe=_probe("live", every_seconds=10, failures=6, timeout_seconds=5),
        securityContext=container_security(),
        volumeMounts=[
            VolumeMount(name="package", mountPath=PACKAGE_PATH, readOnly=True),
            VolumeMount(name="cache", mountPath=_CACHE_PATH),
            VolumeMount(name="tmp", mountPath="/tmp"),  # noqa: S108 - of the container
        ],
    )


def _arguments(asked: Deployment) -> list[str]:
    doors = ["--http", f"0.0.0.0:{HTTP_PORT}", "--grpc", f"0.0.0.0:{GRPC_PORT}"]
    crew = ["--allow-code", "--workers"] if asked.allow_code else ["--threads"]
    cores = [*crew, f"$({_CPUS})", "--cores", f"$({_CPUS})"]
    kept = ["--log-format", "json", "--profile-cache", _CACHE_PATH]
    told = [word for option in options_of(asked) for word in argument(option)]
    package = PACKAGE_PATH if has_image_volumes(asked.version) else PULLED_PATH
    return ["serve", package, *doors, *cores, *kept, *told]


def _variables() -> list[EnvVar]:
    """Whole cores, as requested, rounded up; a patch of the request changes them along."""
    cores = EnvVarSource(resourceFieldRef=ResourceFieldSelector(resource="requests.cpu"))
    return [EnvVar(name=name, valueFrom=cores) for name in (_CPUS, *_THREADS)]


def _probe(page: str, *, every_seconds: int, failures: int, timeout_seconds: int = 1) -> Probe:
    return Probe(
        httpGet=HTTPGetAction(path=f"/v2/health/{page}", port="http"),
        periodSeconds=every_seconds,
        failureThreshold=failures,
        timeoutSeconds=timeout_seconds,
    )


def _puller(asked: Deployment, content: Reference) -> Container:
    has_secret = asked.pull_secret is not None
    mounts = [
        VolumeMount(name="package", mountPath=PACKAGE_PATH),
        VolumeMount(name="tmp", mountPath="/tmp"),  # noqa: S108 - of the container
    ]
    return Container(
        name="pull",
        image=asked.runtime.image,
        command=["shoal"],
        args=["package", "pull", content.url, PULLED_PATH],
        env=[credentials_variable()] if has_secret else None,
        resources=resources(asked.cpu, asked.memory),
        securityContext=container_security(),
        volumeMounts=[*mounts, credentials_mount()] if has_secret else mounts,
    )


def _volumes(asked: Deployment, content: Reference, *, pulls: bool) -> list[Volume]:
    kept = [
        Volume(name="cache", emptyDir=EmptyDirVolumeSource(sizeLimit="64Mi")),
        Volume(name="tmp", emptyDir=EmptyDirVolumeSource(sizeLimit=asked.memory)),
    ]
    if not pulls:
        image = ImageVolumeSource(reference=content.image, pullPolicy="IfNotPresent")
        return [Volume(name="package", image=image), *kept]
    package = Volume(name="package", emptyDir=EmptyDirVolumeSource())
    secret = [] if asked.pull_secret is None else [credentials(asked.pull_secret)]
    return [package, *kept, *secret]


def _spread(asked: Deployment, track: Track, over: str) -> TopologySpreadConstraint:
    return TopologySpreadConstraint(
        maxSkew=1,
        topologyKey=over,
        whenUnsatisfiable="ScheduleAnyway",
        labelSelector=selector(asked, track),
        matchLabelKeys=["pod-template-hash"],
    )
