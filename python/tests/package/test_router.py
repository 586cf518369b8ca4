"""A router is sealed, verified, signed and moved as a model is, and refused where one is needed."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from shoal import deploy, package, pipeline, source
from shoal.errors import (
    CorruptPackageError,
    InvalidRequestError,
    PathError,
    RouterCycleError,
    StorageError,
)
from shoal.runtime import Route, Rule, canonical_json

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package
    from tests.package.keys import Pair
    from tests.services.docker_registry import DockerRegistry

TEXT = {"column": "value", "is": "text"}
ROUTES = [
    {"model": "words", "when": TEXT, "rename": {"value": "word"}},
    {"model": "small", "version": "2", "when": {"all": [{"column": "value", "below": 10}]}},
    {"model": "numbers"},
]
FILE = """
[[routes]]
model = "words"
when = { column = "value", is = "text" }
rename = { value = "word" }

[[routes]]
model = "small"
version = "2"
when = { all = [{ column = "value", below = 10 }] }

[[routes]]
model = "numbers"
"""


def seal(place: Path, routes: object = ROUTES) -> Package:
    return package.route(routes, name="mixed", version="1", output=place)  # type: ignore[arg-type]  # refused too


@pytest.fixture
def mixed(tmp_path: Path) -> Package:
    return seal(tmp_path / "mixed")


def test_what_a_router_says_is_its_digest(mixed: Package, tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(FILE)
    same = [
        seal(tmp_path / "again"),
        seal(tmp_path / "of-file", tmp_path / "routes.toml"),
        seal(tmp_path / "of-routes", mixed.routes),
    ]
    assert {each.digest for each in same} == {mixed.digest}
    assert seal(tmp_path / "other", ROUTES[1:]).digest != mixed.digest
    assert mixed.digest == (
        "sha256:49d60faaa87da77dff4089205e4d1e3f2dd9b14cb1aad0d5c7cf6f9353a226ad"
    )


def test_it_says_what_was_sealed(mixed: Package) -> None:
    assert (mixed.name, mixed.version, mixed.runtime) == ("mixed", "1", "router")
    assert mixed.files() == ("shoal.json",)
    assert json.loads(mixed.description_text)["routes"] == ROUTES
    assert mixed.routes[0] == Route(
        model="words", when=Rule(column="value", is_="text"), rename={"value": "word"}
    )
    assert [str(each) for each in mixed.routes] == [
        "value is text -> words, value as word",
        "(value below 10) -> small 2",
        "every record -> numbers",
    ]


def test_it_is_inspected_and_verified(mixed: Package) -> None:
    found = package.inspect(mixed.path)
    assert (found.runtime, found.runs_code, found.routes) == ("router", False, list(mixed.routes))
    verified = package.verify(mixed.path)
    assert (verified.digest, verified.golden, verified.files) == (mixed.digest, "none", 1)
    blob = max((mixed.path / "blobs" / "sha256").iterdir(), key=lambda each: each.stat().st_size)
    blob.chmod(0o644)
    blob.write_bytes(blob.read_bytes().replace(b"words", b"wards"))
    with pytest.raises(CorruptPackageError):
        package.verify(mixed.path)


def test_it_is_signed_and_stated_about(mixed: Package, ann: Pair) -> None:
    signed = package.sign(mixed.path, ann.private)
    assert package.verify(mixed.path, key=ann.public).signed_by == signed.key
    assert mixed.attest("review", {"by": "ann"}).digest == mixed.digest


def test_it_comes_back_from_a_registry_to_the_last_bit(
    mixed: Package, docker_registry: DockerRegistry, ann: Pair, tmp_path: Path
) -> None:
    name = f"oci://{docker_registry.host}/tests/router:1"
    package.push(mixed.attest("review", {"by": "ann"}), name)
    pulled = package.pull(name, tmp_path / "pulled")
    assert (pulled.digest, pulled.routes) == (mixed.digest, mixed.routes)
    assert [each.kind for each in pulled.attestations()] == ["review"]
    signed = package.sign_pushed(name, ann.private)
    key = package.read_public_key(ann.public)
    assert package.fetch(name, key=key).digest == signed.package == mixed.digest


def test_its_open_files_are_the_package(mixed: Package, tmp_path: Path) -> None:
    mixed.unpack(tmp_path / "open")
    assert package.open(tmp_path / "open").digest == mixed.digest
    assert mixed.image_directory == "models/mixed/1"


def deep(depth: int) -> dict[str, Any]:
    """Rules in each other."""
    rule: dict[str, Any] = TEXT
    for _ in range(depth - 1):
        rule = {"not": rule}
    return rule


def when(**rule: Any) -> list[dict[str, Any]]:
    return [{"model": "a", "when": rule}]


@pytest.mark.parametrize(
    ("routes", "told"),
    [
        ([], "0 routes, expected 1 to 256"),
        ([{"model": "a"}] * 257, "257 routes"),
        ([{"model": "a"}, {"model": "b"}], r"routes\[0\] takes every record"),
        ([{"when": TEXT}], "missing required field `model`"),
        ([{"model": "A b"}], "'A b', which cannot name a package"),
        ([{"model": "a", "version": "-"}], "version '-'"),
        ([{"model": "a", "weight": 1}], "unknown field `weight`"),
        ([{"model": "a", "rename": {"x": "z", "y": "z"}}], "two columns to one name"),
        ([{"model": "a", "when": deep(9)}], "nested deeper than 8"),
        ([{"model": "a", "when": deep(5_000)}], "nested deeper than 8"),
        (when(column="v", isnt="text"), "unknown field `isnt`"),
        (when(column="v", **{"is": "word"}), "Invalid enum value 'word'"),
        (when(column=3, **{"is": "text"}), "Expected `str | null`, got `int`"),
        (when(column="v", below="10"), r"routes\[0\].when.below"),
        (when(column="v", equals=[1]), r"routes\[0\].when.equals"),
        (when(column="v", equals=float("nan")), "a finite number of 64 bits"),
        (when(column="v", at_least=2**64), "a finite number of 64 bits"),
        (when(column="v", below=1, at_least=0), "says at_least, below; expected one of"),
        (when(column="v"), "says nothing; expected one of"),
        (when(equals=1), "which needs a column"),
        (when(column="v", all=[TEXT]), "which takes no column"),
        (when(any=[]), "has no rules"),
        (when(all=[TEXT, {"not": {"column": "v"}}]), r"routes\[0\].when.all\[1\].not says nothing"),
        (when(all=[TEXT] * 4096), "more than 4096 rules"),
        ("routes", "these are no routes"),
    ],
)
def test_rules_are_checked_when_it_is_sealed(routes: object, told: str, tmp_path: Path) -> None:
    given = list(routes) if isinstance(routes, str) else routes
    with pytest.raises(InvalidRequestError, match=told):
        seal(tmp_path / "bad", given)
    assert not (tmp_path / "bad").exists()


def test_rules_that_stand_in_many_places_count_in_each(tmp_path: Path) -> None:
    said: dict[str, Any] = TEXT
    rule = Rule(column="value", is_="text")
    for _ in range(7):
        said, rule = {"any": [said] * 16}, Rule(any_=(rule,) * 16)
    with pytest.raises(InvalidRequestError, match="more than 262144 values"):
        seal(tmp_path / "bad", [{"model": "a", "when": said}])
    with pytest.raises(InvalidRequestError, match="more than 4096 rules"):
        seal(tmp_path / "bad", [Route(model="a", when=rule)])


@pytest.mark.parametrize("route", [{"model": "mixed"}, {"model": "mixed", "version": "1"}])
def test_a_router_that_points_to_itself_is_refused(route: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(RouterCycleError, match=r"routes\[0\] leads back to the router mixed 1"):
        seal(tmp_path / "bad", [route])
    assert seal(tmp_path / "older", [{"model": "mixed", "version": "0"}]).routes


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("routes = 3", "these are no routes"),
        ("name = 'mixed'\n" + FILE, "has name, routes, expected routes only"),
        ("", "has nothing"),
        ("[[routes", "is not TOML"),
        ("# " + "x" * (1 << 20), "at most 1048576 are read"),
        (f"[[routes]]\nwhen{'.not' * (1 << 17)} = 1", "line 2 has a key of more than 64 parts"),
        ("routes = [{'a' " + '. "b"' * 64 + " = 1}]", "line 1 has a key of more than 64 parts"),
    ],
)
def test_a_file_of_something_else_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "routes.toml").write_text(text)
    with pytest.raises(InvalidRequestError, match=told):
        seal(tmp_path / "bad", tmp_path / "routes.toml")
    with pytest.raises(PathError):
        seal(tmp_path / "bad", tmp_path / "nowhere.toml")


def test_a_place_that_holds_another_router_is_refused(mixed: Package) -> None:
    assert seal(mixed.path).digest == mixed.digest
    with pytest.raises(StorageError):
        seal(mixed.path, ROUTES[2:])


def test_a_router_that_was_not_sealed_so_is_refused(mixed: Package, tmp_path: Path) -> None:
    folder = tmp_path / "open"
    mixed.unpack(folder)
    said = json.loads(mixed.description_text)
    changes: list[dict[str, Any]] = [{"routes": []}, {"routes": ROUTES[::-1]}, {"signature": {}}]
    for change in changes:
        (folder / "shoal.json").write_bytes(canonical_json({**said, **change}))
        with pytest.raises(CorruptPackageError):
            package.open(folder)
    (folder / "shoal.json").write_text(json.dumps(said))
    with pytest.raises(CorruptPackageError, match="canonical"):
        package.open(folder)


def test_where_a_model_is_needed_it_is_refused_by_name(mixed: Package, tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("value\n1\n")
    for refused in (
        mixed.model,
        lambda: mixed.signature,
        lambda: pipeline.score(mixed.path, tmp_path / "in.csv", tmp_path / "out"),
        lambda: pipeline.Pipeline(source.RateSource(rows_per_second=1)).map(mixed.path),
        lambda: deploy.build_image(mixed.path, base=tmp_path, output=tmp_path / "image"),
    ):
        with pytest.raises(InvalidRequestError, match="mixed 1 is a router: it has no model"):
            refused()
