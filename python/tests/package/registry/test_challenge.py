"""What a registry says it wants to know, read as it is written."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shoal.package._registry._challenge import Challenge, read_challenges

BEARER = (
    'Bearer realm="https://a.example/token?x=1,2",service="r.example",scope="repository:a:pull"'
)


@pytest.mark.parametrize(
    ("values", "found"),
    [
        (
            ['Basic realm="Registry \\"Realm\\""'],
            [Challenge("basic", {"realm": 'Registry "Realm"'})],
        ),
        (
            [BEARER],
            [
                Challenge(
                    "bearer",
                    {
                        "realm": "https://a.example/token?x=1,2",
                        "service": "r.example",
                        "scope": "repository:a:pull",
                    },
                )
            ],
        ),
        (
            ['bearer REALM=x, service=y, Basic realm="z"'],
            [
                Challenge("bearer", {"realm": "x", "service": "y"}),
                Challenge("basic", {"realm": "z"}),
            ],
        ),
        (["Negotiate"], [Challenge("negotiate", {})]),
        (
            ["Basic", "Bearer realm=x"],
            [Challenge("basic", {}), Challenge("bearer", {"realm": "x"})],
        ),
        ([], []),
        (['realm="x"'], []),
    ],
    ids=["basic", "bearer", "two in one", "bare", "two", "none", "no scheme"],
)
def test_challenges_are_read(values: list[str], found: list[Challenge]) -> None:
    assert read_challenges(values) == found


@given(st.text(max_size=300))
def test_whatever_stands_there_is_read_quickly(text: str) -> None:
    assert isinstance(read_challenges([text, "Bearer " + text * 50]), list)
