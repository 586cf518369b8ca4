"""`shoal deploy` in a cluster: what is rendered is let in, comes up, and is told."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from lightkube.resources.apps_v1 import Deployment
from rich.console import Console

from shoal import deploy
from shoal.cli._cluster import _picture, _rollout_line
from shoal.deploy._cluster._connection import connected
from shoal.deploy._cluster._inventory import record
from shoal.deploy._cluster._kinds import Kind
from shoal.errors import DeployError
from tests.deploy.objects.made import DIGEST, IMAGE, OTHER, PACKAGE, TARGETS, asked
from tests.services.kubernetes._kubelet import NO_IMAGE, READY, SUCCEEDED, Fate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from lightkube.resources.core_v1 import Pod

    from tests.services.kubernetes._control_plane import ControlPlane

pytest_plugins = ["tests.services.kubernetes.fixtures"]

PROJECTS = {
    "plain": "gateway-api",
    "plain, scaled": None,
    "keda": "keda",
    "kserve, scaled": "kserve",
    "istio": "istio",
}


def shoal(*words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "shoal.cli", "deploy", *words]
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=100)


def deployed(namespace: str, *words: str, package: str = PACKAGE) -> Any:
    return shoal(package, "--image", IMAGE, "--namespace", namespace, *words)


@pytest.mark.parametrize("target", sorted(PROJECTS))
def test_all_that_is_rendered_is_let_in_where_pod_security_is_restricted(
    namespace: str, definitions: Callable[[str], None], target: str, prove_scale: int
) -> None:
    if target.startswith("kserve") and prove_scale == 1:
        pytest.skip("the definitions of KServe take ten seconds; `just prove kubernetes` has them")
    for project in {PROJECTS[target], "gateway-api"} - {None}:
        definitions(str(project))
    wanted = deploy.render(asked(**{**TARGETS[target], "namespace": namespace}))
    applied = deploy.apply(wanted, name="digits", namespace=namespace)
    assert {each.action for each in applied.changes} == {"created"}
    watching = {"PodMonitor", "ServiceMonitor", "PrometheusRule"}
    assert {each.split()[0] for each in applied.left_out} <= watching
    assert len(applied.changes) + len(applied.left_out) == len(wanted)
    again = deploy.apply(wanted, name="digits", namespace=namespace)
    assert {each.action for each in again.changes} == {"unchanged"}


def test_a_deployment_that_kserve_looks_after_is_told_from_one_that_is_not_there(
    namespace: str,
) -> None:
    kind = Kind("serving.kserve.io", "v1beta1", "InferenceService", "inferenceservices")
    with connected(namespace) as connection:
        connection.apply(record("digits", namespace, [kind]))
    with pytest.raises(DeployError, match="digits is an InferenceService: KServe") as caught:
        deploy.status("digits", namespace=namespace)
    assert "kubectl get inferenceservice digits" in str(caught.value.hint)


def test_what_watches_is_made_where_something_reads_it(
    namespace: str, definitions: Callable[[str], None]
) -> None:
    definitions("prometheus-operator")
    wanted = deploy.render(asked(namespace=namespace))
    applied = deploy.apply(wanted, name="digits", namespace=namespace)
    assert applied.left_out == ()
    assert {"ServiceMonitor", "PrometheusRule"} <= {each.kind for each in applied.changes}


def test_a_package_is_deployed_looked_at_scaled_rolled_back_and_deleted(
    cluster: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    def judge(pod: Pod) -> Fate:
        return NO_IMAGE if OTHER in str(pod.spec) else READY

    cluster.kubelet.decide(namespace, judge)
    planned = deployed(namespace, "--dry-run")
    assert (planned.returncode, planned.stderr) == (0, "")
    assert "+ Deployment digits: created" in planned.stdout
    assert not list(cluster.client.list(Deployment, namespace=namespace))

    up = deployed(namespace, "--apply")
    assert up.returncode == 0, up.stderr
    assert "digits is up: revision 1, 2 of 2 ready" in up.stdout
    assert "revision 1, " in up.stderr

    where = ("--namespace", namespace)
    scaled = json.loads(shoal("scale", "digits", "3", *where, "--json").stdout)
    assert (scaled["before"], scaled["replicas"]) == (2, 3)

    # The rendered deadline leaves a server its time to start; here it is seconds.
    patch = tmp_path / "hurry.yaml"
    patch.write_text("kind: Deployment\nspec: {progressDeadlineSeconds: 3}\n", "utf-8")
    worse = PACKAGE.rpartition("@")[0] + f"@{OTHER}"
    how = ("--apply", "--roll-back", "--patch", str(patch), "--json")
    bad = deployed(namespace, *how, package=worse)
    assert bad.returncode == 1
    failure = json.loads(bad.stderr)
    assert failure["code"] == "rollout_failed"
    assert "rolled back to revision 1" in failure["error"]
    found = cluster.client.get(Deployment, "digits", namespace=namespace).metadata
    assert found is not None
    assert (found.labels or {})["app.kubernetes.io/version"] == DIGEST[7:19]
    assert (found.annotations or {})["shoal.io/package-digest"] == DIGEST

    told = shoal("status", "digits", *where).stdout
    assert PACKAGE.removeprefix("oci://") in told
    assert "scaled by   nobody" in told
    gone = shoal("delete", "digits", *where)
    assert "digits is gone from namespace" in gone.stdout
    assert shoal("status", "digits", *where).returncode == 1


def test_a_training_is_run_and_says_where_its_package_is(
    cluster: ControlPlane, namespace: str, tmp_path: Path
) -> None:
    cluster.kubelet.decide(namespace, lambda pod: SUCCEEDED)
    configuration = tmp_path / "train.toml"
    text = 'name = "churn"\nversion = "1"\ntarget = "left"\n[data]\ndataset = "/data/records"\n'
    configuration.write_text(f"{text}[search]\ntrials = 3\n", "utf-8")
    where = ("--namespace", namespace, "--image", IMAGE, "--push-to", "oci://registry.test/churn:1")
    done = shoal("job", str(configuration), *where, "--apply")
    assert done.returncode == 0, done.stderr
    assert "is done: the package is at oci://registry.test/churn:1" in done.stdout


def test_a_terminal_shows_a_bar_and_what_is_wrong() -> None:
    trouble = deploy.Trouble("ImagePullBackOff", "not found\x1b[2J", 2)
    state = deploy.Rollout("digits", 2, 3, 2, 1, 1, (trouble,))
    console = Console(width=80, record=True, file=io.StringIO())
    console.print(_picture(state, _rollout_line(state)))
    shown = console.export_text()
    assert "revision 2, 1 of 3 ready, 1 of earlier versions" in shown
    assert "2 Pods: ImagePullBackOff: not found" in shown
    assert "\x1b" not in shown
    assert "━" in shown


def test_what_is_rendered_for_nothing_is_refused(namespace: str) -> None:
    nothing = deployed(namespace)
    assert nothing.returncode == 2
    assert "--dry-run or --apply" in nothing.stderr
    both = deployed(namespace, "--apply", "--dry-run")
    assert "do not go together" in both.stderr
