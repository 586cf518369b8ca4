"""How a package came to be: what it was made of, by what, and how good it is.

- Records are named by the digest of their content, code by its commit, libraries by version.
- What was done, and how good it is, is JSON of whoever trains.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

import msgspec

from shoal.train._private._spent import PrivacySpent


class Data(msgspec.Struct, frozen=True, kw_only=True):
    """Records that were used.

    Attributes:
        name: What they are called, such as `customers` or `held-out`.
        digest: `sha256:` and the digest of their content, as `Dataset.digest` gives it.
        rows: How many there are, where that is said.
    """

    name: str
    digest: str
    rows: int | None = None


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A revision of code.

    Attributes:
        commit: The full name of the commit.
        changed: Whether files that git knows differ from it, or files lie there that it does not
            know: then the commit alone does not say what ran.
    """

    commit: str
    changed: bool


class Environment(msgspec.Struct, frozen=True, kw_only=True):
    """What computed.

    Attributes:
        python: The version of Python.
        platform: The system and its processor.
        distributions: The version of each distribution that matters, by name.
        lock: `sha256:` and the digest of a file that locks all of them, where there is one.
    """

    python: str
    platform: str
    distributions: dict[str, str]
    lock: str | None = None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """How a package came to be.

    Attributes:
        plan: What was done, as JSON: whoever trains decides what is in it.
        data: The records that were used.
        environment: What computed.
        code: The revision of the code that trained; None where it is not in a repository.
        seed: What random choices followed from; None where nothing was drawn, or in private.
        metrics: How good it is, as JSON.
        privacy: What was spent of a privacy budget; None where training was not private.
        report: `sha256:` and the digest of the report, where there is one.
        finished_at: When it was done.
    """

    plan: Any
    data: tuple[Data, ...]
    environment: Environment
    code: Code | None = None
    seed: int | None = None
    metrics: Any = None
    privacy: PrivacySpent | None = None
    report: str | None = None
    finished_at: datetime | None = None
