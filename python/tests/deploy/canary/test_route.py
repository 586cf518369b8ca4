"""How requests are shared out, read back from a route."""

from __future__ import annotations

from typing import Any

import pytest

from shoal.deploy._canary._machine import CanaryWeights
from shoal.deploy._canary._route import Acceptance, acceptance_of, weights_of

NAMES = ("digits", "digits-canary")


def http_route(*rules: dict[str, int | None], **more: Any) -> dict[str, Any]:
    spec = {
        "rules": [
            {
                "backendRefs": [
                    {"name": name, "port": 8000} | ({} if weight is None else {"weight": weight})
                    for name, weight in rule.items()
                ]
            }
            for rule in rules
        ]
    }
    return {"kind": "HTTPRoute", "metadata": {"generation": 3}, "spec": spec, **more}


def virtual_service(*rules: dict[str, int | None]) -> dict[str, Any]:
    spec = {
        "http": [
            {
                "route": [
                    {"destination": {"host": f"{name}.models.svc.cluster.local"}}
                    | ({} if weight is None else {"weight": weight})
                    for name, weight in rule.items()
                ]
            }
            for rule in rules
        ]
    }
    return {"kind": "VirtualService", "spec": spec}


@pytest.mark.parametrize("kind", [http_route, virtual_service], ids=["HTTPRoute", "VirtualService"])
def test_the_share_of_each_service_is_read(kind: Any) -> None:
    both = {"digits": 75, "digits-canary": 25}
    assert weights_of(kind(both, both), NAMES) == CanaryWeights(both)
    assert weights_of(kind({"digits": None}), NAMES) == CanaryWeights({"digits": 100})
    nothing = {"digits": 100, "digits-canary": 0}
    assert weights_of(kind(nothing), NAMES) == CanaryWeights(nothing)
    assert weights_of(kind({"digits": 3, "digits-canary": 1}, {"docs": 1}), NAMES) == CanaryWeights(
        both
    )


@pytest.mark.parametrize("kind", [http_route, virtual_service], ids=["HTTPRoute", "VirtualService"])
def test_a_route_without_one_share_says_why(kind: Any) -> None:
    assert weights_of(kind({"docs": 1}), NAMES) == "no rule of it leads to the deployment"
    assert weights_of(kind(), NAMES) == "no rule of it leads to the deployment"
    assert weights_of(kind({"digits": 0}), NAMES) == "all its weights are 0"
    parts = kind({"digits": 75, "digits-canary": 25}, {"digits": 1})
    assert weights_of(parts, NAMES) == "its rules share requests out differently"


def condition(word: str, status: str, generation: int = 3) -> dict[str, Any]:
    return {
        "type": word,
        "status": status,
        "reason": "BackendNotFound" if status == "False" else word,
        "message": "digits-canary is not there",
        "observedGeneration": generation,
    }


def parents(*conditions: list[dict[str, Any]]) -> dict[str, Any]:
    listed = [{"parentRef": {"name": "public"}, "conditions": each} for each in conditions]
    return http_route({"digits": 1}, status={"parents": listed})


def test_only_a_gateway_that_has_seen_the_newest_form_has_accepted_it() -> None:
    good = [condition("Accepted", "True"), condition("ResolvedRefs", "True")]
    old = [condition("Accepted", "True", 2), condition("ResolvedRefs", "True", 2)]
    refused = [condition("Accepted", "True"), condition("ResolvedRefs", "False")]
    assert acceptance_of(http_route({"digits": 1})) == Acceptance(0, ())
    assert acceptance_of(parents(good)) == Acceptance(1, ())
    assert acceptance_of(parents(good, old)) == Acceptance(1, ())
    assert acceptance_of(parents(old[:1])) == Acceptance(0, ())
    why = "public says BackendNotFound: digits-canary is not there"
    assert acceptance_of(parents(refused)) == Acceptance(0, (why,))
    assert acceptance_of(virtual_service({"digits": 1})) is None
