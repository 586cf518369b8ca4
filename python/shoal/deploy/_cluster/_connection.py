"""A cluster: where it is, and what is asked of it.

- Which cluster is said by `KUBECONFIG`, which names one file; where it is not set, by the account
  of the Pod this runs in, or by `~/.kube/config`.
- Objects go in and out as JSON. What goes wrong is told as `_failures` says; no message repeats
  what stands in a kubeconfig.

Source: kubernetes.io/docs/concepts/configuration/organize-cluster-access-kubeconfig.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx2
import msgspec
import yaml
from lightkube import ApiError, Client, ConfigError, KubeConfig
from lightkube.config.client_adapter import Client as Transport
from lightkube.config.client_adapter import ConnectionParams
from lightkube.config.kubeconfig import DEFAULT_KUBECONFIG, SERVICE_ACCOUNT
from lightkube.types import CascadeType, PatchType

from shoal.deploy._cluster._failures import told
from shoal.deploy._cluster._kinds import EVENT, LABEL, MANAGER, POD, Item, Kind, resource
from shoal.errors import ClusterLacksError, ClusterUnavailableError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightkube.config.kubeconfig import SingleConfig

Content = dict[str, Any]
OLDEST = (1, 31)
ANSWER_SECONDS = 30.0


class Connection:
    """A cluster that is connected to, and the namespace in which it is worked.

    Attributes:
        namespace: The namespace asked for, or that of the kubeconfig.
    """

    def __init__(self, client: Client, configuration: SingleConfig, namespace: str) -> None:
        self._client, self._configuration = client, configuration
        self._server = str(configuration.cluster.server)
        self.namespace = namespace

    def version(self) -> tuple[int, int]:
        """The minor version of Kubernetes that the cluster has, such as (1, 36)."""
        with told("ask for the version", self._server):
            parameters = ConnectionParams(timeout=httpx2.Timeout(ANSWER_SECONDS))
            with Transport(self._configuration, parameters) as transport:
                answer = transport.get("/version").raise_for_status().json()
        major, minor = (str(answer[key]).rstrip("+") for key in ("major", "minor"))
        return int(major), int(minor)

    def check_version(self) -> None:
        """Refuses a cluster that is too old.

        Raises:
            ClusterLacksError: it is older than what is supported.
        """
        found = self.version()
        if found < OLDEST:
            stated = ".".join(map(str, found))
            oldest = ".".join(map(str, OLDEST))
            raise ClusterLacksError(
                f"the cluster has Kubernetes {stated}, expected {oldest} or later",
                hint="Render with --output and apply with its own tools, or upgrade the cluster.",
            )

    def get(self, kind: Kind, name: str) -> Content | None:
        """An object; None where there is none."""
        with told(f"look at {kind} {name}", self._server, kind):
            try:
                found: Content = self._client.get(resource(kind), name, namespace=self.namespace)
            except ApiError as error:
                details = error.status.details
                if error.status.code != HTTPStatus.NOT_FOUND or details is None:
                    raise
                return None
            return dict(found)

    def find(self, kind: Kind, labels: dict[str, str] | None = None) -> list[Content]:
        """The objects of a kind with these labels; none where the kind is not known."""
        with told(f"list {kind.plural}", self._server, kind):
            try:
                chosen: Any = labels
                found = self._client.list(resource(kind), namespace=self.namespace, labels=chosen)
                stated = {"apiVersion": kind.api_version, "kind": kind.kind}
                return [{**each, **stated} for each in found]  # entries of a list do not state it
            except httpx2.HTTPStatusError as error:
                unknown = error.response.status_code == HTTPStatus.NOT_FOUND
                if not unknown or isinstance(error, ApiError):
                    raise
                return []

    def of(self, name: str, kind: Kind) -> list[Content]:
        """The objects of a kind that carry the label of a deployment."""
        return self.find(kind, {LABEL: name})

    def apply(
        self, item: Item, *, dry_run: bool = False, force: bool = False, manager: str = MANAGER
    ) -> Content:
        """Makes an object what it should be, or tells what it would become."""
        asked: Any = self._client.apply
        with told(f"apply {item}", self._server, item.kind):
            return dict(
                asked(
                    resource(item.kind)(**item.content),
                    namespace=self.namespace,
                    field_manager=manager,
                    dry_run=dry_run,
                    force=force,
                )
            )

    def scale(self, kind: Kind, name: str, replicas: int, *, manager: str) -> None:
        """Sets the replicas of an object, in the name of a manager."""
        patch: Any = self._client.patch
        with told(f"scale {kind} {name}", self._server, kind):
            patch(
                resource(kind, "scale"),
                name,
                {"spec": {"replicas": replicas}},
                namespace=self.namespace,
                patch_type=PatchType.MERGE,
                field_manager=manager,
            )

    def try_pod(self, pod: Content) -> None:
        """Asks whether a Pod would be let in; none is made.

        Raises:
            ApiError: it would not.
        """
        create: Any = self._client.create
        create(resource(POD)(**pod), namespace=self.namespace, dry_run=True)

    def delete(self, kind: Kind, name: str) -> None:
        """Takes an object away, and in time what it owns; one that is gone is no failure."""
        with told(f"delete {kind} {name}", self._server, kind):
            try:
                self._client.delete(
                    resource(kind),
                    name,
                    namespace=self.namespace,
                    cascade=CascadeType.BACKGROUND,
                )
            except ApiError as error:
                if error.status.code != HTTPStatus.NOT_FOUND:
                    raise

    def warnings(self, kind: Kind, name: str) -> list[Content]:
        """What controllers complain of an object, latest last."""
        chosen: Any = {"involvedObject.kind": kind.kind, "involvedObject.name": name}
        with told(f"list events of {kind} {name}", self._server):
            found = self._client.list(
                resource(EVENT), namespace=self.namespace, fields={**chosen, "type": "Warning"}
            )
            return sorted(map(dict, found), key=lambda each: each.get("lastTimestamp") or "")


@contextmanager
def connected(namespace: str | None) -> Iterator[Connection]:
    """A connection to the cluster of this environment.

    Args:
        namespace: Where it is worked; None for the namespace of the kubeconfig.

    Raises:
        ClusterUnavailableError: no cluster is named.
        ConfigurationError: the kubeconfig cannot be used.
    """
    configuration, path = _configuration()
    try:
        client = Client(configuration, timeout=httpx2.Timeout(ANSWER_SECONDS))
    except (ConfigError, OSError) as error:
        raise ConfigurationError(f"{path} names credentials that cannot be read: {error}") from None
    with client:
        yield Connection(client, configuration, namespace or configuration.namespace)


def _configuration() -> tuple[SingleConfig, Path]:
    """What says where the cluster is, and where that was read."""
    stated = os.environ.get("KUBECONFIG")
    if not stated and Path(SERVICE_ACCOUNT, "token").exists():
        found = KubeConfig.from_service_account()
        path = Path(SERVICE_ACCOUNT)
    else:
        path = Path(stated or DEFAULT_KUBECONFIG).expanduser()
        found = _read(path)
    try:
        chosen = found.get()
    except (ConfigError, KeyError) as error:
        raise ConfigurationError(f"{path}: {error}", hint="kubectl config use-context") from None
    if chosen is None or chosen.user is None:
        raise ConfigurationError(f"{path}: the context names no user")
    return chosen, path


def _read(path: Path) -> KubeConfig:
    """A kubeconfig. No message repeats a line of it: it holds credentials."""
    hint = "Set KUBECONFIG to the file that your provider's command writes."
    if os.pathsep in str(path):
        message = f"KUBECONFIG is {str(path)!r}, expected one file"
        raise ConfigurationError(message, hint="kubectl config view --flatten makes one of many.")
    if not path.is_file():
        raise ClusterUnavailableError(f"there is no kubeconfig at {path}", hint=hint)
    try:
        return KubeConfig.from_file(path)
    except yaml.YAMLError as error:
        line = getattr(getattr(error, "problem_mark", None), "line", 0) + 1
        raise ConfigurationError(f"{path} is not YAML at line {line}", hint=hint) from None
    except (KeyError, TypeError, AttributeError, UnicodeDecodeError, msgspec.ValidationError):
        raise ConfigurationError(f"{path} is no kubeconfig", hint=hint) from None
