"""Who owns which fields, and what would be applied to change nothing."""

from __future__ import annotations

from typing import Any

import pytest

from shoal.deploy._cluster._fields import REPLICAS, Owner, is_ours, managers, owned, owners
from shoal.deploy._cluster._kinds import DEPLOYMENT, Item
from shoal.deploy._cluster._replicas import Autoscaler, autoscaler_of, settle


def entry(manager: str, fields: dict[str, Any], operation: str = "Apply") -> dict[str, Any]:
    return {"manager": manager, "operation": operation, "fieldsV1": fields}


def live(*entries: dict[str, Any], **spec: Any) -> dict[str, Any]:
    metadata = {"name": "iris", "namespace": "models", "managedFields": list(entries)}
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec}


OWNS_REPLICAS: dict[str, Any] = {"f:spec": {"f:replicas": {}}}
SCALER = Autoscaler("HorizontalPodAutoscaler", "iris", 1, 9)


def test_what_is_owned_is_taken_from_lists_by_key_and_from_sets_by_value() -> None:
    fields = {
        "f:metadata": {"f:labels": {"f:team": {}}},
        "f:spec": {
            "f:containers": {
                'k:{"name":"server"}': {".": {}, "f:name": {}, "f:image": {}},
            },
            "f:ports": {
                'k:{"containerPort":80,"protocol":"TCP"}': {".": {}, "f:containerPort": {}}
            },
            "f:finalizers": {'v:"a"': {}},
            "f:whole": {},
            "f:absent": {},
        },
    }
    content = live(
        entry("shoal", fields),
        containers=[
            {"name": "sidecar", "image": "s"},
            {"name": "server", "image": "i", "tty": True},
        ],
        ports=[{"containerPort": 80, "protocol": "TCP"}, {"containerPort": 80, "protocol": "UDP"}],
        finalizers=["a", "b"],
        whole={"deep": [1, 2]},
        theirs=1,
    )
    content["metadata"]["labels"] = {"team": "vision", "other": "x"}
    assert owned(content) == {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "iris", "namespace": "models", "labels": {"team": "vision"}},
        "spec": {
            "containers": [{"name": "server", "image": "i"}],
            "ports": [{"containerPort": 80}],
            "finalizers": ["a"],
            "whole": {"deep": [1, 2]},
        },
    }


def test_owners_are_those_who_hold_the_field_itself() -> None:
    content = live(
        entry("shoal", OWNS_REPLICAS),
        entry("kubectl", OWNS_REPLICAS, "Update"),
        entry("other", {"f:spec": {"f:paused": {}}}),
    )
    assert owners(content, REPLICAS) == (
        Owner("shoal", is_ours=True),
        Owner("kubectl", is_ours=False),
    )
    assert managers(content) == {"shoal", "kubectl", "other"}
    assert is_ours(content)
    assert not is_ours(live(entry("shoal", OWNS_REPLICAS, "Update")))


@pytest.mark.parametrize(
    ("owning", "wanted", "autoscaler", "force", "settled"),
    [
        pytest.param(["shoal"], 5, None, False, 5, id="ours is set"),
        pytest.param(["kubectl"], 5, None, False, None, id="a person's is kept"),
        pytest.param(["kubectl"], 3, None, False, 3, id="a person's that is wanted is shared"),
        pytest.param(["kubectl"], 5, None, True, 5, id="a person's is taken with force"),
        pytest.param(["shoal"], 5, SCALER, True, 3, id="ours is held until an autoscaler sets it"),
        pytest.param(["shoal"], None, SCALER, False, 3, id="ours is held though it is not stated"),
        pytest.param(["shoal", "hpa"], 5, SCALER, False, None, id="an autoscaler's is kept"),
        pytest.param(["hpa"], 5, SCALER, True, None, id="an autoscaler's is not taken with force"),
        pytest.param(["shoal"], None, None, False, 3, id="ours is held where nobody else would"),
        pytest.param(["kubectl"], None, None, False, None, id="what is not stated is not set"),
    ],
)
def test_replicas_are_left_to_whom_they_belong(
    owning: list[str],
    wanted: int | None,
    autoscaler: Autoscaler | None,
    force: bool,  # noqa: FBT001 - one of the cases
    settled: int | None,
) -> None:
    content = live(
        *(entry(each, OWNS_REPLICAS, "Apply" if each == "shoal" else "Update") for each in owning),
        replicas=3,
    )
    spec = {} if wanted is None else {"replicas": wanted}
    item = Item(DEPLOYMENT, "iris", {"metadata": {"name": "iris"}, "spec": spec})
    found = settle(item, content, autoscaler, force=force)
    assert found.item.content["spec"].get("replicas") == settled
    is_told = wanted is not None and wanted not in {settled, 3}
    assert (found.note is not None) == is_told
    assert found.taken is None


@pytest.mark.parametrize("manager", ["kube-controller-manager", "keda"])
def test_replicas_that_an_autoscaler_left_behind_are_taken_once_it_is_gone(manager: str) -> None:
    content = live(entry(manager, OWNS_REPLICAS, "Update"), replicas=7)
    item = Item(DEPLOYMENT, "iris", {"metadata": {"name": "iris"}, "spec": {"replicas": 3}})
    found = settle(item, content, None, force=False)
    assert (found.note, found.taken) == (None, 3)
    assert "replicas" not in found.item.content["spec"]


def test_an_autoscaler_is_found_by_its_target() -> None:
    other = {"kind": "HorizontalPodAutoscaler", "metadata": {"name": "other"}}
    aims = {"scaleTargetRef": {"kind": "StatefulSet", "name": "iris"}, "maxReplicas": 2}
    assert autoscaler_of("iris", [{**other, "spec": aims}]) is None
    aims = {"scaleTargetRef": {"name": "iris"}}
    scaled = {"kind": "ScaledObject", "metadata": {"name": "by-keda"}, "spec": aims}
    assert autoscaler_of("iris", [scaled]) == Autoscaler("ScaledObject", "by-keda", 0, 100)
