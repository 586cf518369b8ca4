"""Which web pages may read answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shoal import serve
from shoal.errors import ConfigurationError
from tests.end_to_end.driver import serving

if TYPE_CHECKING:
    from tests.end_to_end.driver import Reply, Served
    from tests.end_to_end.models import Sealed

HOME, OTHER, STRANGER = "https://example.org", "http://localhost:3000", "https://evil.example"
ALLOW = "access-control-allow-origin"


def preflight(served: Served, origin: str) -> Reply:
    asked = {"Origin": origin, "Access-Control-Request-Method": "POST"}
    return served.ask("OPTIONS", "/predict", headers=asked)


def test_no_page_may_read_answers_unless_it_is_named(one: Served) -> None:
    asked = preflight(one, HOME)
    assert (asked.status, asked.code) == (405, "method_not_allowed")
    answer = one.ask("GET", "/v2", headers={"Origin": HOME})
    assert answer.status == 200
    assert not [name for name in (*asked.headers, *answer.headers) if name.startswith("access-")]


def test_named_origins_and_no_other_may_read_answers(digits: Sealed) -> None:
    arguments = ("--allow-origin", HOME, "--allow-origin", OTHER)
    with serving(digits.path, arguments=arguments) as served:
        for origin in (HOME, OTHER):
            asked = preflight(served, origin)
            assert (asked.status, asked.body, asked.headers[ALLOW]) == (204, b"", origin)
            assert asked.headers["access-control-allow-methods"] == "GET, POST"
            allowed = asked.headers["access-control-allow-headers"].split(", ")
            assert {"authorization", "content-type", "x-api-key"} < set(allowed)
            answer = served.ask("GET", "/v2", headers={"Origin": origin})
            assert (answer.status, answer.headers[ALLOW]) == (200, origin)
            assert answer.headers["vary"].lower() == "origin"
        assert preflight(served, STRANGER).status == 405
        for headers in ({"Origin": STRANGER}, {"Origin": HOME + ".evil.example"}, {}):
            answer = served.ask("GET", "/v2", headers=headers)
            assert answer.status == 200
            assert ALLOW not in answer.headers
            assert answer.headers["vary"].lower() == "origin"


def test_a_star_allows_every_page(digits: Sealed) -> None:
    with serving(digits.path, arguments=("--allow-origin", "*")) as served:
        assert preflight(served, STRANGER).headers[ALLOW] == "*"
        assert served.ask("GET", "/v2", headers={"Origin": STRANGER}).headers[ALLOW] == "*"


def test_what_is_no_origin_is_refused(digits: Sealed) -> None:
    for wrong in ("example.org", "https://example.org/page", "https://*.example.org"):
        with pytest.raises(ConfigurationError, match="is no origin"):
            serve.start(digits.path, options=serve.Options(allow_origin=(wrong,)))
