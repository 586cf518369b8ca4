"""A thin Helm chart of rendered objects: three values, and templates that nobody maintains.

- `image`, `replicas` and `namespace` can be given; all else is as it was rendered.
- The value takes the place of what was rendered in the fields that hold it, and of the namespace
  also where questions to Prometheus and names of hosts hold it.
- What the Deployment says of its settings is left out: they are those of other values.
- `image` is that of Shoal; a container that a patch has added keeps its own.
- What looks like a template in an object, such as a label in an alert, is kept as it is.

Source: Helm, "Charts" (apiVersion v2).
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

_DEPLOYMENT = "shoal.io/deployment"
SETTINGS = "shoal.io/settings"
# How many replicas there are, or at least are, by kind.
_REPLICAS = {
    "Deployment": ("spec", "replicas"),
    "HorizontalPodAutoscaler": ("spec", "minReplicas"),
    "ScaledObject": ("spec", "minReplicaCount"),
    "InferenceService": ("spec", "predictor", "minReplicas"),
}
# What Shoal's own containers are called.
CONTAINERS = frozenset({"server", "kserve-container", "train"})
_BRACES = re.compile(r"\{\{|\}\}")


def chart_files(
    contents: Mapping[str, dict[str, Any]], to_yaml: Callable[[Any], str]
) -> dict[str, str]:
    """The files of the chart, by their paths in it.

    Args:
        contents: The objects, by the names of their files.
        to_yaml: Writes values as YAML.
    """
    stated = next(iter(contents.values()))["metadata"]
    chart = {
        "apiVersion": "v2",
        "name": stated["labels"][_DEPLOYMENT],
        "version": "0.1.0",
        "type": "application",
        "description": "Written by shoal deploy; the objects are those beside the chart.",
    }
    values: dict[str, Any] = {"namespace": stated["namespace"]}
    if (image := _image(list(contents.values()))) is not None:
        values["image"] = image
    templates = {}
    for name, content in contents.items():
        marked = _marked(content, values)
        templates[f"templates/{name}"] = _as_template(to_yaml(marked))
    return {"Chart.yaml": to_yaml(chart), "values.yaml": to_yaml(values), **templates}


def _marked(content: dict[str, Any], values: dict[str, Any]) -> dict[str, Any]:
    """An object with marks where values go; the values are gathered."""
    namespace = content["metadata"]["namespace"]
    marked: dict[str, Any] = _with_marks(content, namespace, values)
    marked["metadata"].get("annotations", {}).pop(SETTINGS, None)
    path = _REPLICAS.get(content["kind"])
    is_stable = content["metadata"]["name"] == content["metadata"]["labels"][_DEPLOYMENT]
    if path is not None and is_stable:
        _mark_replicas(marked, path, values)
    return marked


def _mark_replicas(marked: Any, path: tuple[str, ...], values: dict[str, Any]) -> None:
    *parents, last = path
    for key in parents:
        marked = marked[key]
    if last in marked:
        values["replicas"] = marked[last]
        marked[last] = _mark("replicas")


def _with_marks(value: Any, namespace: str, values: dict[str, Any], key: str = "") -> Any:
    if isinstance(value, dict):
        return {name: _with_marks(each, namespace, values, name) for name, each in value.items()}
    if isinstance(value, list):
        return [_with_marks(each, namespace, values, key) for each in value]
    if not isinstance(value, str):
        return value
    if key == "image" and value == values.get("image"):
        return _mark("image")
    if key in {"namespace", "kubernetes.io/metadata.name"} and value == namespace:
        return _mark("namespace")
    return _inside(value, namespace, key)


def _image(value: Any) -> str | None:
    """The image of Shoal, of the first of its containers."""
    if isinstance(value, dict) and value.get("name") in CONTAINERS and "image" in value:
        return str(value["image"])
    below = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return next(filter(None, map(_image, below)), None)


def _inside(value: str, namespace: str, key: str) -> str:
    """A text with marks where it names the namespace: in questions, names of hosts, of Gateways."""
    mark = _mark("namespace")
    for before, after in (('namespace="', '"'), ('namespace=\\"', '\\"'), (".", ".svc")):
        value = value.replace(f"{before}{namespace}{after}", f"{before}{mark}{after}")
    is_gateway = key == "gateways" and value.startswith(f"{namespace}/")
    return mark + value.removeprefix(namespace) if is_gateway else value


def _mark(name: str) -> str:
    return f"SHOAL-VALUE-{name}"


def _as_template(text: str) -> str:
    escaped = _BRACES.sub(lambda braces: f"{{{{ {_quoted(braces[0])} }}}}", text)
    # A namespace may be called 2024 or true: where it is all of a value, it is written as text.
    whole = re.sub(r"(?m): SHOAL-VALUE-namespace$", ": {{ .Values.namespace | quote }}", escaped)
    return re.sub(r"SHOAL-VALUE-(\w+)", r"{{ .Values.\1 }}", whole)


def _quoted(braces: str) -> str:
    return f'"{braces}"'
