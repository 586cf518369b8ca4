"""What is rendered of a deployment, and for what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from shoal import deploy
from tests.deploy.objects.made import (
    CANARY,
    DIGEST,
    IMAGE,
    OTHER,
    ROUTE,
    SCALING,
    TARGETS,
    asked,
    pod_of,
    rendered,
)

LABEL = "shoal.io/deployment"


@pytest.mark.parametrize("target", TARGETS)
def test_the_same_settings_give_the_same_objects(target: str) -> None:
    once, again = (deploy.render(asked(**TARGETS[target])) for _ in range(2))
    assert [each.to_dict() for each in once] == [each.to_dict() for each in again]


@pytest.mark.parametrize("target", TARGETS)
def test_every_object_says_whose_it_is_and_of_which_package(target: str) -> None:
    for (kind, name), content in rendered(**TARGETS[target]).items():
        stated = content["metadata"]
        assert stated["namespace"] == "models", kind
        assert stated["labels"][LABEL] == stated["labels"]["app.kubernetes.io/instance"] == "digits"
        assert stated["labels"]["app.kubernetes.io/managed-by"] == "shoal"
        assert stated["annotations"]["shoal.io/package-digest"] in {DIGEST, OTHER}
        assert all(len(value) <= 63 for value in stated["labels"].values())
        assert len(name) <= 253


def test_what_others_refer_to_comes_first() -> None:
    kinds = [each.kind for each in deploy.render(asked(**TARGETS["plain, scaled"]))]
    first = ["ServiceAccount", "ConfigMap", "NetworkPolicy", "PodDisruptionBudget", "Service"]
    assert kinds[:5] == first
    assert kinds.index("Service") < kinds.index("Deployment")
    assert kinds.index("Deployment") < kinds.index("HorizontalPodAutoscaler")


def test_no_image_and_no_package_is_named_by_a_tag() -> None:
    for cluster in ("1.34", "1.36"):
        pod = pod_of(rendered(cluster=cluster, package=asked().package))
        named = [each["image"] for each in pod["containers"] + pod.get("initContainers", [])]
        named += [each["image"]["reference"] for each in pod["volumes"] if "image" in each]
        assert all(text.partition("@")[2].startswith("sha256:") for text in named)


def test_a_tag_beside_a_digest_is_left_out() -> None:
    assert asked(image=IMAGE.replace("@", ":1.2@")).runtime.image == IMAGE


def test_the_package_is_a_volume_of_its_image_where_the_cluster_knows_that() -> None:
    pod = pod_of(rendered(cluster="1.35"))
    (volume,) = [each for each in pod["volumes"] if each["name"] == "package"]
    assert volume["image"]["reference"] == f"registry.example.org/digits@{DIGEST}"
    assert "initContainers" not in pod
    assert pod["containers"][0]["args"][:2] == ["serve", "/srv/shoal/package"]


def test_elsewhere_an_init_container_pulls_it_with_credentials_that_are_only_named() -> None:
    pod = pod_of(rendered(cluster="1.34", pull_secret="registry"))
    (puller,) = pod["initContainers"]
    place = "/srv/shoal/package/pulled"
    assert puller["args"] == ["package", "pull", asked().package, place]
    assert pod["containers"][0]["args"][:2] == ["serve", place]
    assert puller["env"] == [{"name": "DOCKER_CONFIG", "value": "/etc/shoal/registry"}]
    secrets = [each["secret"]["secretName"] for each in pod["volumes"] if "secret" in each]
    assert (secrets, pod["imagePullSecrets"]) == (["registry"], [{"name": "registry"}])


def test_users_of_the_node_are_kept_apart_where_the_cluster_knows_that() -> None:
    said = {each: pod_of(rendered(cluster=each)).get("hostUsers") for each in ("1.32", "1.33")}
    assert said == {"1.32": None, "1.33": False}


def test_a_pod_may_do_next_to_nothing() -> None:
    for cluster in ("1.31", "1.37"):
        pod = pod_of(rendered(cluster=cluster))
        assert pod["securityContext"]["runAsNonRoot"] is True
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        assert pod["automountServiceAccountToken"] is False
        for container in pod["containers"] + pod.get("initContainers", []):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "capabilities": {"drop": ["ALL"]},
                "readOnlyRootFilesystem": True,
            }


def test_a_rollout_takes_no_replica_away() -> None:
    spec = rendered()["Deployment", "digits"]["spec"]
    assert spec["strategy"]["rollingUpdate"] == {"maxSurge": 1, "maxUnavailable": 0}
    assert spec["progressDeadlineSeconds"] > asked().start_seconds


def test_a_replica_has_time_to_drain() -> None:
    for server, notice_seconds in (({}, 5), ({"drain_notice_ms": 20_000}, 20)):
        pod = pod_of(rendered(drain_seconds=200, server=server))
        assert "$(SHOAL_DRAIN_NOTICE_MS)" in pod["containers"][0]["args"]
        assert pod["terminationGracePeriodSeconds"] > 200 + notice_seconds


def test_the_three_probes_are_apart() -> None:
    server = pod_of(rendered(start_seconds=400))["containers"][0]
    startup, ready, live = (server[f"{each}Probe"] for each in ("startup", "readiness", "liveness"))
    assert startup["failureThreshold"] * startup["periodSeconds"] == 400
    assert startup["httpGet"]["path"] == ready["httpGet"]["path"] == "/v2/health/ready"
    assert live["httpGet"]["path"] == "/v2/health/live"
    assert live["failureThreshold"] * live["periodSeconds"] > 5 * ready["failureThreshold"]


def test_cores_are_requested_and_never_limited_and_threads_follow_from_them() -> None:
    server = pod_of(rendered(cpu="3500m", memory="1Gi"))["containers"][0]
    assert server["resources"] == {
        "requests": {"cpu": "3500m", "memory": "1Gi"},
        "limits": {"memory": "1Gi"},
    }
    cores = {"resourceFieldRef": {"resource": "requests.cpu"}}
    assert {"name": "SHOAL_CPUS", "valueFrom": cores} in server["env"]
    assert {"name": "OMP_NUM_THREADS", "valueFrom": cores} in server["env"]
    assert words_after("--threads", server) == "$(SHOAL_CPUS)"


def test_a_python_package_has_a_worker_for_each_core() -> None:
    server = pod_of(rendered(allow_code=True))["containers"][0]
    assert "--allow-code" in server["args"]
    assert words_after("--workers", server) == "$(SHOAL_CPUS)"
    assert "--threads" not in server["args"]


def test_the_server_takes_the_words_it_is_given() -> None:
    from typer.main import get_command

    from shoal.cli._main import app

    options = {"latency_target_ms": 50, "worker_environment": "locked", "max_streams": 8}
    commands: Any = get_command(app)
    known = {word for each in commands.commands["serve"].params for word in each.opts}
    for allowed in (False, True):
        server = pod_of(rendered(server=options, allow_code=allowed))["containers"][0]
        assert server["command"] == ["shoal"]
        words = {each for each in server["args"] if each.startswith("--")}
        assert words <= known
        assert "--worker-environment" in words


def test_every_option_of_the_server_is_in_a_map_whose_name_changes_with_it() -> None:
    one, other = (rendered(server={"latency_target_ms": each}) for each in (50, 60))
    (first,), (second,) = (
        [name for kind, name in each if kind == "ConfigMap" and "config" in name]
        for each in (one, other)
    )
    assert first != second
    content, server = one["ConfigMap", first], pod_of(one)["containers"][0]
    assert content["immutable"] is True
    assert content["data"]["SHOAL_LATENCY_TARGET_MS"] == "50"
    assert words_after("--latency-target-ms", server) == "$(SHOAL_LATENCY_TARGET_MS)"
    assert server["envFrom"] == [{"configMapRef": {"name": first}}]


def test_bodies_take_a_quarter_of_the_memory_at_most() -> None:
    objects = rendered(memory="128Mi")
    (data,) = [each["data"] for (_, name), each in objects.items() if "-config-" in name]
    assert data == {
        "SHOAL_BODIES_IN_FLIGHT_LIMIT_BYTES": str(32 * 2**20),
        "SHOAL_BODY_LIMIT_BYTES": str(32 * 2**20),
        "SHOAL_DRAIN_NOTICE_MS": "5000",
    }


def test_nodes_are_emptied_one_replica_at_a_time() -> None:
    assert rendered()["PodDisruptionBudget", "digits"]["spec"] == {
        "maxUnavailable": 1,
        "selector": {"matchLabels": {LABEL: "digits"}},
        "unhealthyPodEvictionPolicy": "AlwaysAllow",
    }


def test_nobody_speaks_to_replicas_but_those_named() -> None:
    policy = rendered(route=ROUTE, clients=["shop"])["NetworkPolicy", "digits"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert namespaces(policy["ingress"][0]["from"]) == ["gateways", "shop"]
    assert namespaces(policy["ingress"][1]["from"]) == ["monitoring"]
    assert [each["port"] for each in policy["ingress"][1]["ports"]] == [8000]


def test_without_a_route_the_own_namespace_may_call() -> None:
    policy = rendered()["NetworkPolicy", "digits"]["spec"]
    assert namespaces(policy["ingress"][0]["from"]) == ["models"]


def test_replicas_reach_names_and_a_registry_only_where_they_pull() -> None:
    mounted = rendered(cluster="1.36")["NetworkPolicy", "digits"]["spec"]["egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in mounted] == [[53, 53]]
    both = {"route": ROUTE, "canary": CANARY}
    pulled = rendered(cluster="1.34", **both)["NetworkPolicy", "digits"]["spec"]["egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in pulled] == [[53, 53], [443, 5000]]
    # The DNS of a cluster may stand in any namespace, or on the node itself.
    assert not any("to" in rule for rule in pulled)


def test_tokens_and_blobs_of_a_registry_may_come_from_elsewhere() -> None:
    package = f"oci://registry.example.org:5000/digits@{DIGEST}"
    egress = rendered(cluster="1.34", package=package)["NetworkPolicy", "digits"]["spec"]["egress"]
    assert [port["port"] for port in egress[1]["ports"]] == [443, 5000]


def test_clients_and_prometheus_reach_the_doors_that_are_theirs() -> None:
    plain = rendered(clients=["shop"], route=ROUTE)["NetworkPolicy", "digits"]["spec"]["ingress"]
    assert [[port["port"] for port in rule["ports"]] for rule in plain] == [[8000, 8001], [8000]]
    assert namespaces(plain[0]["from"]) == ["gateways", "shop"]
    mesh = rendered(**TARGETS["istio"])["NetworkPolicy", "digits"]["spec"]["ingress"]
    assert [port["port"] for port in mesh[1]["ports"]] == [15020]
    assert namespaces(mesh[1]["from"]) == ["monitoring"]


@pytest.mark.parametrize("target", ["plain, scaled", "keda", "keda, from none", "istio, within"])
def test_replicas_that_something_else_owns_are_not_stated(target: str) -> None:
    assert "replicas" not in rendered(**TARGETS[target])["Deployment", "digits"]["spec"]


def test_plain_kubernetes_scales_by_the_wait_and_never_by_cpu() -> None:
    more = {"autoscaling.max_replicas": 9, "autoscaling.queue_wait_rows": 0.35}
    spec = rendered(**more)["HorizontalPodAutoscaler", "digits"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (2, 9)
    assert spec["metrics"] == [
        {
            "type": "External",
            "external": {
                "metric": {
                    "name": "shoal-queue-wait-rows",
                    "selector": {"matchLabels": {"service": "digits"}},
                },
                "target": {"type": "Value", "value": "350m"},
            },
        }
    ]


def test_keda_asks_prometheus_for_the_wait() -> None:
    spec = rendered(**TARGETS["keda"])["ScaledObject", "digits"]["spec"]
    (trigger,) = spec["triggers"]
    assert trigger["metadata"]["threshold"] == "0.4"
    assert "shoal_queue_seconds_sum" in trigger["metadata"]["query"]
    assert (spec["minReplicaCount"], spec["maxReplicaCount"]) == (2, 10)
    assert spec["scaleTargetRef"] == {"name": "digits"}


def test_what_scales_from_none_is_woken_by_its_own_query() -> None:
    spec = rendered(**TARGETS["keda, from none"])["ScaledObject", "digits"]["spec"]
    names = [each["name"] for each in spec["triggers"]]
    assert (spec["minReplicaCount"], names) == (0, ["queue-wait", "work"])


def test_kserve_gets_the_same_pod_and_no_service_of_ours() -> None:
    objects = rendered(target="kserve", **SCALING)
    predictor = objects["InferenceService", "digits"]["spec"]["predictor"]
    assert predictor["containers"][0]["name"] == "kserve-container"
    assert predictor["securityContext"] == pod_of(rendered())["securityContext"]
    assert (predictor["minReplicas"], predictor["maxReplicas"]) == (2, 10)
    assert not {"Service", "Deployment", "HTTPRoute"} & {kind for kind, _ in objects}


def test_kserve_gets_a_plain_number_and_a_question_that_knows_how_many_replicas_there_are() -> None:
    """It hands both to KEDA, which reads the number as a float, and divides by replicas."""
    predictor = rendered(target="kserve", **SCALING)["InferenceService", "digits"]["spec"]
    (metric,) = predictor["predictor"]["autoScaling"]["metrics"]
    assert float(metric["external"]["target"]["value"]) == 0.4
    assert metric["external"]["metric"]["query"].endswith(
        ') * sum(up{namespace="models", service="digits"})'
    )


@pytest.mark.parametrize("weight", [0, 5, 100])
def test_a_canary_gets_its_share_of_the_gateways_requests(weight: int) -> None:
    canary = {**CANARY, "weight_percent": weight}
    objects = rendered(route=ROUTE, canary=canary)
    for rule in objects["HTTPRoute", "digits"]["spec"]["rules"]:
        shares = {each["name"]: each["weight"] for each in rule["backendRefs"]}
        assert shares == {"digits": 100 - weight, "digits-canary": weight}
    selectors = [
        objects["Service", name]["spec"]["selector"]["shoal.io/track"]
        for name in ("digits", "digits-canary")
    ]
    assert selectors == ["stable", "canary"]
    assert package_of(pod_of(objects, "digits-canary")) == OTHER
    assert package_of(pod_of(objects)) == DIGEST


def test_a_canary_changes_nothing_of_the_stable_replicas() -> None:
    alone, beside = rendered(route=ROUTE), rendered(route=ROUTE, canary=CANARY)
    assert alone["Deployment", "digits"] == beside["Deployment", "digits"]
    assert alone["Service", "digits"] == beside["Service", "digits"]


def test_the_outside_reaches_no_metrics() -> None:
    rules = rendered(route=ROUTE)["HTTPRoute", "digits"]["spec"]["rules"]
    paths = {match["path"]["value"] for rule in rules for match in rule["matches"]}
    assert paths >= {"/predict", "/v2", "/inference.GRPCInferenceService"}
    assert not any("/metrics".startswith(path) for path in paths)


def test_within_a_mesh_only_mutual_tls_is_spoken() -> None:
    objects = rendered(**TARGETS["istio"])
    authentication = objects["PeerAuthentication", "digits"]["spec"]
    assert authentication["mtls"] == {"mode": "STRICT"}
    for name in ("digits", "digits-canary"):
        policy = objects["DestinationRule", name]["spec"]["trafficPolicy"]
        assert policy["tls"] == {"mode": "ISTIO_MUTUAL"}
    routes = objects["VirtualService", "digits"]["spec"]
    assert routes["gateways"] == ["mesh", "gateways/public"]
    assert [each["weight"] for each in routes["http"][0]["route"]] == [95, 5]


def test_the_sidecar_gives_the_metrics_of_the_server_and_stays_until_it_has_drained() -> None:
    objects = rendered(**TARGETS["istio"])
    notes = objects["Deployment", "digits"]["spec"]["template"]["metadata"]["annotations"]
    scraped = {key: each for key, each in notes.items() if key.startswith("prometheus.io/")}
    assert scraped == {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "8000",
        "prometheus.io/path": "/metrics",
    }
    sidecar = json.loads(notes["proxy.istio.io/config"])
    assert sidecar["proxyMetadata"] == {"EXIT_ON_ZERO_ACTIVE_CONNECTIONS": "true"}
    plain = rendered()["Deployment", "digits"]["spec"]["template"]["metadata"]["annotations"]
    assert list(plain) == ["shoal.io/package-digest"]


def test_a_pull_does_not_wait_for_a_sidecar_that_comes_after_it() -> None:
    note = "traffic.sidecar.istio.io/excludeOutboundPorts"
    pulled = rendered(**TARGETS["istio"], cluster="1.34")["Deployment", "digits"]["spec"]
    assert pulled["template"]["metadata"]["annotations"][note] == "443,5000"
    mounted = rendered(**TARGETS["istio"])["Deployment", "digits"]["spec"]
    assert note not in mounted["template"]["metadata"]["annotations"]


def test_replicas_that_are_not_ready_are_not_found_by_clients_of_grpc() -> None:
    headless = rendered()["Service", "digits-headless"]["spec"]
    assert (headless["clusterIP"], [each["name"] for each in headless["ports"]]) == (
        "None",
        ["grpc"],
    )
    assert not headless.get("publishNotReadyAddresses")


def test_replicas_spread_over_zones_and_nodes_within_a_version() -> None:
    spread = pod_of(rendered())["topologySpreadConstraints"]
    assert [each["topologyKey"] for each in spread] == [
        "topology.kubernetes.io/zone",
        "kubernetes.io/hostname",
    ]
    for each in spread:
        assert each["whenUnsatisfiable"] == "ScheduleAnyway"
        assert each["matchLabelKeys"] == ["pod-template-hash"]
        assert each["labelSelector"]["matchLabels"]["shoal.io/track"] == "stable"


def test_replicas_speak_to_the_cluster_in_nobodys_name() -> None:
    objects = rendered()
    assert objects["ServiceAccount", "digits"]["automountServiceAccountToken"] is False
    pod = pod_of(objects)
    assert (pod["serviceAccountName"], pod["automountServiceAccountToken"]) == ("digits", False)


def words_after(word: str, container: dict[str, Any]) -> str:
    arguments: list[str] = container["args"]
    return arguments[arguments.index(word) + 1]


def namespaces(peers: list[dict[str, Any]]) -> list[str]:
    return [
        peer["namespaceSelector"]["matchLabels"]["kubernetes.io/metadata.name"] for peer in peers
    ]


def package_of(pod: dict[str, Any]) -> str:
    (volume,) = [each for each in pod["volumes"] if each["name"] == "package"]
    return str(volume["image"]["reference"]).partition("@")[2]
