"""A training as a Job: it trains, then it pushes the package.

- Two containers, one after the other: an init container trains, the container pushes. Neither needs
  a shell, and a push that fails is repeated without training again.
- Both write to one folder of the Pod, so a training that was killed goes on where it was, and one
  that has ended is not done again.
- A Job cannot be changed once it is there: its name has a hash of all it does, so another
  configuration is another Job, and the same one is the same.
- Nobody speaks to it; it may speak to whoever has data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
from lightkube.models.batch_v1 import JobSpec
from lightkube.models.core_v1 import (
    ConfigMapVolumeSource,
    Container,
    EmptyDirVolumeSource,
    EnvFromSource,
    PersistentVolumeClaimVolumeSource,
    PodSpec,
    PodTemplateSpec,
    SecretEnvSource,
    Volume,
    VolumeMount,
)
from lightkube.models.meta_v1 import LabelSelector, ObjectMeta
from lightkube.models.networking_v1 import NetworkPolicySpec
from lightkube.resources.batch_v1 import Job
from lightkube.resources.core_v1 import ConfigMap, ServiceAccount
from lightkube.resources.networking_v1 import NetworkPolicy

from shoal.deploy._objects._labels import DEPLOYMENT, labels
from shoal.deploy._objects._options import hash_of
from shoal.deploy._objects._pod import (
    container_security,
    credentials,
    credentials_mount,
    credentials_variable,
    pod_security,
    pull_secrets,
    resources,
)
from shoal.deploy._objects._settings._versions import has_user_namespaces

if TYPE_CHECKING:
    from shoal.deploy._objects._settings._training import TrainingJob

COMPONENT = "training"

_CONFIGURATION_FILE = "train.toml"
_CONFIGURATION_PATH = "/etc/shoal/training"
_WORK_PATH = "/srv/shoal/training"
_OUTPUT = f"{_WORK_PATH}/output"
_KEPT_SECONDS = 86_400
_GRACE_SECONDS = 30


def render_job(asked: TrainingJob) -> tuple[Any, ...]:
    """The objects of a training, in the order in which they are applied."""
    name = f"{asked.name}-{hash_of({'job': msgspec.json.encode(asked).decode()})}"
    data = {_CONFIGURATION_FILE: asked.configuration}
    policy = NetworkPolicySpec(
        podSelector=LabelSelector(matchLabels={DEPLOYMENT: asked.name}),
        policyTypes=["Ingress"],
        ingress=[],
    )
    return (
        ServiceAccount(metadata=_metadata(asked, asked.name), automountServiceAccountToken=False),
        ConfigMap(metadata=_metadata(asked, name), data=data, immutable=True),
        NetworkPolicy(metadata=_metadata(asked, asked.name), spec=policy),
        Job(metadata=_metadata(asked, name), spec=_job(asked, name)),
    )


def _metadata(asked: TrainingJob, name: str) -> ObjectMeta:
    stated = labels(asked.name, COMPONENT, None)
    return ObjectMeta(name=name, namespace=asked.namespace, labels=stated)


def _job(asked: TrainingJob, configuration: str) -> JobSpec:
    pods = ObjectMeta(labels=labels(asked.name, COMPONENT, None))
    return JobSpec(
        backoffLimit=asked.retries,
        activeDeadlineSeconds=asked.time_limit_seconds,
        ttlSecondsAfterFinished=_KEPT_SECONDS,
        template=PodTemplateSpec(metadata=pods, spec=_pod(asked, configuration)),
    )


def _pod(asked: TrainingJob, configuration: str) -> PodSpec:
    return PodSpec(
        restartPolicy="OnFailure",
        serviceAccountName=asked.name,
        automountServiceAccountToken=False,
        enableServiceLinks=False,
        hostUsers=False if _keeps_users_apart(asked) else None,
        imagePullSecrets=pull_secrets(asked.push_secret),
        securityContext=pod_security(),
        initContainers=[_trainer(asked)],
        containers=[_pusher(asked)],
        volumes=_volumes(asked, configuration),
        terminationGracePeriodSeconds=_GRACE_SECONDS,
    )


def _keeps_users_apart(asked: TrainingJob) -> bool:
    """Not where a volume is mounted: its file system, such as NFS, may not know mapped users."""
    return has_user_namespaces(asked.version) and asked.data_claim is None


def _trainer(asked: TrainingJob) -> Container:
    secret = asked.environment_secret
    given = None if secret is None else [EnvFromSource(secretRef=SecretEnvSource(name=secret))]
    mounts = [*_shared(), VolumeMount(name="configuration", mountPath=_CONFIGURATION_PATH)]
    if asked.data_claim is not None:
        mounts.append(VolumeMount(name="data", mountPath="/data", readOnly=True))
    return Container(
        name="train",
        image=asked.runtime.image,
        command=["shoal"],
        # On a node that was restarted it runs once more, though all may be trained.
        args=["train", f"{_CONFIGURATION_PATH}/{_CONFIGURATION_FILE}", _OUTPUT, "--unless-ended"],
        envFrom=given,
        workingDir=_WORK_PATH,
        resources=resources(asked.cpu, asked.memory),
        securityContext=container_security(),
        volumeMounts=mounts,
    )


def _pusher(asked: TrainingJob) -> Container:
    has_secret = asked.push_secret is not None
    return Container(
        name="push",
        image=asked.runtime.image,
        command=["shoal"],
        args=["package", "push", f"{_OUTPUT}/package", asked.push_to],
        env=[credentials_variable()] if has_secret else None,
        resources=resources("100m", "256Mi"),
        securityContext=container_security(),
        volumeMounts=[*_shared(), credentials_mount()] if has_secret else _shared(),
    )


def _shared() -> list[VolumeMount]:
    return [
        VolumeMount(name="work", mountPath=_WORK_PATH),
        VolumeMount(name="tmp", mountPath="/tmp"),  # noqa: S108 - of the container
    ]


def _volumes(asked: TrainingJob, configuration: str) -> list[Volume]:
    volumes = [
        Volume(name="configuration", configMap=ConfigMapVolumeSource(name=configuration)),
        Volume(name="work", emptyDir=EmptyDirVolumeSource(sizeLimit=asked.scratch)),
        Volume(name="tmp", emptyDir=EmptyDirVolumeSource(sizeLimit=asked.scratch)),
    ]
    if asked.data_claim is not None:
        claim = PersistentVolumeClaimVolumeSource(claimName=asked.data_claim, readOnly=True)
        volumes.append(Volume(name="data", persistentVolumeClaim=claim))
    return volumes if asked.push_secret is None else [*volumes, credentials(asked.push_secret)]
