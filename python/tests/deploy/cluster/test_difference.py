"""Differences show what changes, and no secret."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from shoal.deploy._cluster._difference import difference

METADATA = {"name": "iris", "uid": "1", "resourceVersion": "7", "generation": 2}


def config(**data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": dict(METADATA), "data": data}


def test_only_lines_that_change_are_shown_with_those_around() -> None:
    text = difference(config(a="1", b="2"), config(a="1", b="3"))
    lines = text.splitlines()
    assert [line for line in lines if line[0] == "-"] == ["-  b: '2'"]
    assert [line for line in lines if line[0] == "+"] == ["+  b: '3'"]


def test_what_the_server_writes_is_no_difference() -> None:
    later = config(a="1")
    later["metadata"] |= {"resourceVersion": "8", "managedFields": [], "uid": "2"}
    later["metadata"]["annotations"] = {"deployment.kubernetes.io/revision": "2"}
    later["status"] = {"ready": 1}
    assert difference(config(a="1"), later) == ""


def test_an_object_that_comes_or_goes_is_shown_whole() -> None:
    came = difference(None, config(a="1")).splitlines()
    assert {line[0] for line in came[1:]} == {"+"}
    gone = difference(config(a="1"), None).splitlines()
    assert {line[0] for line in gone[1:]} == {"-"}


@given(
    before=st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=8),
    after=st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=8),
)
def test_no_secret_is_shown_but_that_it_changes_is(before: str, after: str) -> None:
    before, after = f"old-{before}", f"new-{after}"

    def secret(value: str) -> dict[str, Any]:
        hidden = {"data": {"password": value}, "stringData": {"other": value}}
        return {"kind": "Secret", "metadata": dict(METADATA), **hidden}

    text = difference(secret(before), secret(after))
    assert before not in text
    assert after not in text
    assert "password: '*** (" in text or "password: ***" in text
    assert difference(secret(before), secret(before)) == ""


def test_a_variable_whose_name_says_that_it_is_a_secret_is_hidden() -> None:
    def pod(token: str, level: str) -> dict[str, Any]:
        variables = [{"name": "HUB_TOKEN", "value": token}, {"name": "LEVEL", "value": level}]
        spec = {"containers": [{"name": "server", "env": variables}]}
        return {"kind": "Pod", "metadata": dict(METADATA), "spec": spec}

    text = difference(pod("hunter2", "info"), pod("swordfish", "debug"))
    assert "hunter2" not in text
    assert "swordfish" not in text
    assert text.count("***") == 2
    assert "value: debug" in text
