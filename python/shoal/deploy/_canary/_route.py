"""How a route shares requests out: read back from the object in the cluster. No input or output.

- A share is that of all rules that lead to the deployment; rules that share out differently are
  told as such, not as an average.
- A Gateway that has not looked at the newest form of a route has not accepted it.

Source: Gateway API v1, "HTTPRoute", RouteParentStatus; Istio, "Virtual Service".
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec

from shoal.deploy._canary._machine import CanaryWeights

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_WHOLE = 100


class Acceptance(msgspec.Struct, frozen=True):
    """What Gateways say of a route.

    Attributes:
        accepted_by: How many have accepted it as it is.
        refusals: Why others have not.
    """

    accepted_by: int
    refusals: tuple[str, ...]


def weights_of(route: Mapping[str, Any], names: tuple[str, ...]) -> CanaryWeights | str:
    """The share of each Service, in percent, or why there is none.

    Args:
        route: An HTTPRoute or a VirtualService.
        names: The Services that requests are shared out to.
    """
    found = {
        tuple(sorted(shares.items()))
        for rule in _rules(route)
        if (shares := _shares(rule)) and set(shares) & set(names)
    }
    if not found:
        return "no rule of it leads to the deployment"
    if len(found) > 1:
        return "its rules share requests out differently"
    shares = dict(found.pop())
    total = sum(shares.values())
    if not total:
        return "all its weights are 0"
    return CanaryWeights({name: round(_WHOLE * share / total) for name, share in shares.items()})


def acceptance_of(route: Mapping[str, Any]) -> Acceptance | None:
    """What Gateways say of a route as it is; None where its kind does not tell."""
    if route.get("kind") != "HTTPRoute":
        return None
    generation = (route.get("metadata") or {}).get("generation")
    accepted, refusals = 0, []
    for parent in (route.get("status") or {}).get("parents") or []:
        conditions = {
            each["type"]: each
            for each in parent.get("conditions") or []
            if each.get("observedGeneration", generation) == generation
        }
        words = [conditions.get(word, {}) for word in ("Accepted", "ResolvedRefs")]
        if all(each.get("status") == "True" for each in words):
            accepted += 1
        name = (parent.get("parentRef") or {}).get("name", "a Gateway")
        refusals += [
            f"{name} says {each.get('reason')}: {each.get('message')}"
            for each in words
            if each.get("status") == "False"
        ]
    return Acceptance(accepted, tuple(refusals))


def _rules(route: Mapping[str, Any]) -> list[dict[str, Any]]:
    spec = route.get("spec") or {}
    key = "rules" if route.get("kind") == "HTTPRoute" else "http"
    found: list[dict[str, Any]] | None = spec.get(key)
    return found or []


def _shares(rule: dict[str, Any]) -> dict[str, int]:
    shares: dict[str, int] = {}
    for name, weight in _backends(rule):
        shares[name] = shares.get(name, 0) + weight
    return shares


def _backends(rule: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """The Services of a rule; without a weight HTTPRoute counts 1, a lone route of Istio all."""
    for backend in rule.get("backendRefs") or []:
        yield backend["name"], backend.get("weight", 1)
    routes = rule.get("route") or []
    for each in routes:
        lone = 1 if len(routes) == 1 else 0
        yield each["destination"]["host"].partition(".")[0], each.get("weight", lone)
