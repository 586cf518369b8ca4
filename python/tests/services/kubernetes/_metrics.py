"""A number that an autoscaler reads, without a monitoring system: an object of the metrics API.

- The controllers list external metrics through the API server; where a kind of that group is
  defined, plain objects of it are what they find.

Source: kubernetes.io/docs/tasks/run-application/horizontal-pod-autoscale (external metrics);
kubernetes/metrics, external_metrics v1beta1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightkube.core.resource import ApiInfo, ResourceDef
from lightkube.generic_resource import GenericNamespacedResource

from tests.services.definitions import install

if TYPE_CHECKING:
    from lightkube import Client

GROUP, VERSION, KIND = "external.metrics.k8s.io", "v1beta1", "ExternalMetricValue"
ANYTHING = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


class Metric:
    """One external metric, by a name that is a DNS label."""

    def __init__(self, client: Client, name: str) -> None:
        """Defines its kind."""
        self._client, self._name = client, name
        install(client, [_definition(name)])
        info = ApiInfo(ResourceDef(GROUP, VERSION, KIND), name, ["patch"])
        self._kind: Any = type(KIND, (GenericNamespacedResource,), {"_api_info": info})

    def say(self, namespace: str, value: str, labels: dict[str, str]) -> None:
        """From now on the metric has this value in a namespace; a quantity such as 40 or 250m."""
        content = {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": KIND,
            "metadata": {"name": "value", "namespace": namespace, "labels": labels},
            "metricName": self._name,
            "metricLabels": labels,
            "timestamp": "2026-01-01T00:00:00Z",
            "value": value,
        }
        self._client.apply(self._kind(**content), field_manager="metrics", force=True)


def _definition(name: str) -> dict[str, Any]:
    approved = "unapproved, a double of what serves external metrics"
    version = {"name": VERSION, "served": True, "storage": True}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {
            "name": f"{name}.{GROUP}",
            "annotations": {"api-approved.kubernetes.io": approved},
        },
        "spec": {
            "group": GROUP,
            "scope": "Namespaced",
            "names": {"plural": name, "kind": KIND, "listKind": f"{KIND}List"},
            "versions": [{**version, "schema": {"openAPIV3Schema": ANYTHING}}],
        },
    }
