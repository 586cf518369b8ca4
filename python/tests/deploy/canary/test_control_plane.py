"""A canary on a real control plane: promoted, rolled back, killed at every point and gone on with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.core_v1 import ConfigMap, Service

from shoal.deploy._canary._analysis import Analysis, Prometheus
from shoal.deploy._canary._canary import CanaryRequest, run_canary
from shoal.errors import RolloutError
from tests.deploy.canary import played
from tests.deploy.canary.played import CANARY, NAME, NEW, OLD
from tests.services import until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from shoal.deploy._canary._events import Event
    from tests.services.kubernetes._control_plane import ControlPlane

pytest_plugins = ["tests.services.kubernetes.fixtures"]


def quick(url: str, **more: Any) -> Analysis:
    usual: dict[str, Any] = {
        "interval_seconds": 0.1,
        "step_seconds": 0.3,
        "patience_seconds": 1.0,
        "lease_seconds": 0.6,
        "prometheus": Prometheus(url=url),
    }
    return Analysis(**(usual | more))


class Cluster:
    """A deployment on the control plane."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.client, self.namespace = plane, plane.client, namespace
        self.events: list[Event] = []

    def deploy(self, **more: Any) -> None:
        played.deployed(played.settings(self.namespace, **more))
        until(self.is_up, "the deployment is up")

    def is_up(self) -> bool:
        found = self.client.get(Deployment, NAME, namespace=self.namespace)
        status, spec = found.status, found.spec
        assert status is not None
        assert spec is not None
        return status.availableReplicas == spec.replicas

    def digest(self) -> str:
        found = self.client.get(Deployment, NAME, namespace=self.namespace)
        assert found.spec is not None
        assert found.spec.template.metadata is not None
        annotations = found.spec.template.metadata.annotations or {}
        return annotations["shoal.io/package-digest"]

    def weights(self) -> dict[str, int]:
        route = dict(self.client.get(played.ROUTE, NAME, namespace=self.namespace))
        return {
            backend["name"]: backend["weight"]
            for rule in route["spec"]["rules"]
            for backend in rule["backendRefs"]
        }

    def leftovers(self) -> list[str]:
        """What is left of a canary."""
        return [
            each.metadata.name
            for kind in (Deployment, Service, ConfigMap)
            for each in self.client.list(kind, namespace=self.namespace)
            if each.metadata is not None and "canary" in str(each.metadata.name)
        ]

    def run(self, request: CanaryRequest | None = None) -> Event:
        return run_canary(NAME, request, namespace=self.namespace, tell=self.events.append)

    def given(self) -> list[int]:
        """The shares of the new version that were read back."""
        return [
            event.weights.percent.get(CANARY, 0)
            for event in self.events
            if event.weights is not None
        ]


@pytest.fixture
def served(
    cluster: ControlPlane, namespace: str, definitions: Callable[[str], None]
) -> Iterator[Cluster]:
    """A deployment that requests reach by a Gateway."""
    definitions("gateway-api")
    definitions("prometheus-operator")
    with played.gateway(cluster.client, namespace):
        found = Cluster(cluster, namespace)
        found.deploy()
        yield found


def test_a_good_package_is_promoted(served: Cluster) -> None:
    with played.telling(played.alike) as url:
        request = CanaryRequest(to=NEW, steps=(20, 100), analysis=quick(url))
        event = served.run(request)
        assert event.event == "promoted"
        assert served.given() == [20, 100, 0]
        assert served.digest() == NEW.rpartition("@")[2]
        assert served.weights() == {NAME: 100}
        assert served.leftovers() == []
        assert served.is_up()
        assert served.run(request).detail == "it serves already"


def test_a_bad_package_is_rolled_back(served: Cluster) -> None:
    with played.telling(played.worse) as url:
        with pytest.raises(RolloutError, match="worse at 20 %: error_rate is 0.1") as error:
            served.run(CanaryRequest(to=NEW, steps=(20, 100), analysis=quick(url)))
        assert error.value.hint == f"{OLD} serves."
    assert served.given() == [20, 0]
    assert served.digest() == OLD.rpartition("@")[2]
    assert served.weights() == {NAME: 100}
    assert served.leftovers() == []
