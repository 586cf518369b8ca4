"""A control plane of Kubernetes on this machine: etcd, API server, controllers, scheduler.

- Everything listens on 127.0.0.1; the controllers and the scheduler listen on nothing.
- Nodes are played by a `Kubelet`: the test decides what becomes of each Pod.
- Real: schemas, admission (Pod Security, quota), ownership of fields, rollouts, autoscaling,
  garbage collection, roles. Not real: containers, images, probes, network policies.

Source: kubernetes.io/docs/reference/command-line-tools-reference.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import httpx2
from lightkube import ApiError, Client, KubeConfig
from lightkube.models.meta_v1 import ObjectMeta
from lightkube.resources.core_v1 import Namespace, Node, ServiceAccount

from tests.services import SERVICES, end, free_port
from tests.services.kubernetes._identity import MASTERS, Authority
from tests.services.kubernetes._kubelet import Kubelet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

HOST = "127.0.0.1"
READY_WITHIN_SECONDS = 60.0
NODES = ("node-0", "node-1", "node-2")
API_SERVER = "kube-apiserver"
CONTROLLERS = "kube-controller-manager"
SCHEDULER = "kube-scheduler"
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}

OPTIONS = {
    "etcd": (
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-peer-urls=http://{HOST}:0",
    ),
    API_SERVER: (
        f"--bind-address={HOST}",
        # An address that is published nowhere: without one that is no loopback address the server
        # insists on finding a default route.
        "--advertise-address=192.0.2.1",
        "--endpoint-reconciler-type=none",
        f"--tls-cert-file={API_SERVER}.crt",
        f"--tls-private-key-file={API_SERVER}.key",
        "--client-ca-file=ca.crt",
        "--authorization-mode=Node,RBAC",
        "--service-cluster-ip-range=10.0.0.0/20",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=service-account.crt",
        "--service-account-signing-key-file=service-account.key",
    ),
    CONTROLLERS: (
        f"--kubeconfig=system:{CONTROLLERS}.kubeconfig",
        "--root-ca-file=ca.crt",
        "--use-service-account-credentials",
        "--service-account-private-key-file=service-account.key",
        "--horizontal-pod-autoscaler-sync-period=1s",
        "--horizontal-pod-autoscaler-initial-readiness-delay=0s",
        "--horizontal-pod-autoscaler-cpu-initialization-period=0s",
    ),
    SCHEDULER: (f"--kubeconfig=system:{SCHEDULER}.kubeconfig",),
}
CLIENT_OPTIONS = (
    "--leader-elect=false",
    "--secure-port=0",
    "--kube-api-qps=200",
    "--kube-api-burst=400",
)


class ControlPlane:
    """A running control plane.

    Attributes:
        kubeconfig: The file of a user who may do everything.
        client: A client of that user.
        kubelet: What plays the nodes.
    """

    def __init__(self, programs: Path, directory: Path) -> None:
        """Prepares keys and files; nothing runs before `start`."""
        self._programs, self._directory = programs, directory
        self._etcd, self._port = f"http://{HOST}:{free_port()}", free_port()
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._authority = Authority(directory, f"https://{HOST}:{self._port}")
        self._authority.certify(API_SERVER, HOST, "localhost")
        self._authority.certify("service-account")
        self.kubeconfig = self._authority.kubeconfig("admin", MASTERS)
        self.client = _client(self.kubeconfig)
        self.kubelet = Kubelet(_client(self.kubeconfig), NODES)

    def start(self) -> None:
        """Starts all of it, and waits until Pods can run."""
        urls = [f"--{which}-client-urls={self._etcd}" for which in ("listen", "advertise")]
        self._run("etcd", *urls)
        self._run(API_SERVER, f"--etcd-servers={self._etcd}", f"--secure-port={self._port}")
        self._wait("the API server", lambda: self.client.get(Namespace, "default"))
        for name in (CONTROLLERS, SCHEDULER):
            self._authority.kubeconfig(f"system:{name}")
            self._run(name, *CLIENT_OPTIONS)
        self.kubelet.start()
        self._wait("nodes", self._are_nodes_ready)
        self._wait(
            "accounts", lambda: self.client.get(ServiceAccount, "default", namespace="default")
        )

    def stop(self) -> None:
        """Ends all of it, what was started last first."""
        self.kubelet.stop()
        self.client.close()
        while self._processes:
            end(self._processes.popitem()[1])

    def kubeconfig_of(self, user: str) -> Path:
        """The file of a user who may do what roles grant, and nothing before."""
        return self._authority.kubeconfig(user)

    def namespace(self, name: str) -> None:
        """Makes a namespace in which Pod Security `restricted` is enforced."""
        self.client.create(Namespace(metadata=ObjectMeta(name=name, labels=RESTRICTED)))

    def _run(self, name: str, *arguments: str) -> None:
        command = [str(self._programs / name), *OPTIONS[name], *arguments]
        with (self._directory / f"{name}.log").open("wb") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=self._directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        SERVICES.add(self._processes[name].pid)

    def _wait(self, what: str, condition: Callable[[], Any]) -> None:
        """Waits for what fails as long as the servers are not there."""
        ends_at = time.monotonic() + READY_WITHIN_SECONDS
        while True:
            self._check_alive()
            try:
                if condition():
                    return
                reason = "not yet"
            except (ApiError, httpx2.HTTPError) as error:
                reason = str(error)
            if time.monotonic() > ends_at:
                raise RuntimeError(f"{what}: not within {READY_WITHIN_SECONDS} s: {reason}")

    def _check_alive(self) -> None:
        for name, process in self._processes.items():
            if process.poll() is not None:
                log = (self._directory / f"{name}.log").read_text("utf-8", "replace")
                raise RuntimeError(f"{name} ended early:\n{log[-2000:]}")

    def _are_nodes_ready(self) -> bool:
        nodes = list(self.client.list(Node))
        return len(nodes) == len(NODES) and all(map(_is_ready, nodes))


@contextmanager
def running(programs: Path, directory: Path) -> Iterator[ControlPlane]:
    """A control plane while the block runs."""
    plane = ControlPlane(programs, directory)
    try:
        plane.start()
        yield plane
    finally:
        plane.stop()


def _client(kubeconfig: Path) -> Client:
    return Client(KubeConfig.from_file(kubeconfig).get(), trust_env=False)


def _is_ready(node: Node) -> bool:
    """A node is taken for work only once the controllers have taken its taints away."""
    conditions = (node.status.conditions if node.status else None) or []
    is_tainted = bool(node.spec and node.spec.taints)
    return not is_tainted and any(
        each.type == "Ready" and each.status == "True" for each in conditions
    )
