"""Where a router sends records: routes and their rules, as `protocol.md` says them.

- A record takes the first route whose rule it meets; a route without `when` takes every record, so
  that it can only be the last.
- A rule is a column with one of `is`, `equals`, `at_least` and `below`; or one of `all`, `any` and
  `not`, over other rules. Rules lie in each other at most 8 deep.
- Whatever is wrong is said with the place where it stands: `routes[0].when.all[1]`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal, TypeAlias

import msgspec

from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Iterator

DEPTH_LIMIT = 8
ROUTES_LIMIT = 256
RULES_LIMIT = 4096
VALUES_LIMIT = 1 << 18

_INTEGERS = range(-(2**63), 2**64)
_WORDS = ("is", "equals", "at_least", "below", "all", "any", "not")

Constant: TypeAlias = bool | int | float | str


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Structs of a router refuse fields that they do not know."""


class Rule(
    _Part,
    frozen=True,
    omit_defaults=True,
    rename={"is_": "is", "all_": "all", "any_": "any", "not_": "not"},
):
    """What a record is asked: one word beside `column`, or one over other rules.

    Attributes:
        column: The column whose value is looked at.
        is_: Of which type the value has to be.
        equals: What it has to be; numbers by value, whatever their type.
        at_least: A number that it must not be below.
        below: A number that it has to be below.
        all_: Rules that it has to meet, all of them.
        any_: Rules of which it has to meet one.
        not_: A rule that it must not meet.
    """

    column: str | None = None
    is_: Literal["integer", "floating", "text", "boolean", "missing"] | None = None
    equals: Constant | None = None
    at_least: int | float | None = None
    below: int | float | None = None
    all_: tuple[Rule, ...] | None = None
    any_: tuple[Rule, ...] | None = None
    not_: Rule | None = None

    def words(self) -> list[str]:
        """The words that it uses, without `column`."""
        values = (self.is_, self.equals, self.at_least, self.below, self.all_, self.any_, self.not_)
        return [word for word, value in zip(_WORDS, values, strict=True) if value is not None]

    def inner(self) -> Iterator[tuple[str, Rule]]:
        """The rules within it, each with its place."""
        for word, rules in (("all", self.all_), ("any", self.any_)):
            for number, rule in enumerate(rules or ()):
                yield f"{word}[{number}]", rule
        if self.not_ is not None:
            yield "not", self.not_

    def __str__(self) -> str:
        """As a person says it."""
        (word,) = self.words()
        if word in ("all", "any"):
            joint = " and " if word == "all" else " or "
            return "(" + joint.join(str(rule) for _, rule in self.inner()) + ")"
        if word == "not":
            return f"not {self.not_}"
        value = self.is_ or msgspec.to_builtins(self)[word]
        return f"{self.column} {word.replace('_', ' ')} {value}"


class Route(_Part, frozen=True, omit_defaults=True):
    """Where records go that meet a rule.

    Attributes:
        model: The name of a model that is served beside the router, or of another router.
        version: Which version; None is whichever answers requests that name none.
        when: The rule; None takes every record.
        rename: The model's name of a column, by the router's.
    """

    model: str
    version: str | None = None
    when: Rule | None = None
    rename: dict[str, str] = {}

    def __str__(self) -> str:
        """As a person says it."""
        target = self.model if self.version is None else f"{self.model} {self.version}"
        names = ", ".join(f"{column} as {name}" for column, name in self.rename.items())
        return f"{self.when or 'every record'} -> {target}{f', {names}' if names else ''}"


def read_routes(given: object) -> tuple[Route, ...]:
    """Reads and checks routes.

    Args:
        given: A list of objects, as in JSON and TOML, or of `Route`.

    Raises:
        InvalidRequestError: they are no routes; the message says where.
    """
    _check_size(given)
    try:
        routes = msgspec.convert(given, tuple[Route, ...])
    except msgspec.ValidationError as error:
        message = f"these are no routes: {str(error).replace('`$', '`routes')}"
        hint = 'A route is {"model": ..., "when": {"column": ..., "is": "integer"}}.'
        raise InvalidRequestError(message, hint=hint) from error
    except RecursionError as error:
        raise _too_deep("routes") from error
    check_routes(routes)
    return routes


def check_routes(routes: tuple[Route, ...]) -> None:
    """Refuses what no router has.

    Raises:
        InvalidRequestError: saying what, and where.
    """
    if not 1 <= len(routes) <= ROUTES_LIMIT:
        message = f"there are {len(routes)} routes, expected 1 to {ROUTES_LIMIT}"
        raise InvalidRequestError(message)
    for number, route in enumerate(routes[:-1]):
        if route.when is None:
            message = f"routes[{number}] takes every record: those behind it are never taken"
            hint = "Say `when`, or let it be the last one."
            raise InvalidRequestError(message, hint=hint)
    left = RULES_LIMIT
    for number, route in enumerate(routes):
        left = _checked(route.when, f"routes[{number}].when", 1, left)


def _check_size(given: object) -> None:
    """Refuses what is too much to look at: a list that stands in many places counts in each."""
    left, inside = VALUES_LIMIT, [given]
    while inside:
        value = inside.pop()
        if isinstance(value, Mapping):
            value = tuple(value.values())
        if isinstance(value, list | tuple | set | frozenset):
            left -= len(value)
            if left < 0:
                raise InvalidRequestError(f"the routes have more than {VALUES_LIMIT} values")
            inside.extend(value)


def _checked(rule: Rule | None, place: str, depth: int, left: int) -> int:
    """How many rules there may be beside this one and those in it, which are sound."""
    if rule is None:
        return left
    if left == 0:
        raise InvalidRequestError(f"there are more than {RULES_LIMIT} rules")
    if depth > DEPTH_LIMIT:
        raise _too_deep(place)
    words = rule.words()
    if len(words) != 1:
        said = ", ".join(words) or "nothing"
        message = f"{place} says {said}; expected one of {', '.join(_WORDS)}"
        raise InvalidRequestError(message, hint="Join several rules with `all` or `any`.")
    if (rule.column is None) == (words[0] in _WORDS[:4]):
        needs = "needs a column" if rule.column is None else "takes no column"
        raise InvalidRequestError(f"{place} says {words[0]}, which {needs}")
    if rule.all_ == () or rule.any_ == ():
        raise InvalidRequestError(f"{place}.{words[0]} has no rules, expected at least one")
    _check_constants(rule, place)
    left -= 1
    for inner, each in rule.inner():
        left = _checked(each, f"{place}.{inner}", depth + 1, left)
    return left


def _check_constants(rule: Rule, place: str) -> None:
    for value in (rule.equals, rule.at_least, rule.below):
        is_endless = isinstance(value, float) and not math.isfinite(value)
        if is_endless or (isinstance(value, int) and value not in _INTEGERS):
            message = f"{place} compares with {value}, expected a finite number of 64 bits"
            raise InvalidRequestError(message)


def _too_deep(place: str) -> InvalidRequestError:
    return InvalidRequestError(f"{place} is nested deeper than {DEPTH_LIMIT} rules")
