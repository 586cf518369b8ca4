"""Objects as files: plain YAML, a kustomization and a Helm chart of the same objects.

    DIR/
    ├─ kustomization.yaml     kubectl apply -k DIR
    ├─ objects/*.yaml         kubectl apply -f DIR/objects
    └─ chart/                 helm install NAME DIR/chart

- One object a file. A file's name does not change with the content of its object, so that a review
  shows what changed.
- The folder is new, empty, or holds what was written here before, which is replaced: of an object
  that is no longer rendered, no file stays.
- Nothing half-written is left: each part is written beside its place and then renamed.
"""

from __future__ import annotations

import re
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml  # type: ignore[import-untyped]  # ships no types

from shoal.deploy._objects._chart import chart_files
from shoal.errors import PathError, StorageError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

_MARK = "# Written by `shoal deploy`, which replaces objects/ and chart/.\n"
_KUSTOMIZATION = "kustomization.yaml"
_PARTS = ("objects", "chart")
_HASH = re.compile(r"-[0-9a-f]{10}$")
_SHOAL = "shoal.io/deployment"
# What readers written in Go take for a number or a truth, though PyYAML would not: a digest may
# begin with 12345678e123. Source: go-yaml, resolve.go.
_OTHERWISE = re.compile(r"[-+]?(\.\d+|\d+(\.\d*)?)([eE][-+]?\d+)?|[-+]?0[oO]?[0-7_]+|[yYnN]")


class _Writer(getattr(yaml, "CSafeDumper", yaml.SafeDumper)):  # type: ignore[misc]  # its base is found at run time
    """YAML as people write it: texts of several lines as such, lists further in."""


def _as_text(writer: Any, text: str) -> Any:
    style = "|" if "\n" in text else "'" if _OTHERWISE.fullmatch(text) else None
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _as_text)


def to_yaml(content: Any) -> str:
    """YAML of an object; the same object gives the same text."""
    text: str = yaml.dump(
        content, Dumper=_Writer, sort_keys=False, default_flow_style=False, width=1000
    )
    return text


def file_names(objects: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """Objects as plain values by the names of their files, in order."""
    contents = [_ordered(each.to_dict()) for each in objects]
    return {_file_name(each): each for each in contents}


def write(objects: Iterable[Any], directory: str | os.PathLike[str]) -> tuple[Path, ...]:
    """Writes objects as plain YAML, with a kustomization and a chart of the same.

    Args:
        objects: What `render` or `render_job` gave.
        directory: Where to; see above.

    Returns:
        The files of objects, in the order in which they are applied.

    Raises:
        PathError: the directory holds something else.
        StorageError: it cannot be written.
    """
    place, contents = Path(directory), file_names(objects)
    texts = {name: to_yaml(content) for name, content in contents.items()}
    resources = [f"objects/{name}" for name in contents]
    kustomization = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
    }
    parts = {"objects": texts, "chart": chart_files(contents, to_yaml)}
    _check(place)
    try:
        place.mkdir(parents=True, exist_ok=True)
        (place / _KUSTOMIZATION).write_text(_MARK + to_yaml(kustomization), encoding="utf-8")
        for part in _PARTS:
            _replace(place, part, parts[part])
    except OSError as error:
        message = f"{place} cannot be written: {error.strerror or error}"
        raise StorageError(message) from error
    return tuple(place / name for name in resources)


def _check(place: Path) -> None:
    if not place.exists():
        return
    if not place.is_dir():
        message = f"{place} is not a directory"
        raise PathError(message)
    mark = place / _KUSTOMIZATION
    is_ours = mark.is_file() and mark.read_bytes().startswith(_MARK.encode())
    if not is_ours and any(place.iterdir()):
        message = f"{place} holds what `shoal deploy` has not written"
        raise PathError(message, hint="Name a directory that is new, empty, or of an earlier run.")


def _replace(place: Path, part: str, texts: Mapping[str, str]) -> None:
    with tempfile.TemporaryDirectory(dir=place, prefix=".new-") as beside:
        new, old = Path(beside, part), Path(beside, "old")
        for name, text in texts.items():
            file = new / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        if (place / part).exists():
            (place / part).rename(old)
        new.rename(place / part)
        shutil.rmtree(old, ignore_errors=True)


def _file_name(content: dict[str, Any]) -> str:
    """`KIND.yaml`, with what follows the deployment's name in the object's, without a hash."""
    stated = content["metadata"]
    rest = _HASH.sub("", stated["name"].removeprefix(stated["labels"][_SHOAL]))
    return f"{content['kind'].lower()}{rest}.yaml"


def _ordered(content: dict[str, Any]) -> dict[str, Any]:
    """Kind and name first, as people write them; then the other keys by their names."""
    first = {key: content[key] for key in ("apiVersion", "kind", "metadata")}
    return {**_sorted(first, keep=True), **_sorted({**content, **first}, without=first)}


def _sorted(content: dict[str, Any], *, keep: bool = False, without: Any = ()) -> dict[str, Any]:
    keys = content if keep else sorted(content)
    return {key: _sorted_value(content[key]) for key in keys if key not in without}


def _sorted_value(value: Any) -> Any:
    if isinstance(value, dict):
        # What something is called stands before what it is.
        keys = sorted(value, key=lambda key: (key != "name", key))
        return {key: _sorted_value(value[key]) for key in keys}
    if isinstance(value, list):
        return [_sorted_value(each) for each in value]
    return value
