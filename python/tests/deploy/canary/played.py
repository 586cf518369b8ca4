"""Who is around a canary on the control plane: a Gateway, Prometheus, two versions with traffic.

- `gateway` plays the controller of Gateways: it accepts routes, or refuses them.
- `telling` is a server of Prometheus' query API whose values the test decides.
- `Traffic` shares requests out by the weights of the route as the cluster has it, and exposes what
  both versions would count: for a real Prometheus.
"""

from __future__ import annotations

import json
import math
import random
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

import httpx2
import urllib3
from lightkube import ApiError
from lightkube.generic_resource import create_namespaced_resource
from lightkube.types import PatchType

from shoal import deploy
from shoal.deploy._canary._route import weights_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lightkube import Client

ROUTE: Any = create_namespaced_resource(
    "gateway.networking.k8s.io", "v1", "HTTPRoute", "httproutes", verbs=None
)
NAME, CANARY = "digits", "digits-canary"
OLD, NEW = (f"oci://registry.test/digits@sha256:{digit * 64}" for digit in "ab")
RUNTIME = f"registry.test/shoal@sha256:{'c' * 64}"
LOOKS_EVERY_SECONDS = 0.05
# Bounds of the buckets of a version's histogram.
BOUNDS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1)


def settings(namespace: str, **more: Any) -> deploy.Deployment:
    """A deployment that requests reach by a Gateway."""
    usual: dict[str, Any] = {
        "name": NAME,
        "namespace": namespace,
        "package": OLD,
        "image": RUNTIME,
        "replicas": 2,
        "cluster": "1.36",
        "route": deploy.Route(gateway="public"),
    }
    return deploy.Deployment(**(usual | more))


def deployed(asked: deploy.Deployment) -> None:
    """Brings a deployment into the cluster."""
    objects = deploy.with_settings(deploy.render(asked), asked)
    deploy.apply(objects, name=asked.name, namespace=asked.namespace)


def another_backend() -> deploy.Patch:
    """A user's patch: a part of all requests goes elsewhere."""
    backend = {"name": "others", "port": 80, "weight": 100}
    added = deploy.Operation(op="add", path="/spec/rules/0/backendRefs/-", value=backend)
    return deploy.Patch(target=deploy.PatchTarget("HTTPRoute"), operations=(added,))


def share_by_hand(client: Client, namespace: str) -> None:
    """Somebody edits the route, who owns its rules from then on."""
    route = dict(client.get(ROUTE, NAME, namespace=namespace))
    for rule in route["spec"]["rules"]:
        main = rule["backendRefs"][0]
        rule["backendRefs"] = [{**main, "weight": 91}, {**main, "name": CANARY, "weight": 9}]
    client.patch(
        ROUTE,
        NAME,
        {"spec": {"rules": route["spec"]["rules"]}},
        namespace=namespace,
        patch_type=PatchType.MERGE,
        field_manager="kubectl-edit",
    )


@contextmanager
def gateway(client: Client, namespace: str, *, refuses: str = "") -> Iterator[None]:
    """A Gateway that looks at the routes of a namespace; `refuses` is why it accepts none."""
    ending = threading.Event()

    def look() -> None:
        while not ending.wait(LOOKS_EVERY_SECONDS):
            try:
                for route in client.list(ROUTE, namespace=namespace):
                    _answer(client, dict(route), refuses)
            except (ApiError, httpx2.HTTPError):
                continue  # changed meanwhile: the next look finds out

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ending.set()
        thread.join()


def _answer(client: Client, route: dict[str, Any], refuses: str) -> None:
    generation = route["metadata"]["generation"]
    before = (route.get("status") or {}).get("parents") or []
    if before and before[0]["conditions"][0]["observedGeneration"] == generation:
        return
    conditions = [
        {
            "type": word,
            "status": "False" if refuses else "True",
            "reason": word,
            "message": refuses,
            "observedGeneration": generation,
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }
        for word in ("Accepted", "ResolvedRefs")
    ]
    parent = {"parentRef": {"name": "public"}, "controllerName": "shoal.test/gateway"}
    status = {"status": {"parents": [{**parent, "conditions": conditions}]}}
    client.patch(
        ROUTE.Status,
        route["metadata"]["name"],
        status,
        namespace=route["metadata"]["namespace"],
        patch_type=PatchType.MERGE,
    )


class _Handler(BaseHTTPRequestHandler):
    # Without it an answer's body waits 40 ms until its head is acknowledged.
    disable_nagle_algorithm = True

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class _Server(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        """Says nothing of a caller that did not wait for its answer."""


@contextmanager
def _served(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    with _Server(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def telling(value: Callable[[str], float | None]) -> Iterator[str]:
    """A server of Prometheus' query API; gives its address.

    Args:
        value: The number that a query gives; None for no series.

    Source: prometheus.io/docs/prometheus/latest/querying/api, "Instant queries".
    """

    class Api(_Handler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            text = self.rfile.read(int(self.headers["Content-Length"])).decode()
            found = value(parse_qs(text)["query"][0])
            result = [] if found is None else [{"metric": {}, "value": [time.time(), str(found)]}]
            data = {"resultType": "vector", "result": result}
            body = json.dumps({"status": "success", "data": data}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with _served(Api) as address:
        yield f"http://{address}"


def alike(query: str) -> float:
    """Both versions are good: enough samples, and nothing is bad."""
    return 1000.0 if "/" not in query and "increase" in query else 0.001


def worse(query: str) -> float:
    """The new version fails in a tenth of requests."""
    return 0.1 if "/" in query and CANARY in query else alike(query)


@contextmanager
def forwarding(to: dict[str, str]) -> Iterator[str]:
    """A server whose first folder is the name of a Service; gives its address.

    Args:
        to: Where each Service answers, as HOST:PORT.
    """

    class Forward(_Handler):
        def do_POST(self) -> None:
            _, service, path = self.path.split("/", 2)
            answer = urllib3.request(
                "POST",
                f"http://{to[service]}/{path}",
                body=self.rfile.read(int(self.headers["Content-Length"])),
                headers=dict(self.headers),
            )
            self.send_response(answer.status)
            for name, told in answer.headers.items():
                self.send_header(name, told)
            self.end_headers()
            self.wfile.write(answer.data)

    with _served(Forward) as address:
        yield f"http://{address}"


@dataclass
class Version:
    """What one version counts.

    Attributes:
        seconds: How long it takes for a request on average.
        fails: The share of requests that it fails.
        tires_at: From which share of all requests on it takes ten times as long.
        requests: How many there were.
        failed: How many of them failed.
        within: How many were answered within the bound of each bucket.
    """

    seconds: float = 0.002
    fails: float = 0.0
    tires_at: float = 2.0
    requests: float = 0.0
    failed: float = 0.0
    within: dict[float, float] = field(default_factory=lambda: dict.fromkeys(BOUNDS, 0.0))
    _random: random.Random = field(default_factory=lambda: random.Random(7))

    def take(self, requests: float, share: float) -> None:
        """Answers requests, its share of all; how long answers take is exponential."""
        noise = self._random.uniform(0.8, 1.2)
        typical_seconds = self.seconds * noise * (10 if share >= self.tires_at else 1)
        self.requests += requests
        self.failed += requests * self.fails * self._random.uniform(0.5, 1.5)
        for bound in BOUNDS:
            self.within[bound] += requests * (1 - math.exp(-bound / typical_seconds))

    def text(self) -> str:
        """What it exposes."""
        errors = f'shoal_requests_total{{outcome="model_failed"}} {self.failed}'
        lines = [
            "# TYPE shoal_requests_total counter",
            f'shoal_requests_total{{outcome="ok"}} {self.requests - self.failed}',
            *([errors] if self.failed else []),
            "# TYPE shoal_request_seconds histogram",
            *(
                f'shoal_request_seconds_bucket{{le="{bound}"}} {count}'
                for bound, count in self.within.items()
            ),
            f'shoal_request_seconds_bucket{{le="+Inf"}} {self.requests}',
            f"shoal_request_seconds_count {self.requests}",
            "",
        ]
        return "\n".join(lines)


@dataclass
class Traffic:
    """Requests that the weights of a route share out between two versions.

    Attributes:
        client: The cluster.
        namespace: Where the route is.
        old: What the old version counts.
        new: What the new one does.
        a_second: How many requests there are.
    """

    client: Client
    namespace: str
    old: Version
    new: Version
    a_second: float = 1000.0
    _ending: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def running(self) -> Iterator[dict[str, dict[str, str]]]:
        """Shares requests out; gives what Prometheus scrapes, by address."""
        thread = threading.Thread(target=self._share, daemon=True)
        with _exposed(self.old) as old, _exposed(self.new) as new:
            thread.start()
            try:
                yield {
                    address: {"namespace": self.namespace, "service": name}
                    for address, name in ((old, NAME), (new, CANARY))
                }
            finally:
                self._ending.set()
                thread.join()

    def _share(self) -> None:
        before, share = time.monotonic(), 0.0
        while not self._ending.wait(LOOKS_EVERY_SECONDS):
            now = time.monotonic()
            requests = self.a_second * (now - before)
            self.new.take(requests * share, share)
            self.old.take(requests * (1 - share), 1 - share)
            before, share = now, self._new_share(share)

    def _new_share(self, share: float) -> float:
        try:
            route = dict(self.client.get(ROUTE, NAME, namespace=self.namespace))
        except (ApiError, httpx2.HTTPError):
            return share
        found = weights_of(route, (NAME, CANARY))
        return share if isinstance(found, str) else found.percent.get(CANARY, 0) / 100


@contextmanager
def _exposed(version: Version) -> Iterator[str]:
    class Metrics(_Handler):
        def do_GET(self) -> None:
            body = version.text().encode()
            self.send_response(200)
            self.send_header("Content-Type", "text/plain; version=0.0.4")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with _served(Metrics) as address:
        yield address
