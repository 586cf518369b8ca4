"""The control plane that the tests of this folder stand on does what a real one does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lightkube import ApiError
from lightkube.models.core_v1 import Container, PodSpec
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Pod

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.services.kubernetes._control_plane import ControlPlane

pytest_plugins = ["tests.services.kubernetes.fixtures"]


def test_pod_security_refuses_a_pod_that_may_be_root(cluster: ControlPlane, namespace: str) -> None:
    pod = Pod(
        metadata=ObjectMeta(name="root", namespace=namespace),
        spec=PodSpec(containers=[Container(name="root", image="registry.test/root")]),
    )
    with pytest.raises(ApiError, match="violates PodSecurity"):
        cluster.client.create(pod)


def test_kinds_of_other_projects_are_known_once_defined(
    cluster: ControlPlane, definitions: Callable[[str], None]
) -> None:
    for project in ("gateway-api", "istio"):
        definitions(project)
