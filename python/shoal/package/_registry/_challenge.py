"""How a registry says what credentials it wants: the header WWW-Authenticate, read.

Source: RFC 9110, 11.6.1; https://distribution.github.io/distribution/spec/auth/token/.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

_LIMIT = 8192
_WORD = r"[A-Za-z0-9!#$%&'*+.^_`|~-]+"
_PART = re.compile(
    rf"""\s*,?\s*(?:
        (?P<name>{_WORD})\s*=\s*(?:"(?P<quoted>(?:[^"\\]|\\.)*)"|(?P<plain>{_WORD}))
        |(?P<scheme>{_WORD})(?=\s|,|$)
    )""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Challenge:
    """One way to say who one is.

    Attributes:
        scheme: `basic`, `bearer`, or another, in small letters.
        parameters: What is said of it, by name in small letters.
    """

    scheme: str
    parameters: dict[str, str]


def read_challenges(values: Iterable[str]) -> list[Challenge]:
    """The challenges of an answer, in their order; what is none is left out."""
    found: list[Challenge] = []
    for value in values:
        found += _challenges(value[:_LIMIT])
    return found


def _challenges(value: str) -> list[Challenge]:
    found: list[Challenge] = []
    for part in _PART.finditer(value):
        if part["scheme"]:
            found.append(Challenge(part["scheme"].lower(), {}))
        elif found:
            quoted = part["quoted"]
            text = part["plain"] if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
            found[-1].parameters.setdefault(part["name"].lower(), text)
    return found
