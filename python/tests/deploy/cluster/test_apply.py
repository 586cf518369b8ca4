"""Objects are applied as they are wanted, and no others; why one is refused is told."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lightkube.generic_resource import create_namespaced_resource
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.models.rbac_v1 import PolicyRule, RoleRef, Subject
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Service
from lightkube.resources.rbac_authorization_v1 import Role, RoleBinding
from lightkube.types import PatchType

from shoal import deploy
from shoal.deploy._canary._store import ConfigMapStore
from shoal.deploy._cluster._connection import connected
from shoal.deploy._cluster._kinds import DEPLOYMENT
from shoal.errors import (
    ClusterAccessError,
    ClusterConflictError,
    ClusterLacksError,
    ConfigurationError,
    DeployError,
)
from tests.deploy.cluster.samples import (
    NAME,
    account,
    job,
    limit,
    metadata,
    objects,
    options_map,
    service,
    workload,
)

if TYPE_CHECKING:
    from tests.services.kubernetes._control_plane import ControlPlane

pytest_plugins = ["tests.services.kubernetes.fixtures"]


def apply(wanted: list[Any], namespace: str, **how: Any) -> deploy.Applied:
    return deploy.apply(wanted, name=NAME, namespace=namespace, **how)


def actions(applied: deploy.Applied) -> dict[str, str]:
    return {f"{each.kind} {each.name}": each.action for each in applied.changes}


def test_what_is_applied_is_there_and_applied_again_changes_nothing(
    cluster: ControlPlane, namespace: str
) -> None:
    first = apply(objects(), namespace)
    assert set(actions(first).values()) == {"created"}
    assert [each.kind for each in first.changes][-1] == "Deployment"
    again = apply(objects(), namespace)
    assert set(actions(again).values()) == {"unchanged"}
    assert not any(each.difference for each in again.changes)
    found = cluster.client.get(Deployment, NAME, namespace=namespace)
    assert found.spec is not None
    assert found.spec.replicas == 1


def test_each_object_is_told_once_it_is_done(namespace: str) -> None:
    told: list[deploy.Change] = []
    applied = apply(objects(), namespace, progress=told.append)
    assert tuple(told) == applied.changes


def test_a_dry_run_says_what_would_change_and_changes_nothing(
    cluster: ControlPlane, namespace: str
) -> None:
    assert set(actions(apply(objects(), namespace, dry_run=True)).values()) == {"created"}
    assert not list(cluster.client.list(Deployment, namespace=namespace))
    apply(objects(), namespace)
    planned = apply(objects("v2"), namespace, dry_run=True)
    (changed,) = [each for each in planned.changes if each.action == "changed"]
    lines = [line for line in changed.difference.splitlines() if line[0] in "+-"]
    assert [line.split() for line in lines] == [
        ["-", "image:", "registry.test/iris:v1"],
        ["+", "image:", "registry.test/iris:v2"],
    ]
    found = cluster.client.get(Deployment, NAME, namespace=namespace)
    assert "iris:v1" in str(found)


def test_a_field_that_another_program_owns_is_named_and_not_taken(
    cluster: ControlPlane, namespace: str
) -> None:
    apply(objects(), namespace)
    patch = {"spec": {"progressDeadlineSeconds": 77}}
    cluster.client.patch(
        Deployment,
        NAME,
        patch,
        namespace=namespace,
        patch_type=PatchType.MERGE,
        field_manager="ops",
    )
    with pytest.raises(ClusterConflictError, match=r"progressDeadlineSeconds.*ops") as caught:
        apply(objects(), namespace)
    assert "--force" in str(caught.value.hint)
    assert actions(apply(objects(), namespace, force=True))["Deployment iris"] == "changed"
    assert set(actions(apply(objects(), namespace)).values()) == {"unchanged"}


def test_an_object_of_the_same_name_that_is_not_ours_is_never_touched(
    cluster: ControlPlane, namespace: str
) -> None:
    theirs = ConfigMap(metadata=ObjectMeta(name=f"{NAME}-config-1"), data={"theirs": "yes"})
    cluster.client.create(theirs, namespace=namespace)
    with pytest.raises(ClusterConflictError, match="ConfigMap iris-config-1 is in namespace"):
        apply(objects(), namespace, force=True)
    found = cluster.client.get(ConfigMap, f"{NAME}-config-1", namespace=namespace)
    assert found.data == {"theirs": "yes"}
    assert not list(cluster.client.list(Deployment, namespace=namespace))


def test_what_is_no_longer_wanted_is_deleted_and_nothing_else(
    cluster: ControlPlane, namespace: str
) -> None:
    apply([*objects(), service("-headless")], namespace)
    copied = Service(metadata=metadata("-theirs"), spec=service().spec)
    cluster.client.create(copied, namespace=namespace, field_manager="ops")
    applied = apply(objects(), namespace)
    deleted = [each.name for each in applied.changes if each.action == "deleted"]
    assert deleted == ["iris-headless"]
    left = {str(each.metadata and each.metadata.name) for each in _services(cluster, namespace)}
    assert left == {"iris", "iris-theirs"}


def test_a_kind_that_is_no_longer_wanted_at_all_is_found_and_deleted(namespace: str) -> None:
    apply(objects(), namespace)
    applied = apply([workload(), options_map(), account()], namespace)
    assert actions(applied)["Service iris"] == "deleted"


def test_what_a_killed_run_has_made_is_found_by_the_next_one(
    cluster: ControlPlane, namespace: str
) -> None:
    def kill(change: deploy.Change) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apply(objects(), namespace, progress=kill)
    assert not list(cluster.client.list(Deployment, namespace=namespace))
    assert actions(apply([service()], namespace)) == {
        "Service iris": "created",
        "ServiceAccount iris": "deleted",
    }


def test_options_of_a_version_that_can_be_gone_back_to_are_kept(
    cluster: ControlPlane, namespace: str
) -> None:
    apply(objects(), namespace)
    deploy.wait_for_rollout(NAME, namespace=namespace)
    applied = apply(objects(options="config-2"), namespace)
    assert "deleted" not in actions(applied).values()
    cluster.client.get(ConfigMap, f"{NAME}-config-1", namespace=namespace)


def test_replicas_that_a_person_has_set_are_kept_unless_forced(
    cluster: ControlPlane, namespace: str
) -> None:
    apply(objects(), namespace)
    assert deploy.scale(NAME, 3, namespace=namespace).before == 1
    kept = apply(objects("v2", replicas=2), namespace)
    (note,) = kept.kept
    assert note == "Deployment iris keeps 3 replicas, not 2: `shoal deploy scale` has set it"
    assert _replicas(cluster, namespace) == 3
    assert apply(objects("v2", replicas=2), namespace, force=True).kept == ()
    assert _replicas(cluster, namespace) == 2


def test_nothing_is_applied_and_taken_back_beside_a_canary_that_is_under_way(
    cluster: ControlPlane, namespace: str
) -> None:
    apply(objects(), namespace)
    with connected(namespace) as connection:
        store = ConfigMapStore(connection, NAME)
        found = connection.get(DEPLOYMENT, NAME)
        assert found is not None
        store.belongs_to(found["metadata"]["uid"])
        version = store.create("{}")
        for attempt in (
            lambda: apply(objects("v2"), namespace),
            lambda: apply(objects("v2"), namespace, force=True),
            lambda: deploy.rollback(NAME, namespace=namespace),
        ):
            with pytest.raises(ClusterConflictError, match="a canary of iris is under") as caught:
                attempt()
            assert "--abort" in str(caught.value.hint)
        store.replace("{ }", version)
        with pytest.raises(ClusterConflictError):
            store.replace("{}", version)
        store.delete()
        assert store.read() is None
    assert actions(apply(objects("v2"), namespace))["Deployment iris"] == "changed"


def test_a_training_and_a_deployment_do_not_share_a_name(
    cluster: ControlPlane, namespace: str
) -> None:
    apply(objects(), namespace)
    training = [job(), options_map("training-1"), account()]
    with pytest.raises(ClusterConflictError, match="iris is a deployment already") as caught:
        deploy.run_job(training, name=NAME, namespace=namespace)
    assert "--name" in str(caught.value.hint)
    cluster.client.get(Deployment, NAME, namespace=namespace)
    deploy.delete(NAME, namespace=namespace)
    apply(training, namespace)
    with pytest.raises(ClusterConflictError, match="iris is a training already"):
        apply(objects(), namespace)


def test_a_kind_that_the_cluster_does_not_know_is_named_with_the_remedy(namespace: str) -> None:
    later = create_namespaced_resource("keda.sh", "v9", "ScaledObject", "scaledobjects")
    made = later(metadata=metadata(), spec={"scaleTargetRef": {"name": NAME}})
    with pytest.raises(ClusterLacksError, match=r"ScaledObject of keda.sh/v9") as caught:
        apply([*objects(), made], namespace)
    assert "Install KEDA" in str(caught.value.hint)


def test_a_namespace_that_is_missing_is_named(cluster: ControlPlane, namespace: str) -> None:
    with pytest.raises(ClusterLacksError, match="absent") as caught:
        apply(objects(), "absent")
    assert caught.value.hint == "kubectl create namespace absent"


def test_an_object_that_is_not_valid_is_refused_before_anything_changes(
    cluster: ControlPlane, namespace: str
) -> None:
    with pytest.raises(DeployError, match=r"spec.replicas: Invalid value: -1"):
        apply(objects(replicas=-1), namespace)
    assert not list(cluster.client.list(Service, namespace=namespace))


def test_a_quota_that_is_used_up_is_told(cluster: ControlPlane, namespace: str) -> None:
    limit(cluster, namespace, services="0")
    with pytest.raises(ClusterLacksError, match=r"exceeded quota: few") as caught:
        apply(objects(), namespace)
    assert "larger quota" in str(caught.value.hint)


def test_what_roles_do_not_grant_is_told_with_the_user(
    cluster: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_of("dana")))
    with pytest.raises(ClusterAccessError, match=r'User "dana" cannot get resource') as caught:
        apply(objects(), namespace)
    assert "RoleBinding" in str(caught.value.hint)


def test_who_may_not_make_pods_may_deploy_all_the_same(
    cluster: ControlPlane, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    resources = ["deployments", "services", "configmaps", "serviceaccounts"]
    read = ["replicasets", "horizontalpodautoscalers"]
    rules = [
        PolicyRule(apiGroups=["", "apps"], resources=resources, verbs=["get", "list", "patch"]),
        PolicyRule(apiGroups=["apps", "autoscaling"], resources=read, verbs=["list"]),
        PolicyRule(apiGroups=["", "apps"], resources=resources, verbs=["create"]),
    ]
    where: Any = {"namespace": namespace}
    cluster.client.create(Role(metadata=ObjectMeta(name="deployer"), rules=rules), **where)
    binding = RoleBinding(
        metadata=ObjectMeta(name="deployer"),
        roleRef=RoleRef(apiGroup="rbac.authorization.k8s.io", kind="Role", name="deployer"),
        subjects=[Subject(kind="User", name="kim", apiGroup="rbac.authorization.k8s.io")],
    )
    cluster.client.create(binding, **where)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig_of("kim")))
    assert set(actions(apply(objects(), namespace)).values()) == {"created"}


def test_pods_that_pod_security_refuses_are_told_before_anything_changes(
    cluster: ControlPlane, namespace: str
) -> None:
    loose = workload()
    assert loose.spec is not None
    assert loose.spec.template.spec is not None
    loose.spec.template.spec.securityContext = None
    with pytest.raises(ClusterAccessError, match="violates PodSecurity") as caught:
        apply([loose, service(), options_map(), account()], namespace)
    assert "patch" in str(caught.value.hint)
    assert not list(cluster.client.list(Deployment, namespace=namespace))


def test_objects_of_no_or_another_deployment_are_refused(namespace: str) -> None:
    bare = ConfigMap(metadata=ObjectMeta(name="bare"))
    with pytest.raises(ConfigurationError, match="bare does not carry the label"):
        apply([bare], namespace)
    with pytest.raises(ConfigurationError, match="more than one object"):
        apply([account(), account()], namespace)
    elsewhere = ConfigMap(metadata=metadata())
    assert elsewhere.metadata is not None
    elsewhere.metadata.namespace = "elsewhere"
    with pytest.raises(ConfigurationError, match="is for namespace elsewhere"):
        apply([elsewhere], namespace)


def _services(cluster: ControlPlane, namespace: str) -> list[Service]:
    return list(cluster.client.list(Service, namespace=namespace))


def _replicas(cluster: ControlPlane, namespace: str) -> int:
    found = cluster.client.get(Deployment, NAME, namespace=namespace)
    assert found.spec is not None
    return int(found.spec.replicas or 0)
