"""Where a canary is remembered: a ConfigMap beside the deployment, which goes when that goes.

- It does not carry the label by which the deployment's objects are found: applying the deployment
  does not take it away. It belongs to the Deployment, so deleting that does.
- Every change names the version it changes; the API server refuses it when there is a newer one.

Source: kubernetes.io/docs/reference/using-api/api-concepts ("Resource versions"), and
kubernetes.io/docs/concepts/overview/working-with-objects/owners-dependents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from shoal.deploy._cluster._inventory import CANARY_LABEL, canary_state_name
from shoal.deploy._cluster._kinds import CONFIG_MAP, DEPLOYMENT, Item
from shoal.errors import ClusterConflictError, DeployError

if TYPE_CHECKING:
    from shoal.deploy._cluster._connection import Connection

KEY = "canary.json"
_MANAGER = "shoal-canary"
_LIMIT_BYTES = 900_000  # an object may have a mebibyte


class ConfigMapStore:
    """What is remembered of the canary of one deployment."""

    def __init__(self, connection: Connection, name: str) -> None:
        """Takes a cluster and a deployment; nothing is looked at yet."""
        self._connection = connection
        self._name = name
        self._owners: list[dict[str, str]] = []

    @property
    def place(self) -> str:
        """The name of the ConfigMap."""
        return canary_state_name(self._name)

    def belongs_to(self, uid: str) -> None:
        """Says which Deployment it goes with."""
        stated = {"apiVersion": DEPLOYMENT.api_version, "kind": DEPLOYMENT.kind}
        self._owners = [{**stated, "name": self._name, "uid": uid}]

    def read(self) -> tuple[str, str] | None:
        """The text and its version; None where there is none.

        Raises:
            ClusterConflictError: something else has the name.
            DeployError: the cluster does not let it be read, or is not there.
        """
        found = self._connection.get(CONFIG_MAP, self.place)
        if found is None:
            return None
        labels = found["metadata"].get("labels") or {}
        text = (found.get("data") or {}).get(KEY)
        if labels.get(CANARY_LABEL) != self._name or text is None:
            message = f"the ConfigMap {self.place} is not one of ours"
            raise ClusterConflictError(message, hint="Is it somebody else's? Rename or delete it.")
        return text, _version(found)

    def create(self, text: str) -> str:
        """Keeps the first text; gives its version.

        Raises:
            ClusterConflictError: there is one already.
            DeployError: the cluster does not let it be made, or is not there.
        """
        return _version(self._connection.create(self._item(text), manager=_MANAGER))

    def replace(self, text: str, version: str) -> str:
        """Keeps another text in the place of that of a version; gives its own.

        Raises:
            ClusterConflictError: it has another version by now.
            ClusterLacksError: there is none any more.
            DeployError: the cluster does not let it be changed, or is not there.
        """
        item = self._item(text, resourceVersion=version)
        return _version(self._connection.replace(item, manager=_MANAGER))

    def delete(self) -> None:
        """Forgets it; one that is gone is no failure.

        Raises:
            DeployError: the cluster does not let it be deleted, or is not there.
        """
        self._connection.delete(CONFIG_MAP, self.place)

    def _item(self, text: str, **more: Any) -> Item:
        if len(text.encode()) > _LIMIT_BYTES:
            message = f"what is to be remembered has more than {_LIMIT_BYTES:,} bytes"
            raise DeployError(message, hint="Are there very large patches, or golden rows?")
        metadata = {
            "name": self.place,
            "namespace": self._connection.namespace,
            "labels": {CANARY_LABEL: self._name, "app.kubernetes.io/managed-by": "shoal"},
            "ownerReferences": self._owners,
            **more,
        }
        stated = {"apiVersion": CONFIG_MAP.api_version, "kind": CONFIG_MAP.kind}
        content = {**stated, "metadata": metadata, "data": {KEY: text}}
        return Item(CONFIG_MAP, self.place, content)


def _version(written: dict[str, Any]) -> str:
    return str(written["metadata"].get("resourceVersion", ""))
