"""A training that runs in the cluster: the settings of one Job.

- What is trained is the text of a configuration of `shoal train`; its paths are those of the
  container: data that is mounted lies in `/data`.
- Secrets are named, never held: credentials of the registry, and variables such as
  `DATABASE_URL`.
"""

from __future__ import annotations

import msgspec

from shoal.deploy._objects._settings._names import (
    JOB_NAME_LIMIT,
    check_name,
    check_namespace,
    check_object_name,
)
from shoal.deploy._objects._settings._quantities import quantity
from shoal.deploy._objects._settings._references import (
    Reference,
    check_destination,
    read_reference,
)
from shoal.deploy._objects._settings._versions import DEFAULT, read_version
from shoal.errors import ConfigurationError

# What an object of the cluster may hold, with room for what surrounds it.
CONFIGURATION_LIMIT_BYTES = 512 * 1024
_RETRIES_LIMIT = 100


class TrainingJob(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A training, and where its package goes.

    Attributes:
        name: What it is called; the Job's name goes on with a hash of what it does.
        namespace: Where it runs.
        image: What trains: Shoal with its extra `train`, `HOST/NAME@sha256:...`.
        configuration: The text of the configuration of `shoal train`.
        push_to: Where the package goes: `oci://HOST/NAME:TAG`.
        push_secret: A Secret of type `kubernetes.io/dockerconfigjson`: credentials of the registry.
        environment_secret: A Secret whose keys become variables, such as `DATABASE_URL`.
        data_claim: A PersistentVolumeClaim that is mounted at `/data`, to read only.
        cpu: Cores that it is given.
        memory: Memory, requested and at most.
        scratch: Room for the dataset and the package.
        retries: How often it is tried again; what was done already stays done.
        time_limit_seconds: After which it is ended; None for never.
        cluster: The version of Kubernetes that it is rendered for.
    """

    name: str
    namespace: str
    image: str
    configuration: str
    push_to: str
    push_secret: str | None = None
    environment_secret: str | None = None
    data_claim: str | None = None
    cpu: str = "2"
    memory: str = "4Gi"
    scratch: str = "10Gi"
    retries: int = 3
    time_limit_seconds: int | None = None
    cluster: str = DEFAULT

    def __post_init__(self) -> None:
        """Refuses what cannot be rendered.

        Raises:
            ConfigurationError: naming the setting, its value and what was expected.
        """
        check_name(self.name, JOB_NAME_LIMIT, "the Job NAME-HASH")
        check_namespace(self.namespace)
        read_reference(self.image, "image")
        check_destination(self.push_to, "push_to")
        read_version(self.cluster)
        for field in ("push_secret", "environment_secret", "data_claim"):
            if (name := getattr(self, field)) is not None:
                check_object_name(name, field)
        for field in ("cpu", "memory", "scratch"):
            quantity(getattr(self, field), field)
        _check_counts(self)

    @property
    def runtime(self) -> Reference:
        """The image that trains."""
        return read_reference(self.image, "image")

    @property
    def version(self) -> tuple[int, int]:
        """The version of Kubernetes."""
        return read_version(self.cluster)


def _check_counts(asked: TrainingJob) -> None:
    if not 0 <= asked.retries <= _RETRIES_LIMIT:
        message = f"retries is {asked.retries}, expected 0 to {_RETRIES_LIMIT}"
        raise ConfigurationError(message)
    if asked.time_limit_seconds is not None and asked.time_limit_seconds < 1:
        message = f"time_limit_seconds is {asked.time_limit_seconds}, expected 1 or more"
        raise ConfigurationError(message)
    if (size := len(asked.configuration.encode())) > CONFIGURATION_LIMIT_BYTES:
        message = f"the configuration has {size:,} bytes"
        raise ConfigurationError(f"{message}, expected at most {CONFIGURATION_LIMIT_BYTES:,}")
