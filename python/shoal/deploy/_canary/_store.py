"""Where a canary is remembered: a ConfigMap beside the deployment, which goes when that goes.

- It does not carry the label by which the deployment's objects are found: applying the deployment
  does not take it away. It belongs to the Deployment, so deleting that does.
- Every change names the version it changes; the API server refuses it when there is a newer one.

Source: kubernetes.io/docs/reference/using-api/api-concepts ("Resource versions"), and
kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import TYPE_CHECKING

from lightkube import ApiError
from lightkube.models.meta_v1 import ObjectMeta, OwnerReference
from lightkube.resources.core_v1 import ConfigMap

from shoal.deploy._cluster._failures import told
from shoal.deploy._cluster._kinds import CONFIG_MAP
from shoal.errors import ClusterConflictError, DeployError

if TYPE_CHECKING:
    from lightkube import Client

    from shoal.deploy._cluster._connection import Connection

LABEL = "shoal.io/canary-of"
KEY = "canary.json"
_MANAGER = "shoal-canary"
_LIMIT_BYTES = 900_000  # an object may have a mebibyte


class ConfigMapStore:
    """What is remembered of the canary of one deployment."""

    def __init__(self, connection: Connection, name: str) -> None:
        """Takes a cluster and a deployment; nothing is looked at yet."""
        self._client: Client = connection._client  # noqa: SLF001 - of the same room
        self._server: str = connection._server  # noqa: SLF001 - of the same room
        self._namespace = connection.namespace
        self._name = name
        self._owner: OwnerReference | None = None

    @property
    def place(self) -> str:
        """The name of the ConfigMap."""
        return f"{self._name}-canary-state"

    def belongs_to(self, uid: str) -> None:
        """Says which Deployment it goes with."""
        self._owner = OwnerReference("apps/v1", "Deployment", self._name, uid)

    def read(self) -> tuple[str, str] | None:
        """The text and its version; None where there is none.

        Raises:
            ClusterConflictError: something else has the name.
            DeployError: the cluster does not let it be read, or is not there.
        """
        with told(f"look at ConfigMap {self.place}", self._server, CONFIG_MAP):
            try:
                found = self._client.get(ConfigMap, self.place, namespace=self._namespace)
            except ApiError as error:
                if error.status.code != HTTPStatus.NOT_FOUND:
                    raise
                return None
        metadata = found.metadata
        labels = (metadata.labels if metadata else None) or {}
        text = (found.data or {}).get(KEY)
        if labels.get(LABEL) != self._name or text is None:
            message = f"the ConfigMap {self.place} is not one of ours"
            raise ClusterConflictError(message, hint="Is it somebody else's? Rename or delete it.")
        return text, str(metadata.resourceVersion if metadata else "")

    def create(self, text: str) -> str:
        """Keeps the first text; gives its version.

        Raises:
            ClusterConflictError: there is one already.
            DeployError: the cluster does not let it be made, or is not there.
        """
        with told(f"make ConfigMap {self.place}", self._server, CONFIG_MAP):
            return _version(self._client.create(self._content(text), field_manager=_MANAGER))

    def replace(self, text: str, version: str) -> str:
        """Keeps another text in the place of that of a version; gives its own.

        Raises:
            ClusterConflictError: it has another version by now.
            ClusterLacksError: there is none any more.
            DeployError: the cluster does not let it be changed, or is not there.
        """
        content = self._content(text, version)
        with told(f"change ConfigMap {self.place}", self._server, CONFIG_MAP):
            return _version(self._client.replace(content, field_manager=_MANAGER))

    def delete(self) -> None:
        """Forgets it; one that is gone is no failure.

        Raises:
            DeployError: the cluster does not let it be deleted, or is not there.
        """
        with told(f"delete ConfigMap {self.place}", self._server, CONFIG_MAP):
            try:
                self._client.delete(ConfigMap, self.place, namespace=self._namespace)
            except ApiError as error:
                if error.status.code != HTTPStatus.NOT_FOUND:
                    raise

    def _content(self, text: str, version: str | None = None) -> ConfigMap:
        if len(text.encode()) > _LIMIT_BYTES:
            message = f"what is to be remembered has more than {_LIMIT_BYTES:,} bytes"
            raise DeployError(message, hint="Are there very large patches, or golden rows?")
        metadata = ObjectMeta(
            name=self.place,
            namespace=self._namespace,
            labels={LABEL: self._name, "app.kubernetes.io/managed-by": "shoal"},
            ownerReferences=None if self._owner is None else [self._owner],
            resourceVersion=version,
        )
        return ConfigMap(metadata=metadata, data={KEY: text})


def _version(written: ConfigMap) -> str:
    return str(written.metadata.resourceVersion if written.metadata else "")
