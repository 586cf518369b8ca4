"""A control plane of the session: `pytest_plugins = ["tests.services.kubernetes.fixtures"]`.

- `cluster` is the control plane; its programs are compiled by `just prove`, or with
  `python -m tests.services.kubernetes build`. Where they are not in the cache, a test that needs
  them is skipped and says so, also where `CI` is set.
- `namespace` is a namespace of the test alone, in which Pod Security `restricted` is enforced;
  `KUBECONFIG` names the cluster.
- `definitions("keda")` installs the kinds of a project that extends Kubernetes.
"""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.services.kubernetes._control_plane import ControlPlane

BUILD = "SHOAL_BUILD_KUBERNETES"  # set by `just prove`
MISSING = (
    "the programs of a control plane are not compiled: "
    "`just prove kubernetes`, or PYTHONPATH=python python -m tests.services.kubernetes build"
)


@pytest.fixture(scope="session")
def cluster(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """A control plane with three nodes; the test decides what becomes of Pods."""
    from tests.services.kubernetes import _binaries
    from tests.services.kubernetes._control_plane import running

    go = program("go")
    programs = _binaries.build(go) if os.environ.get(BUILD) else _binaries.built(go)
    if programs is None:
        pytest.skip(MISSING)
    with running(programs, tmp_path_factory.mktemp("kubernetes")) as plane:
        yield plane


@pytest.fixture
def namespace(cluster: ControlPlane, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A namespace of the test's own."""
    from lightkube.resources.core_v1 import Namespace

    name = f"shoal-{uuid.uuid4().hex[:8]}"
    cluster.namespace(name)
    monkeypatch.setenv("KUBECONFIG", str(cluster.kubeconfig))
    yield name
    cluster.client.delete(Namespace, name)


@pytest.fixture(scope="session")
def definitions(cluster: ControlPlane, program: Callable[[str], str]) -> Callable[[str], None]:
    """Installs what a project defines, once: gateway-api, keda, kserve or prometheus-operator."""
    from tests.services.definitions import install, read

    installed = set[str]()

    def define(project: str) -> None:
        if project not in installed:
            install(cluster.client, read(program("go"), project))
            installed.add(project)

    return define
