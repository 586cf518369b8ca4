"""A canary on a real control plane: promoted, rolled back, killed anywhere and gone on with."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lightkube.resources.apps_v1 import Deployment
from lightkube.resources.autoscaling_v2 import HorizontalPodAutoscaler
from lightkube.resources.core_v1 import ConfigMap, Pod, Service

from shoal import deploy, package, serve
from shoal.deploy._canary._analysis import Prometheus
from shoal.deploy._canary._canary import CanaryRequest, run_canary, stop_canary
from shoal.deploy._canary._prometheus import Client
from shoal.deploy._cluster._apply import apply_all
from shoal.deploy._cluster._connection import connected
from shoal.errors import (
    ClusterConflictError,
    ClusterLacksError,
    ConfigurationError,
    DeployError,
    PathError,
    RolloutError,
)
from tests.deploy.canary import played
from tests.deploy.canary.killed import NEW, quick
from tests.deploy.canary.played import CANARY, NAME, OLD, Traffic, Version
from tests.end_to_end import models
from tests.services import docker_registry as registries
from tests.services import free_port, until
from tests.services.kubernetes._kubelet import CRASHES, READY, Fate
from tests.services.prometheus import running as prometheus

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from shoal.deploy._canary._events import CanaryEvent
    from tests.end_to_end.models import Sealed
    from tests.services.kubernetes._control_plane import ControlPlane

pytest_plugins = ["tests.services.kubernetes.fixtures"]


class Cluster:
    """A deployment on the control plane."""

    def __init__(self, plane: ControlPlane, namespace: str) -> None:
        self.plane, self.client, self.namespace = plane, plane.client, namespace
        self.events: list[CanaryEvent] = []

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
        return str(annotations["shoal.io/package-digest"])

    def weights(self) -> dict[str, int]:
        route = dict(self.client.get(played.ROUTE, NAME, namespace=self.namespace))
        return {
            backend["name"]: backend["weight"]
            for rule in route["spec"]["rules"]
            for backend in rule["backendRefs"]
        }

    def least(self) -> int | None:
        """The fewest replicas that the autoscaler leaves."""
        found = self.client.get(HorizontalPodAutoscaler, NAME, namespace=self.namespace)
        assert found.spec is not None
        return found.spec.minReplicas

    def scale_by_itself(self) -> None:
        """An autoscaler with 2 to 4 replicas, which asks for 3."""
        self.deploy(autoscaling=deploy.Autoscaling(max_replicas=4))
        scaled = {"spec": {"replicas": 3}}
        self.client.patch(Deployment.Scale, NAME, scaled, namespace=self.namespace)
        until(self.is_up, "what the autoscaler asked for is up")

    def leftovers(self) -> list[str]:
        """What is left of a canary."""
        kinds: tuple[Any, ...] = (Deployment, Service, ConfigMap)
        return [
            str(each.metadata.name)
            for kind in kinds
            for each in self.client.list(kind, namespace=self.namespace)
            if "canary" in str(each.metadata.name)
        ]

    def run(self, request: CanaryRequest | None = None) -> CanaryEvent:
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


def test_a_good_package_is_promoted_with_replicas_for_each_share(served: Cluster) -> None:
    served.scale_by_itself()
    replicas = []

    def tell(event: CanaryEvent) -> None:
        served.events.append(event)
        if event.event == "weights" and event.percent:
            found = served.client.get(Deployment, CANARY, namespace=served.namespace)
            assert found.spec is not None
            assert found.status is not None
            assert found.spec.replicas == found.status.readyReplicas
            replicas.append((event.percent, found.spec.replicas, served.least()))

    with played.telling(played.alike) as url:
        request = CanaryRequest(to=NEW, steps=(20, 100), analysis=quick(url))
        event = run_canary(NAME, request, namespace=served.namespace, tell=tell)
        assert event.event == "promoted"
        assert served.given() == [20, 100, 0]
        # So many as served when it began are left to the old version: all may come back.
        assert replicas == [(20, 1, 3), (100, 3, 3)]
        assert served.least() == 2
        assert served.digest() == NEW.rpartition("@")[2]
        assert served.weights() == {NAME: 100}
        assert served.leftovers() == []
        assert served.is_up()
        assert served.run(request).detail == "it serves already"


def test_a_package_that_a_real_prometheus_finds_worse_is_rolled_back(
    served: Cluster, program: Callable[[str], str], tmp_path: Path
) -> None:
    old, new = Version(), Version(fails=0.03)
    traffic = Traffic(served.client, served.namespace, old, new)
    with traffic.running() as targets, prometheus(program, tmp_path, targets=targets) as url:
        client = Client(Prometheus(url=url))
        until(lambda: (client.ask("sum(shoal_request_seconds_count)").value or 0) > 5000, "traffic")
        client.close()
        analysis = quick(url, step_seconds=3.0, interval_seconds=1.0, failure_limit=0)
        with pytest.raises(RolloutError, match=r"worse at 20 %: error_rate is 0\.0") as error:
            served.run(CanaryRequest(to=NEW, steps=(20, 100), analysis=analysis))
        assert error.value.hint == f"{OLD} serves."
    looks = [event.verdicts[0] for event in served.events if event.verdicts]
    assert looks[-1].new == pytest.approx(0.03, rel=0.3)
    assert new.requests > 0
    assert served.given() == [20, 0]
    assert served.digest() == OLD.rpartition("@")[2]
    assert served.weights() == {NAME: 100}
    assert served.leftovers() == []


def test_replicas_that_do_not_come_up_are_rolled_back(served: Cluster) -> None:
    served.plane.kubelet.decide(served.namespace, only_old)
    with played.telling(played.alike) as url:
        analysis = quick(url, rollout_seconds=1)
        with pytest.raises(RolloutError, match="CrashLoopBackOff"):
            served.run(CanaryRequest(to=NEW, analysis=analysis))
    assert served.given() == [0]
    assert (served.weights(), served.leftovers()) == ({NAME: 100}, [])


def test_a_promotion_that_does_not_come_up_gives_the_old_package_back(served: Cluster) -> None:
    def judge(pod: Pod) -> Fate:
        assert pod.metadata is not None
        is_stable = (pod.metadata.labels or {})["shoal.io/track"] == "stable"
        return only_old(pod) if is_stable else READY

    served.plane.kubelet.decide(served.namespace, judge)
    with played.telling(played.alike) as url:
        analysis = quick(url, rollout_seconds=1)
        with pytest.raises(RolloutError, match="digits: 0 of 2 replicas ready"):
            served.run(CanaryRequest(to=NEW, steps=(100,), analysis=analysis))
    assert served.given() == [100, 0]
    assert served.digest() == OLD.rpartition("@")[2]
    assert (served.weights(), served.leftovers()) == ({NAME: 100}, [])
    assert served.is_up()


def only_old(pod: Pod) -> Fate:
    assert pod.metadata is not None
    annotations = pod.metadata.annotations or {}
    return READY if annotations["shoal.io/package-digest"] in OLD else CRASHES


def test_a_route_that_no_gateway_accepts_is_rolled_back(
    cluster: ControlPlane, namespace: str, definitions: Callable[[str], None]
) -> None:
    definitions("gateway-api")
    definitions("prometheus-operator")
    found = Cluster(cluster, namespace)
    found.deploy()
    request = CanaryRequest(to=NEW, analysis=quick("http://unused"))
    with played.telling(played.alike) as url:
        analysis = quick(url, rollout_seconds=1)
        request = CanaryRequest(to=NEW, analysis=analysis)
        with pytest.raises(RolloutError, match="no Gateway has accepted HTTPRoute digits yet"):
            found.run(request)
        with (
            played.gateway(cluster.client, namespace, refuses="no listener matches"),
            pytest.raises(RolloutError, match="public says Accepted: no listener matches"),
        ):
            found.run(request)
    assert (found.weights(), found.leftovers()) == ({NAME: 100}, [])


def test_istio_shares_requests_out_as_well(
    cluster: ControlPlane, namespace: str, definitions: Callable[[str], None]
) -> None:
    definitions("istio")
    definitions("prometheus-operator")
    found = Cluster(cluster, namespace)
    route = deploy.Route(gateway="public", hostname="digits.example.org")
    found.deploy(target="istio", route=route)
    with played.telling(played.alike) as url:
        found.run(CanaryRequest(to=NEW, steps=(20, 100), analysis=quick(url)))
    assert found.given() == [20, 100, 0]
    assert [event.weights.accepted_by for event in found.events if event.weights] == [None] * 3
    assert found.leftovers() == []
    assert found.digest() == NEW.rpartition("@")[2]


def test_weights_that_somebody_else_changes_end_it(served: Cluster) -> None:
    def tell(event: CanaryEvent) -> None:
        if event.event == "weights" and event.percent:
            with pytest.raises(ClusterConflictError, match="a canary of digits is under way"):
                served.deploy()
            with connected(served.namespace) as connection:  # as an earlier version would have
                apply_all(connection, deploy.render(played.settings(served.namespace)), NAME)

    why = "somebody changed HTTPRoute digits: 100 % for digits"
    with played.telling(played.alike) as url:
        request = CanaryRequest(to=NEW, steps=(20, 100), analysis=quick(url))
        with pytest.raises(RolloutError, match=why):
            run_canary(NAME, request, namespace=served.namespace, tell=tell)
    assert (served.weights(), served.leftovers()) == ({NAME: 100}, [])


def test_weights_that_somebody_else_owns_by_then_are_taken_back_all_the_same(
    served: Cluster,
) -> None:
    served.scale_by_itself()

    def tell(event: CanaryEvent) -> None:
        if event.event == "weights" and event.percent:
            assert served.least() == 3
            played.share_by_hand(served.client, served.namespace)

    with played.telling(played.alike) as url:
        request = CanaryRequest(to=NEW, steps=(20, 100), analysis=quick(url))
        with pytest.raises(RolloutError, match="somebody changed HTTPRoute digits: 91 % for"):
            run_canary(NAME, request, namespace=served.namespace, tell=tell)
    assert (served.weights(), served.leftovers(), served.least()) == ({NAME: 100}, [], 2)


def test_a_runner_killed_at_every_point_is_followed_to_the_same_end(
    served: Cluster, prove_scale: int
) -> None:
    points = ("stepping", "weights 20", "look", "weights 100", "promoting", "returning", "removing")
    with played.telling(played.alike) as url:
        taken = points if prove_scale > 1 else points[2:5:2]
        assert killed(served, url, *taken) == [-signal.SIGKILL for _ in taken] + [0]
    assert served.digest() == NEW.rpartition("@")[2]
    assert (served.weights(), served.leftovers()) == ({NAME: 100}, [])


def test_a_runner_killed_while_it_withdraws_is_followed_to_the_same_end(
    served: Cluster, prove_scale: int
) -> None:
    points = ("withdrawing", "restoring", "discarding")
    with played.telling(played.worse) as url:
        taken = points if prove_scale > 1 else points[1:2]
        assert killed(served, url, *taken) == [-signal.SIGKILL for _ in taken] + [1]
    assert served.digest() == OLD.rpartition("@")[2]
    assert (served.weights(), served.leftovers()) == ({NAME: 100}, [])


def killed(served: Cluster, url: str, *points: str) -> list[int]:
    """How each runner ended; the last one is not killed."""
    words = [served.namespace, url, *points, "-"]
    command = [sys.executable, "-m", "tests.deploy.canary.killed", *words]
    answer = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return [int(line) for line in answer.stdout.split()]


def test_a_canary_under_way_is_gone_on_with_or_called_off(served: Cluster, tmp_path: Path) -> None:
    with pytest.raises(ClusterLacksError, match="no canary of digits is under way"):
        served.run()
    with pytest.raises(ClusterLacksError, match="no canary of digits is under way"):
        stop_canary(NAME, namespace=served.namespace)

    def tell(event: CanaryEvent) -> None:
        if event.event == "look":
            raise KeyboardInterrupt

    certificates = tmp_path / "ca.pem"
    certificates.write_bytes(b"")
    with played.telling(played.alike) as url:
        where = Prometheus(url=url, ca_file=str(certificates))
        analysis = quick(url, prometheus=where)
        request = CanaryRequest(to=NEW, steps=(20, 100), analysis=analysis)
        with pytest.raises(KeyboardInterrupt):
            run_canary(NAME, request, namespace=served.namespace, tell=tell)
        assert served.weights() == {NAME: 80, CANARY: 20}
        other = CanaryRequest(to=NEW.replace("b", "d"), analysis=quick(url))
        with pytest.raises(ClusterConflictError, match="is under way"):
            served.run(other)
        certificates.unlink()  # as on another machine
        with pytest.raises(PathError, match="there are no certificates"):
            served.run()
        event = stop_canary(NAME, namespace=served.namespace)
    assert (event.event, event.detail) == ("rolled_back", "it was called off")
    assert (served.weights(), served.leftovers()) == ({NAME: 100}, [])


def test_two_runners_refuse_each_other(served: Cluster) -> None:
    looks = threading.Event()
    with played.telling(played.alike) as url:
        request = CanaryRequest(to=NEW, steps=(100,), analysis=quick(url, step_seconds=1.0))

        def first() -> None:
            run_canary(NAME, request, namespace=served.namespace, tell=tell)

        def tell(event: CanaryEvent) -> None:
            if event.event == "look":
                looks.set()

        thread = threading.Thread(target=first)
        thread.start()
        assert looks.wait(20)
        with pytest.raises(ClusterConflictError, match="runs this canary"):
            served.run()
        thread.join()
    assert served.digest() == NEW.rpartition("@")[2]


def test_what_is_remembered_goes_with_the_deployment(served: Cluster) -> None:
    def tell(event: CanaryEvent) -> None:
        if event.event == "look":
            raise KeyboardInterrupt

    with played.telling(played.alike) as url:
        request = CanaryRequest(to=NEW, analysis=quick(url))
        with pytest.raises(KeyboardInterrupt):
            run_canary(NAME, request, namespace=served.namespace, tell=tell)
    assert f"{NAME}-canary-state" in served.leftovers()
    served.client.delete(Deployment, NAME, namespace=served.namespace)
    until(lambda: f"{NAME}-canary-state" not in served.leftovers(), "the owner's is collected")


def test_what_cannot_come_to_an_end_does_not_begin(served: Cluster) -> None:
    with played.telling(played.alike) as url:
        good = CanaryRequest(to=NEW, analysis=quick(url))
        away = f"http://127.0.0.1:{free_port()}"
        with pytest.raises(DeployError, match="Prometheus was not reached"):
            served.run(CanaryRequest(to=NEW, analysis=quick(away)))
        with pytest.raises(ConfigurationError, match="nobody says where Prometheus is"):
            served.run(CanaryRequest(to=NEW))
        with pytest.raises(ClusterLacksError, match="no deployment other"):
            run_canary("other", good, namespace=served.namespace)
        served.deploy(patches=(played.another_backend(),))
        why = "cannot have a canary: as rendered, HTTPRoute digits: its rules share"
        with pytest.raises(ConfigurationError, match=why):
            served.run(good)
        served.deploy()
        played.share_by_hand(served.client, served.namespace)
        with pytest.raises(ClusterConflictError, match="9 % for digits-canary, expected all"):
            served.run(good)
        served.client.delete(played.ROUTE, NAME, namespace=served.namespace)
        with pytest.raises(ClusterLacksError, match="there is no HTTPRoute digits"):
            served.run(good)
        served.deploy(route=None)
        with pytest.raises(ConfigurationError, match="digits cannot have a canary"):
            served.run(good)
        patch = {"metadata": {"annotations": {"shoal.io/settings": None}}}
        served.client.patch(Deployment, NAME, patch, namespace=served.namespace)
        with pytest.raises(DeployError, match="does not say its settings"):
            served.run(good)
    assert served.leftovers() == []


ANALYSIS = """
interval_seconds = 0.1
step_seconds = 0.2
lease_seconds = 0.6
[prometheus]
url = "{prometheus}"
[disagreement]
at_most = {at_most}
records = "{records}"
address = "{address}/$service"
"""


def test_the_command_asks_both_versions_and_its_exit_code_tells_the_end(
    served: Cluster, digits: Sealed, program: Callable[[str], str], tmp_path: Path
) -> None:
    other = models.tree(tmp_path, "2")
    records = tmp_path / "records.parquet"
    pq.write_table(pa.table({"X": pa.array(digits.rows, pa.list_(pa.float32(), 64))}), records)
    with (
        registries.running(program) as registry,
        serve.start(digits.path) as old,
        serve.start(other) as new,
        played.forwarding({NAME: old.http, CANARY: new.http}) as address,
        played.telling(played.alike) as url,
    ):
        pushed = package.push(other, f"oci://{registry.host}/digits:2")
        by_digest = f"oci://{registry.host}/digits@{pushed.digest}"

        def command(at_most: float, *words: str) -> subprocess.CompletedProcess[str]:
            analysis = tmp_path / "analysis.toml"
            text = ANALYSIS.format(
                prometheus=url, at_most=at_most, records=records, address=address
            )
            analysis.write_text(text, "utf-8")
            program = [sys.executable, "-m", "shoal.cli", "deploy", "canary", NAME]
            options = ["--analysis", str(analysis), "-n", served.namespace, "--json", *words]
            return subprocess.run([*program, *options], check=False, capture_output=True, text=True)

        answer = command(0.0, "--to", str(other), "--registry", f"oci://{registry.host}/digits")
        assert answer.returncode == 1
        error = json.loads(answer.stderr)
        assert (error["code"], "disagreement is 0." in error["error"]) == ("rollout_failed", True)
        assert json.loads(answer.stdout.splitlines()[-1])["event"] == "rolled_back"
        answer = command(0.9, "--to", by_digest, "--steps", "20,100")
        assert (answer.returncode, answer.stderr) == (0, "")
    events = [json.loads(line) for line in answer.stdout.splitlines()]
    assert [events[0]["event"], events[-1]["event"]] == ["started", "promoted"]
    looks = [event["verdicts"] for event in events if event["event"] == "look"]
    assert {each["metric"] for each in looks[0]} == {"error_rate", "p99_seconds", "disagreement"}
    assert served.digest() == package.open(other).digest


def test_a_signal_leaves_the_weights_and_the_next_one_need_not_wait(
    served: Cluster, tmp_path: Path
) -> None:
    program = [sys.executable, "-m", "shoal.cli", "deploy", "canary", NAME]
    words = ["-n", served.namespace, "--json"]
    with played.telling(played.alike) as url:
        analysis = tmp_path / "analysis.toml"
        analysis.write_text("interval_seconds = 0.1\nlease_seconds = 0.6\n")
        options = ["--to", NEW, "--steps", "30,100"]
        options += ["--prometheus", url, "--analysis", str(analysis)]
        command = [*program, *options, *words]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if json.loads(line)["event"] == "weights":
                    process.send_signal(signal.SIGTERM)
                    break
        assert process.returncode == 130
        assert served.weights() == {NAME: 70, CANARY: 30}
        assert subprocess.run([*program, "--abort", *words], check=False).returncode == 0
    assert (served.weights(), served.leftovers()) == ({NAME: 100}, [])
