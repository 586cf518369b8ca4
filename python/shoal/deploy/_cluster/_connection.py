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
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import httpx2
import msgspec
import yaml  # type: ignore[import-untyped]  # ships no types
from lightkube import ApiError, Client, ConfigError, KubeConfig
from lightkube.config.client_adapter import Client as Transport
from lightkube.config.client_adapter import ConnectionParams
from lightkube.config.kubeconfig import DEFAULT_KUBECONFIG, SERVICE_ACCOUNT
from lightkube.types import CascadeType, PatchType

from shoal.deploy._cluster._clock import SYSTEM_CLOCK, Clock
from shoal.deploy._cluster._failures import told
from shoal.deploy._cluster._kinds import EVENT, LABEL, MANAGER, POD, Item, Kind, resource
from shoal.errors import ClusterLacksError, ClusterUnavailableError, ConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightkube.config.kubeconfig import SingleConfig

Content: TypeAlias = dict[str, Any]
T = TypeVar("T")

TRIES = 5
LONGEST_WAIT_SECONDS = 10.0
OLDEST = (1, 31)
ANSWER_SECONDS = 30.0


class Connection:
    """A cluster that is connected to, and the namespace in which it is worked.

    Attributes:
        namespace: The namespace asked for, or that of the kubeconfig.
    """

    def __init__(
        self,
        client: Client,
        configuration: SingleConfig,
        namespace: str,
        clock: Clock = SYSTEM_CLOCK,
    ) -> None:
        self._client, self._configuration, self._clock = client, configuration, clock
        self._server = str(configuration.cluster.server)
        self.namespace = namespace

    def version(self) -> tuple[int, int]:
        """The minor version of Kubernetes that the cluster has, such as (1, 36)."""

        def ask() -> Content:
            parameters = ConnectionParams(timeout=httpx2.Timeout(ANSWER_SECONDS))
            with Transport(self._configuration, parameters) as transport:
                answer: Content = transport.get("/version").raise_for_status().json()
                return answer

        answer = self._asked("ask for the version", None, ask)
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
                hint="Upgrade the cluster.",
            )

    def get(self, kind: Kind, name: str) -> Content | None:
        """An object; None where there is none."""

        def ask() -> Content | None:
            try:
                return dict(self._client.get(resource(kind), name, namespace=self.namespace))
            except ApiError as error:
                details = error.status.details
                if error.status.code != HTTPStatus.NOT_FOUND or details is None:
                    raise
                return None

        return self._asked(f"look at {kind} {name}", kind, ask)

    def find(self, kind: Kind, labels: dict[str, str] | None = None) -> list[Content]:
        """The objects of a kind with these labels; none where the kind is not known."""
        return self._listed(kind, labels) or []

    def knows(self, kind: Kind) -> bool:
        """Whether the cluster has a kind."""
        return self._listed(kind, None) is not None

    def of(self, name: str, kind: Kind) -> list[Content]:
        """The objects of a kind that carry the label of a deployment."""
        return self.find(kind, {LABEL: name})

    def apply(
        self, item: Item, *, dry_run: bool = False, force: bool = False, manager: str = MANAGER
    ) -> Content:
        """Makes an object what it should be, or tells what it would become."""
        how: Any = {"field_manager": manager, "dry_run": dry_run, "force": force}
        made = resource(item.kind)(**item.content)
        return self._asked(
            f"apply {item}",
            item.kind,
            lambda: dict(self._client.apply(made, namespace=self.namespace, **how)),
        )

    def create(self, item: Item, *, manager: str = MANAGER) -> Content:
        """Makes an object that must not be there yet.

        Raises:
            ClusterConflictError: it is.
        """
        made = resource(item.kind)(**item.content)
        how: Any = {"namespace": self.namespace, "field_manager": manager}
        return self._asked(
            f"make {item}", item.kind, lambda: dict(self._client.create(made, **how))
        )

    def replace(self, item: Item, *, manager: str = MANAGER) -> Content:
        """Puts an object in the place of the version of it that it names.

        Raises:
            ClusterConflictError: there is another version by now.
        """
        made = resource(item.kind)(**item.content)
        how: Any = {"namespace": self.namespace, "field_manager": manager}
        return self._asked(
            f"change {item}", item.kind, lambda: dict(self._client.replace(made, **how))
        )

    def scale(self, kind: Kind, name: str, replicas: int, *, manager: str) -> None:
        """Sets the replicas of an object, in the name of a manager."""
        how: Any = {"patch_type": PatchType.MERGE, "field_manager": manager}
        part, patch = resource(kind, "scale"), {"spec": {"replicas": replicas}}
        self._asked(
            f"scale {kind} {name}",
            kind,
            lambda: self._client.patch(part, name, patch, namespace=self.namespace, **how),
        )

    def try_pod(self, pod: Content) -> None:
        """Asks whether a Pod would be let in; none is made.

        Raises:
            ApiError: it would not.
        """
        how: Any = {"namespace": self.namespace, "dry_run": True}
        self._client.create(resource(POD)(**pod), **how)

    def delete(self, kind: Kind, name: str) -> None:
        """Takes an object away, and in time what it owns; one that is gone is no failure."""
        how: Any = {"namespace": self.namespace, "cascade": CascadeType.BACKGROUND}

        def ask() -> None:
            try:
                self._client.delete(resource(kind), name, **how)
            except ApiError as error:
                if error.status.code != HTTPStatus.NOT_FOUND:
                    raise

        self._asked(f"delete {kind} {name}", kind, ask)

    def warnings(self, kind: Kind, name: str) -> list[Content]:
        """What controllers complain of an object, latest last."""
        chosen = {"involvedObject.kind": kind.kind, "involvedObject.name": name, "type": "Warning"}
        how: Any = {"namespace": self.namespace, "fields": chosen}
        found = self._asked(
            f"list events of {kind} {name}",
            None,
            lambda: list(map(dict, self._client.list(resource(EVENT), **how))),
        )
        return sorted(found, key=lambda each: str(each.get("lastTimestamp")))

    def _listed(self, kind: Kind, labels: dict[str, str] | None) -> list[Content] | None:
        """The objects of a kind; None where the kind is not known."""
        chosen: Any = labels
        stated = {"apiVersion": kind.api_version, "kind": kind.kind}  # entries do not state it

        def ask() -> list[Content] | None:
            try:
                found = self._client.list(resource(kind), namespace=self.namespace, labels=chosen)
                return [{**each, **stated} for each in found]
            except httpx2.HTTPStatusError as error:
                is_unknown = error.response.status_code == HTTPStatus.NOT_FOUND
                if not is_unknown or isinstance(error, ApiError):
                    raise
                return None

        return self._asked(f"list {kind.plural}", kind, ask)

    def _asked(self, words: str, kind: Kind | None, ask: Callable[[], T]) -> T:
        """Asks; a server that has too much to do is asked again when it says."""
        with told(words, self._server, kind):
            for _ in range(TRIES):
                try:
                    return ask()
                except httpx2.HTTPStatusError as error:
                    if error.response.status_code != HTTPStatus.TOO_MANY_REQUESTS:
                        raise
                    stated = error.response.headers.get("Retry-After", "1")
                    seconds = float(stated) if stated.isdecimal() else 1.0
                    self._clock.wait(min(seconds, LONGEST_WAIT_SECONDS))
            return ask()


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
