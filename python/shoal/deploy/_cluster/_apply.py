"""Objects into the cluster, by server-side apply: compared first, changed then, tidied last.

- Nothing is changed before the API server has agreed to all of it: each object is tried without
  being kept, and so is a Pod of each template, which Pod Security and policies judge only when a
  controller makes one.
- What another manager owns is a conflict, with the manager and the field; nothing is taken without
  `force`. An object of the same name that is not of this deployment is never touched, nor are
  replicas that an autoscaler decides on.
- A training and what serves never share a name: each would take away what the other has. While a
  canary is under way, only the canary applies anything.
- What is no longer wanted is deleted last; a ConfigMap or Secret that an earlier revision still
  names stays for as long as that revision can be gone back to. A Job ends by itself.
- What only watches, of a project that the cluster does not have, is left out, and that is said;
  any other kind that it does not know is an error.
- Killed anywhere, the same call again ends in the same state.

Source: kubernetes.io/docs/reference/using-api/server-side-apply.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

import msgspec
from lightkube import ApiError

from shoal.deploy._cluster._connection import Connection, connected
from shoal.deploy._cluster._difference import difference
from shoal.deploy._cluster._failures import NO_RIGHT, QUOTA, answered, owned_fields
from shoal.deploy._cluster._fields import is_ours, owned
from shoal.deploy._cluster._inventory import (
    belonging,
    check_no_canary,
    record,
    record_name,
    recorded,
)
from shoal.deploy._cluster._kinds import DEPLOYMENT, JOB, LABEL, REPLICA_SET, Item, read
from shoal.deploy._cluster._replicas import Settled, find_autoscaler, settle
from shoal.errors import ClusterConflictError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lightkube.core.resource import Resource

Action: TypeAlias = Literal["created", "changed", "unchanged", "deleted"]
WATCHING = "monitoring.coreos.com"
AWAY = "Choose another name with --name, or delete the training: shoal deploy delete NAME."
SERVING = frozenset({"Deployment", "InferenceService"})
NOT_THERE_YET = "error looking up service account"


class Change(msgspec.Struct, frozen=True):
    """What becomes of one object.

    Attributes:
        kind: Its kind.
        name: Its name.
        action: What becomes of it.
        difference: Lines that go and come, secrets masked; empty where nothing changes.
    """

    kind: str
    name: str
    action: Action
    difference: str = ""


class Applied(msgspec.Struct, frozen=True):
    """What `apply` has done, or would do.

    Attributes:
        name: The deployment.
        namespace: Where it is.
        dry_run: Whether nothing was changed.
        changes: What became of each object, in the order it was done.
        kept: What was left as it is though something else was wanted, and why.
        left_out: What watches and was not made, as the cluster has nothing that would read it.
    """

    name: str
    namespace: str
    dry_run: bool
    changes: tuple[Change, ...]
    kept: tuple[str, ...]
    left_out: tuple[str, ...]


Progress: TypeAlias = Callable[[Change], None]


class How(NamedTuple):
    """How objects are applied.

    Attributes:
        dry_run: Whether nothing is changed.
        force: Whether fields that another manager owns are taken over.
        progress: What is told of each object once it is done.
    """

    dry_run: bool = False
    force: bool = False
    progress: Progress = lambda _: None


DEFAULT = How()


def apply(  # noqa: PLR0913 - said once for each deployment
    objects: Iterable[Resource],
    *,
    name: str,
    namespace: str | None = None,
    dry_run: bool = False,
    force: bool = False,
    progress: Progress | None = None,
) -> Applied:
    """Makes the objects of a deployment what they should be, and deletes what is no longer wanted.

    Args:
        objects: All objects of it, typed, each with the label `shoal.io/deployment: NAME`.
        name: The deployment.
        namespace: Where it is; None for the namespace of the kubeconfig.
        dry_run: Whether to tell only what would change.
        force: Whether fields that another manager owns are taken over.
        progress: What is told of each object once it is done.

    Returns:
        What became of each object.

    Raises:
        ConfigurationError: an object does not carry the label; the kubeconfig cannot be used.
        ClusterUnavailableError: the cluster cannot be reached.
        ClusterAccessError: this user may not do that, or the cluster's policy refuses it.
        ClusterConflictError: another manager owns a field, an object has the name, or a canary is
            under way.
        ClusterLacksError: the namespace, a kind, a version or the quota is not there.
        DeployError: an object is not valid.
    """
    with connected(namespace) as connection:
        connection.check_version()
        check_no_canary(connection, name)
        how = How(dry_run=dry_run, force=force, progress=progress or (lambda _: None))
        return apply_all(connection, objects, name, how)


def apply_all(
    connection: Connection, objects: Iterable[Resource], name: str, how: How = DEFAULT
) -> Applied:
    """The same for a cluster that is connected to, whether or not a canary is under way."""
    items = read(objects, name, connection.namespace)
    unread = {each.kind for each in items if each.kind.group == WATCHING}
    unread = {each for each in unread if not connection.knows(each)}
    wanted = tuple(each for each in items if each.kind not in unread)
    work = _Work(connection, name, wanted, force=how.force)
    plan = work.plan()
    if how.dry_run:
        changes = tuple(change for _, change in plan)
    else:
        changes = tuple(work.carry_out(plan, how.progress))
    return Applied(
        name=name,
        namespace=connection.namespace,
        dry_run=how.dry_run,
        changes=changes,
        kept=tuple(work.kept),
        left_out=tuple(str(each) for each in items if each.kind in unread),
    )


class _Work:
    """One application of the objects of one deployment."""

    def __init__(
        self, connection: Connection, name: str, items: tuple[Item, ...], *, force: bool
    ) -> None:
        self._connection, self._name = connection, name
        self._items, self._force = items, force
        self._kinds = recorded(connection, name) or set()
        self._going: list[Item] = []
        self._taken: dict[str, int] = {}
        self.kept: list[str] = []

    def plan(self) -> list[tuple[Item, Change]]:
        """What will change, agreed to by the API server."""
        self._check_purpose()
        self._going = self._unwanted()
        plan = [(each, self._compare(each)) for each in self._items]
        return plan + [(each, _deletion(each)) for each in self._going]

    def carry_out(self, plan: list[tuple[Item, Change]], progress: Progress) -> Iterator[Change]:
        """Changes what is planned."""
        wanted = {each.kind for each in self._items}
        self._record(self._kinds | wanted)
        for item, change in plan:
            if change.action == "deleted":
                self._connection.delete(item.kind, item.name)
            else:
                self._apply(item, self._connection.get(item.kind, item.name))
            progress(change)
            yield change
        for name, replicas in self._taken.items():
            self._set_replicas(name, replicas)
        left = {item.kind for item, _ in belonging(self._connection, self._name, self._kinds)}
        self._record(left | wanted)

    def _compare(self, item: Item) -> Change:
        """What would become of one object."""
        live = self._connection.get(item.kind, item.name)
        self._check_ours(item, live)
        after, settled = self._apply(item, live, dry_run=True)
        if settled.note is not None:
            self.kept.append(settled.note)
        if settled.taken is not None:
            self._taken[item.name] = settled.taken
            after["spec"]["replicas"] = settled.taken
        if item.kind.kind in {DEPLOYMENT.kind, JOB.kind}:
            self._try_pod(item, live, after)
        if live is None:
            return Change(item.kind.kind, item.name, "created", difference(None, item.content))
        text = difference(live, after)
        return Change(item.kind.kind, item.name, "changed" if text else "unchanged", text)

    def _check_purpose(self) -> None:
        """Refuses a training with the name of what serves, and the other way round."""
        trains = any(each.kind.kind == JOB.kind for each in self._items)
        others = SERVING if trains else {JOB.kind}
        kinds = {each for each in self._kinds if each.kind in others}
        for item, _ in belonging(self._connection, self._name, kinds):
            what = "a deployment" if trains else "a training"
            raise ClusterConflictError(
                f"{self._name} is {what} already: there is {item} in namespace "
                f"{self._connection.namespace}",
                hint="Choose another name with --name." if trains else AWAY,
            )

    def _check_ours(self, item: Item, live: dict[str, Any] | None) -> None:
        if live is None or (live["metadata"].get("labels") or {}).get(LABEL) == self._name:
            return
        where = f"namespace {self._connection.namespace}"
        raise ClusterConflictError(
            f"{item} is in {where} already, and not of deployment {self._name}",
            hint=f"Choose another name, or hand it over: "
            f"kubectl label {item.kind.plural} {item.name} {LABEL}={self._name}",
        )

    def _apply(
        self, item: Item, live: dict[str, Any] | None, *, dry_run: bool = False
    ) -> tuple[dict[str, Any], Settled]:
        """Applies one object; replicas that change meanwhile are looked at once more."""
        settled = self._settle(item, live)
        how: Any = {"dry_run": dry_run, "force": self._force}
        try:
            return self._connection.apply(settled.item, **how), settled
        except ClusterConflictError as error:
            if owned_fields(error.__cause__) != (".spec.replicas",):
                raise
        settled = self._settle(item, self._connection.get(item.kind, item.name))
        return self._connection.apply(settled.item, **how), settled

    def _settle(self, item: Item, live: dict[str, Any] | None) -> Settled:
        autoscaler = None
        if item.kind.kind == DEPLOYMENT.kind and live is not None:
            autoscaler = find_autoscaler(self._connection, item.name, self._items, self._going)
        return settle(item, live, autoscaler, force=self._force)

    def _set_replicas(self, name: str, replicas: int) -> None:
        """Takes the number that an autoscaler has left behind; all else is ours already."""
        live = self._connection.get(DEPLOYMENT, name)
        if live is not None:
            content = owned(live)
            content["spec"] = {**content.get("spec", {}), "replicas": replicas}
            self._connection.apply(Item(DEPLOYMENT, name, content), force=True)

    def _try_pod(self, item: Item, live: dict[str, Any] | None, after: dict[str, Any]) -> None:
        """Asks whether Pods of a new template would be let in."""
        template = after["spec"]["template"]
        if live is not None and live["spec"]["template"] == template:
            return
        # The account may be one that is made with it, and is not there yet.
        spec = {
            key: value for key, value in template["spec"].items() if "serviceAccount" not in key
        }
        metadata = {**(template.get("metadata") or {}), "generateName": f"{item.name}-"}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        try:
            self._connection.try_pod(pod)
        except ApiError as error:
            reason = error.status.message or ""
            # Pods are made by controllers: this user may have no right to, and the quota may be
            # free by the time. The rollout tells.
            if not any(each in reason for each in (NO_RIGHT, QUOTA, NOT_THERE_YET)):
                raise answered(error.status, f"apply {item}: its Pods") from error

    def _unwanted(self) -> list[Item]:
        """What the deployment has in the cluster and should no longer have."""
        wanted = {each.identity for each in self._items}
        kinds = self._kinds | {each.kind for each in self._items}
        found = [
            item
            for item, content in belonging(self._connection, self._name, kinds)
            if item.identity not in wanted and is_ours(content)
        ]
        named = self._named_by_revisions() if found else set()
        return [
            each
            for each in found
            if each.name != record_name(self._name)
            and each.kind.kind != JOB.kind
            and each.identity not in named
        ]

    def _named_by_revisions(self) -> set[tuple[str, str, str]]:
        """ConfigMaps and Secrets that a Job names, or a revision that can be gone back to."""
        return {
            ("", kind, name)
            for each in (REPLICA_SET, JOB)
            for content in self._connection.of(self._name, each)
            for kind, name in _references(content["spec"]["template"]["spec"])
        }

    def _record(self, kinds: Iterable[Any]) -> None:
        self._connection.apply(record(self._name, self._connection.namespace, kinds), force=True)


def _deletion(item: Item) -> Change:
    return Change(item.kind.kind, item.name, "deleted", difference(item.content, None))


def _references(value: Any) -> Iterator[tuple[str, str]]:
    """The ConfigMaps and Secrets that are named anywhere below a Pod's description."""
    if isinstance(value, list):
        for each in value:
            yield from _references(each)
    if isinstance(value, dict):
        for key, each in value.items():
            if key.startswith("configMap") and isinstance(each, dict) and "name" in each:
                yield "ConfigMap", each["name"]
            if key.startswith("secret") and isinstance(each, dict):
                yield "Secret", str(each.get("name", each.get("secretName")))
            yield from _references(each)
