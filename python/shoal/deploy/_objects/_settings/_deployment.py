"""What is deployed, and how: the settings of one deployment.

    name = "digits"
    namespace = "models"
    package = "oci://registry.example.org/digits@sha256:..."
    image = "registry.example.org/shoal@sha256:..."   # the runtime
    replicas = 2                       # with autoscaling: the least of them
    target = "plain"                   # or "keda", "kserve", "istio"
    cluster = "1.36"                   # the version of Kubernetes
    cpu = "2"
    memory = "2Gi"
    patches = ["node-pool.yaml"]       # how any field is overridden

    [autoscaling]                      # on the time that records wait, never on CPU
    max_replicas = 10
    queue_wait_rows = 0.4

    [route]
    gateway = "public"
    hostname = "digits.example.org"

    [server]                           # options of `shoal serve`
    latency_target_ms = 50

- A setting that exists can be rendered: what does not go together is refused here, by name.
- 0 replicas answer nobody. They make sense only where something else than waiting records brings
  the first one back: with target `keda` and `autoscaling.wake_query`.
"""

from __future__ import annotations

import msgspec

from shoal.deploy._objects._settings._names import (
    KSERVE_NAME_LIMIT,
    check_host,
    check_name,
    check_namespace,
    check_object_name,
)
from shoal.deploy._objects._settings._patch import Patch
from shoal.deploy._objects._settings._quantities import quantity
from shoal.deploy._objects._settings._references import Reference, read_reference
from shoal.deploy._objects._settings._versions import DEFAULT, read_version
from shoal.errors import ConfigurationError

TARGETS = ("plain", "keda", "kserve", "istio")
LEAST_MEMORY_BYTES = 128 * 2**20
_REPLICAS_LIMIT = 10_000
_GRACE_LIMIT_SECONDS = 86_400


class Autoscaling(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """When there are more replicas, and when fewer.

    Attributes:
        max_replicas: The most of them.
        queue_wait_rows: How long records may wait on average, counted in micro-batches of one row;
            replicas are added above it. The same suits every model.
        quiet_seconds: How long it must have been less before replicas are taken away.
        wake_query: A query of Prometheus that is above 0 when there is work, such as the requests
            that a gateway has got: with target `keda`, no replica needs to run without it.
    """

    max_replicas: int
    queue_wait_rows: float = 0.4
    quiet_seconds: int = 300
    wake_query: str | None = None


class Route(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How requests from outside come in.

    Attributes:
        gateway: The Gateway: of the Gateway API, or with target `istio` one of Istio.
        gateway_namespace: Its namespace; None for the deployment's own.
        hostname: The host that requests name; None for all that the Gateway takes.
    """

    gateway: str
    gateway_namespace: str | None = None
    hostname: str | None = None


class Canary(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Another package that answers a share of the requests.

    Attributes:
        package: The package, by its digest.
        weight_percent: Its share.
        replicas: How many of its own it has.
    """

    package: str
    weight_percent: int
    replicas: int = 1

    @property
    def content(self) -> Reference:
        """The package, by its digest."""
        return read_reference(self.package, "canary.package")


class Monitoring(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Who watches, and from when on somebody is told.

    Attributes:
        prometheus_namespace: From where Prometheus asks for metrics.
        prometheus_address: Where KEDA asks Prometheus: `http://prometheus.monitoring:9090`.
        error_share: The share of requests that may fail by the server's fault.
        p99_ms: The time within which 99 of 100 requests are answered.
        queue_wait_ms: How long records may wait on average.
    """

    prometheus_namespace: str = "monitoring"
    prometheus_address: str | None = None
    error_share: float = 0.005
    p99_ms: float = 500.0
    queue_wait_ms: float = 200.0


class Deployment(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What is deployed, and how.

    Attributes:
        name: What it is called; what is named after it begins so.
        namespace: Where its objects are.
        package: The package: `oci://HOST/NAME@sha256:...`.
        image: The runtime that serves it: `HOST/NAME@sha256:...`.
        replicas: How many; with autoscaling, the least of them.
        target: What the cluster has: nothing beyond Kubernetes and the Gateway API (`plain`), KEDA,
            KServe, or Istio.
        cluster: The version of Kubernetes that it is rendered for.
        cpu: Cores that each replica is given, and from which its threads follow; it may use more.
        memory: Memory of each replica, requested and at most.
        allow_code: Whether a package whose runtime is `python` may run its code.
        drain_seconds: How long a replica may take to answer what it has accepted.
        start_seconds: How long a replica may take until it answers.
        pull_secret: A Secret of type `kubernetes.io/dockerconfigjson`: credentials of registries.
        clients: Namespaces that may call it beside the Gateway's; without any and without a route,
            the deployment's own.
        server: Options of `shoal serve`, as fields of `shoal.serve.Options`.
        autoscaling: When there are more replicas; None for as many as said.
        route: How requests from outside come in; None if none do.
        canary: Another package that answers a share; None for none.
        monitoring: Who watches.
        patches: How fields are overridden.
    """

    name: str
    namespace: str
    package: str
    image: str
    replicas: int = 2
    target: str = "plain"
    cluster: str = DEFAULT
    cpu: str = "1"
    memory: str = "2Gi"
    allow_code: bool = False
    drain_seconds: int = 90
    start_seconds: int = 150
    pull_secret: str | None = None
    clients: tuple[str, ...] = ()
    server: dict[str, bool | int | float | str] = {}
    autoscaling: Autoscaling | None = None
    route: Route | None = None
    canary: Canary | None = None
    monitoring: Monitoring = Monitoring()
    patches: tuple[Patch, ...] = ()

    def __post_init__(self) -> None:
        """Refuses what cannot be rendered.

        Raises:
            ConfigurationError: naming the setting, its value and what was expected.
        """
        _check_target(self.target)
        _check_names(self)
        _check_sizes(self)
        _check_replicas(self)
        _check_monitoring(self.monitoring)
        if self.route is not None:
            _check_route(self, self.route)
        if self.canary is not None:
            _check_canary(self, self.canary)

    @property
    def content(self) -> Reference:
        """The package, by its digest."""
        return read_reference(self.package, "package")

    @property
    def runtime(self) -> Reference:
        """The image that serves it, by its digest."""
        return read_reference(self.image, "image")

    @property
    def version(self) -> tuple[int, int]:
        """The version of Kubernetes."""
        return read_version(self.cluster)


def _check_target(target: str) -> None:
    if target not in TARGETS:
        message = f"target is {target!r}, expected {', '.join(TARGETS[:-1])} or {TARGETS[-1]}"
        raise ConfigurationError(message, hint="plain needs nothing beyond Kubernetes itself.")


def _check_names(asked: Deployment) -> None:
    if asked.target == "kserve":
        check_name(asked.name, KSERVE_NAME_LIMIT, "isvc.NAME-predictor of KServe")
    check_name(asked.name)
    check_namespace(asked.namespace)
    for client in asked.clients:
        check_namespace(client, "clients")
    if asked.pull_secret is not None:
        check_object_name(asked.pull_secret, "pull_secret")
    read_reference(asked.package, "package")
    read_reference(asked.image, "image")
    read_version(asked.cluster)


def _check_sizes(asked: Deployment) -> None:
    quantity(asked.cpu, "cpu")
    if quantity(asked.memory, "memory") < LEAST_MEMORY_BYTES:
        message = f"memory is {asked.memory!r}, expected at least {LEAST_MEMORY_BYTES >> 20}Mi"
        raise ConfigurationError(message, hint="The server itself takes most of that.")
    for field in ("drain_seconds", "start_seconds"):
        if not 1 <= (seconds := getattr(asked, field)) <= _GRACE_LIMIT_SECONDS:
            message = f"{field} is {seconds}, expected 1 to {_GRACE_LIMIT_SECONDS}"
            raise ConfigurationError(message)


def _check_replicas(asked: Deployment) -> None:
    scaling = asked.autoscaling
    wakes = asked.target == "keda" and scaling is not None and scaling.wake_query is not None
    least = 0 if wakes else 1
    if not least <= asked.replicas <= _REPLICAS_LIMIT:
        message = f"replicas is {asked.replicas}, expected {least} to {_REPLICAS_LIMIT}"
        hint = "None at all makes sense only with target keda and autoscaling.wake_query."
        raise ConfigurationError(message, hint=None if asked.replicas else hint)
    if scaling is not None:
        _check_autoscaling(asked, scaling)
    elif asked.target == "keda":
        message = "target is keda, but nothing says how it scales"
        raise ConfigurationError(message, hint="Give autoscaling.max_replicas (--max-replicas).")


def _check_autoscaling(asked: Deployment, scaling: Autoscaling) -> None:
    if not max(asked.replicas, 1) <= scaling.max_replicas <= _REPLICAS_LIMIT:
        message = f"autoscaling.max_replicas is {scaling.max_replicas}, expected"
        raise ConfigurationError(f"{message} {max(asked.replicas, 1)} to {_REPLICAS_LIMIT}")
    if not 0.001 <= scaling.queue_wait_rows <= 1000:  # noqa: PLR2004 - a quantity of thousandths
        message = (
            f"autoscaling.queue_wait_rows is {scaling.queue_wait_rows}, expected 0.001 to 1000"
        )
        raise ConfigurationError(message)
    if not 0 <= scaling.quiet_seconds <= 3600:  # noqa: PLR2004 - as Kubernetes has it
        message = f"autoscaling.quiet_seconds is {scaling.quiet_seconds}, expected 0 to 3600"
        raise ConfigurationError(message)
    if scaling.wake_query is not None and asked.target != "keda":
        message = f"autoscaling.wake_query needs target keda, target is {asked.target}"
        raise ConfigurationError(message)
    if asked.target in {"keda", "kserve"} and asked.monitoring.prometheus_address is None:
        message = f"target {asked.target} scales by what Prometheus says, but not where it is"
        hint = "Give monitoring.prometheus_address: http://prometheus.monitoring:9090."
        raise ConfigurationError(message, hint=hint)


def _check_monitoring(asked: Monitoring) -> None:
    check_namespace(asked.prometheus_namespace, "monitoring.prometheus_namespace")
    address = asked.prometheus_address
    if address is not None and not (address.startswith(("http://", "https://"))):
        message = "monitoring.prometheus_address does not begin with http:// or https://"
        hint = "Such as http://prometheus.monitoring:9090."
        raise ConfigurationError(message, hint=hint)
    if address is not None and "@" in address:
        message = "monitoring.prometheus_address holds credentials; objects would show them"
        raise ConfigurationError(message, hint="Use a TriggerAuthentication, added by a patch.")
    if not 0 < asked.error_share < 1:
        message = f"monitoring.error_share is {asked.error_share}, expected between 0 and 1"
        raise ConfigurationError(message)
    for field in ("p99_ms", "queue_wait_ms"):
        if not 0 < getattr(asked, field) <= 5000:  # noqa: PLR2004 - the last bucket of the server
            message = f"monitoring.{field} is {getattr(asked, field)}, expected above 0, up to 5000"
            raise ConfigurationError(message)


def _check_route(asked: Deployment, route: Route) -> None:
    if asked.target == "kserve":
        message = "a route does not go with target kserve, which makes its own"
        raise ConfigurationError(message, hint="Leave `route` out, or take another target.")
    check_object_name(route.gateway, "route.gateway")
    if route.gateway_namespace is not None:
        check_namespace(route.gateway_namespace, "route.gateway_namespace")
    if route.hostname is not None:
        check_host(route.hostname, "route.hostname")
    elif asked.target == "istio":
        message = "route.hostname is missing: Istio takes no route of all hosts within its mesh"
        raise ConfigurationError(message, hint="Give route.hostname (--hostname).")


def _check_canary(asked: Deployment, canary: Canary) -> None:
    if asked.target == "kserve" or (asked.route is None and asked.target != "istio"):
        message = f"a canary of target {asked.target} has no route that could share requests out"
        hint = "Name a Gateway (route.gateway), or take target istio."
        raise ConfigurationError(message, hint=hint)
    read_reference(canary.package, "canary.package")
    if not 0 <= canary.weight_percent <= 100:  # noqa: PLR2004 - percent
        message = f"canary.weight_percent is {canary.weight_percent}, expected 0 to 100"
        raise ConfigurationError(message)
    if not 1 <= canary.replicas <= _REPLICAS_LIMIT:
        message = f"canary.replicas is {canary.replicas}, expected 1 to {_REPLICAS_LIMIT}"
        raise ConfigurationError(message)
