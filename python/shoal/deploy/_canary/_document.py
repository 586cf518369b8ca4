"""What is remembered of a canary in the cluster, so that whoever comes next goes on with it.

- One text of JSON, read strictly: another version of this program that says more is refused.
- It names who acts and for how long that is promised; see `_lease`.
- There is no secret in it: files of secrets are named, not read.
"""

from __future__ import annotations

from typing import Any

import msgspec

from shoal.deploy._canary._analysis import Analysis
from shoal.deploy._canary._machine import Plan, State
from shoal.errors import DeployError

FORMAT = 1


class Document(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A canary.

    Attributes:
        format: The version of this form.
        name: The deployment.
        old: The package that serves, by its digest.
        new: The package that is tried, by its digest.
        settings: The settings of the deployment, as they were read.
        replicas: How many replicas served when it began.
        plan: What was settled before the first step.
        analysis: How the new version is judged.
        state: How far it is.
        description: What the new package says of itself, where answers are compared.
        holder: Who acts; nobody where it is empty.
        written_at: When whoever acts gave the last sign, by its own clock.
    """

    format: int = FORMAT
    name: str
    old: str
    new: str
    settings: dict[str, Any]
    replicas: int
    plan: Plan
    analysis: Analysis
    state: State
    description: str = ""
    holder: str = ""
    written_at: float = 0.0

    @property
    def lease_seconds(self) -> float:
        """How long the holder may be silent."""
        return self.analysis.lease_seconds


class _Form(msgspec.Struct):
    format: int


def write(document: Document) -> str:
    """The text of a document."""
    return msgspec.json.encode(document).decode()


def read(text: str) -> Document:
    """Reads what is remembered.

    Raises:
        DeployError: it is not of a form that is known here.
    """
    hint = "Go on with the version of Shoal that began it."
    try:
        found = msgspec.json.decode(text, type=_Form).format
        if found != FORMAT:
            message = f"the canary is remembered in form {found}, expected {FORMAT}"
            raise DeployError(message, hint=hint)
        return msgspec.json.decode(text, type=Document)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise DeployError(f"what is remembered cannot be read: {error}", hint=hint) from None
