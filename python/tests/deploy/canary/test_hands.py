"""What a canary asks for, and what it makes of the objects of a deployment."""

from __future__ import annotations

from typing import Any

import pytest

from shoal import deploy
from shoal.deploy._canary._hands import SCALERS, _keep_replicas
from shoal.errors import ConfigurationError
from tests.deploy.canary import played


@pytest.mark.parametrize(("replicas", "least"), [(1, 2), (3, 3), (9, 4)])
@pytest.mark.parametrize("target", ["plain", "keda"])
def test_an_autoscaler_keeps_what_served_as_far_as_it_may(
    target: str, replicas: int, least: int
) -> None:
    more: dict[str, Any] = {}
    if target == "keda":
        more["monitoring"] = deploy.Monitoring(prometheus_address="http://prometheus:9090")
    scaling = deploy.Autoscaling(max_replicas=4)
    objects = deploy.render(played.settings("models", target=target, autoscaling=scaling, **more))
    _keep_replicas(objects, replicas)
    (spec,) = (each.spec for each in objects if each.kind in SCALERS)
    found = spec["minReplicaCount"] if target == "keda" else spec.minReplicas
    assert found == least


def test_answers_are_compared_only_where_somebody_says_what_the_package_takes() -> None:
    analysis = deploy.Analysis(disagreement=deploy.Disagreement(at_most=0.1))
    with pytest.raises(ConfigurationError, match="nobody says what the new package takes"):
        deploy.CanaryRequest(to=played.NEW, analysis=analysis)
