"""What would change, as text a person reads: two objects as YAML, line by line.

- What the API server itself writes is left out: status, versions, who owns what.
- No secret is shown: the content of a Secret, and the value of an environment variable whose name
  says that it is one. A mark stands for it that is another for another value; it tells no more, as
  its key is drawn anew by every process.
"""

from __future__ import annotations

import difflib
import hashlib
import re
import secrets
from typing import Any

import yaml  # type: ignore[import-untyped]  # ships no types

SERVERS_OWN = {"creationTimestamp", "generation", "managedFields", "resourceVersion", "uid"}
CONTROLLERS_OWN = "deployment.kubernetes.io/"
SECRET_NAME = re.compile(r"token|password|passwd|secret|api_?key|credential", re.IGNORECASE)
HEADERS = 2  # lines of a unified difference that name files
_KEY = secrets.token_bytes(32)


def difference(before: dict[str, Any] | None, after: dict[str, Any] | None) -> str:
    """A unified difference of two objects; empty where they are equal.

    Args:
        before: The object as it is; None where there is none.
        after: As it would be; None where it would be taken away.
    """
    lines = difflib.unified_diff(_lines(before), _lines(after), n=3, lineterm="")
    return "\n".join(list(lines)[HEADERS:])


def _lines(content: dict[str, Any] | None) -> list[str]:
    if content is None:
        return []
    shown = _masked(_shown(content), is_secret=content.get("kind") == "Secret")
    text: str = yaml.safe_dump(shown, width=100)
    return text.splitlines()


def _shown(content: dict[str, Any]) -> dict[str, Any]:
    """An object without what servers and controllers write."""
    metadata = {key: each for key, each in content["metadata"].items() if key not in SERVERS_OWN}
    if notes := metadata.pop("annotations", None):
        notes = {key: note for key, note in notes.items() if not key.startswith(CONTROLLERS_OWN)}
        metadata.update({"annotations": notes} if notes else {})
    shown = {key: value for key, value in content.items() if key != "status"}
    return {**shown, "metadata": metadata}


def _masked(value: Any, *, is_secret: bool) -> Any:
    if isinstance(value, list):
        return [_masked(each, is_secret=is_secret) for each in value]
    if not isinstance(value, dict):
        return value
    is_variable = SECRET_NAME.search(str(value.get("name", ""))) is not None
    return {
        key: _hidden(each)
        if (is_secret and key in {"data", "stringData"}) or (is_variable and key == "value")
        else _masked(each, is_secret=is_secret)
        for key, each in value.items()
    }


def _hidden(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hidden(each) for key, each in value.items()}
    mark = hashlib.blake2b(str(value).encode(), key=_KEY, digest_size=3).hexdigest()
    return f"*** ({mark})"
