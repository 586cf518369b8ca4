"""How often two versions answer otherwise: real servers, and everything that is no answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from shoal import package, serve
from shoal.deploy._canary._analysis import Disagreement
from shoal.deploy._canary._disagreement import Comparison, address_of, differ
from shoal.deploy._canary._sample import ROWS_OF_A_REQUEST, Sample, sample_of
from shoal.errors import ConfigurationError, InputError, InvalidRequestError, PathError
from tests.end_to_end import models
from tests.services import free_port

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from shoal.deploy._canary._judge import Verdict
    from tests.end_to_end.models import Sealed


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.tree(tmp_path_factory.mktemp("tree"), "2")


@pytest.fixture(scope="module")
def servers(digits: Sealed, tree: Path) -> Iterator[tuple[str, str]]:
    """The addresses of an old version and of another one."""
    with serve.start(digits.path) as old, serve.start(tree) as new:
        yield f"http://{old.http}", f"http://{new.http}"


@pytest.fixture(scope="module")
def records(digits: Sealed, tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digits as people write them, and a column that nobody asks for."""
    place = tmp_path_factory.mktemp("records") / "sample.parquet"
    rows = pa.array(digits.rows, pa.list_(pa.float32(), 64))
    pq.write_table(pa.table({"note": ["x"] * len(rows), "X": rows}), place)
    return str(place)


def verdict(settings: Disagreement, sample: Sample, old: str, new: str) -> Verdict:
    comparison = Comparison(settings, sample, old, new)
    try:
        return comparison.verdict()
    finally:
        comparison.close()


def sampled(path: Path, records: str | None = None, **asked: Any) -> Sample:
    usual: dict[str, Any] = {"limit_records": 1000, "outputs": ()}
    return sample_of(package.open(path).description, records=records, **(usual | asked))


def test_the_share_of_records_that_are_answered_otherwise(
    digits: Sealed, tree: Path, servers: tuple[str, str], records: str
) -> None:
    sample = sampled(tree, records)
    assert sample.records == len(digits.rows) > ROWS_OF_A_REQUEST
    assert [column.name for column in sample.outputs] == ["label"]

    rows = pa.record_batch({"X": pa.array(digits.rows, pa.list_(pa.float32(), 64))})
    answers = [
        package.open(path).model().predict(rows).column("label") for path in (digits.path, tree)
    ]
    share = float(np.mean([a != b for a, b in zip(*map(pa.Array.to_pylist, answers), strict=True)]))
    assert share > 0

    found = verdict(Disagreement(at_most=0.99), sample, *servers)
    assert (found.verdict, found.new) == ("good", share)
    assert found.samples == len(digits.rows)
    found = verdict(Disagreement(at_most=share / 2), sample, *servers)
    assert found.verdict == "bad"
    assert verdict(Disagreement(at_most=0.0), sample, servers[0], servers[0]).new == 0


def test_floats_are_compared_within_a_tolerance(
    digits: Sealed, servers: tuple[str, str], records: str
) -> None:
    old, new = servers
    sample = sampled(digits.path, records, limit_records=10, outputs=("probabilities",))
    assert sample.records == 10
    assert verdict(Disagreement(at_most=0.0), sample, old, old).new == 0
    apart = verdict(Disagreement(at_most=0.0), sample, old, new).new
    wide = Disagreement(at_most=0.0, absolute_tolerance=1.0)
    assert apart is not None
    assert apart > 0
    assert verdict(wide, sample, old, new).new == 0


def test_without_a_file_the_golden_rows_of_the_new_package_are_asked(
    tree: Path, servers: tuple[str, str]
) -> None:
    sample = sampled(tree)
    assert 1 <= sample.records <= 4
    assert verdict(Disagreement(at_most=0.0), sample, servers[1], servers[1]).verdict == "good"


def test_a_record_that_only_one_version_refuses_is_answered_otherwise(
    fragile: Path, tmp_path: Path
) -> None:
    brave = tmp_path / "brave"
    (tmp_path / "brave_model.py").write_text(
        "def answer(batch):\n    return {'double': batch.column('value')}\n", "utf-8"
    )
    package.build(
        "brave_model:answer",
        name="fragile",
        version="2",
        output=brave,
        example=pa.record_batch({"value": [0.0, 1.0, 2.0]}),
        settings=package.Settings(source=tmp_path),
    )
    place = tmp_path / "records.parquet"
    pq.write_table(pa.table({"value": [1.0, -1.0, 0.0, -2.0]}), place)
    with (
        serve.start(fragile, allow_code=True) as old,
        serve.start(brave, allow_code=True) as new,
    ):
        names = [f"http://{server.http}" for server in (old, new)]
        sample = sampled(brave, str(place))
        settings = Disagreement(at_most=0.0, absolute_tolerance=100.0)
        assert verdict(settings, sample, names[0], names[1]).new == 0.5
        assert verdict(settings, sample, names[0], names[0]).new == 0


def test_a_server_that_is_away_or_serves_another_model_is_unknown(
    digits: Sealed, servers: tuple[str, str], fragile: Path
) -> None:
    sample, settings = sampled(digits.path), Disagreement(at_most=0.5)
    away = f"http://127.0.0.1:{free_port()}"
    found = verdict(settings, sample, servers[0], away)
    assert (found.verdict, found.new) == ("unknown", None)
    assert f"{away} was not reached" in found.why
    with serve.start(fragile, allow_code=True) as other:
        found = verdict(settings, sample, servers[0], f"http://{other.http}")
        assert found.verdict == "unknown"
        assert "answered 404: unknown_model" in found.why
    comparison = Comparison(settings, sample, away, servers[0])
    assert "was not reached" in comparison.reach_old()
    comparison.close()


def test_a_server_that_wants_a_key_gets_it(digits: Sealed, tmp_path: Path) -> None:
    keys, key_file = tmp_path / "keys", tmp_path / "key"
    key = serve.new_key("canary")
    keys.write_text(key.line + "\n", "utf-8")
    sample = sampled(digits.path)
    with serve.start(digits.path, options=serve.Options(api_keys=str(keys))) as server:
        address = f"http://{server.http}"
        found = verdict(Disagreement(at_most=0.0), sample, address, address)
        assert (found.verdict, "401: unauthorized" in found.why) == ("unknown", True)
        key_file.write_text(key.secret, "utf-8")
        settings = Disagreement(at_most=0.0, key_file=str(key_file))
        assert verdict(settings, sample, address, address).verdict == "good"


def test_records_that_cannot_be_asked_are_refused_before_anything_begins(
    digits: Sealed, tmp_path: Path, records: str
) -> None:
    place = tmp_path / "records.parquet"
    with pytest.raises(PathError):
        sampled(digits.path, str(place))
    place.write_text("no Parquet", "utf-8")
    with pytest.raises(InvalidRequestError, match="cannot be read as Parquet"):
        sampled(digits.path, str(place))
    pq.write_table(pa.table({"Y": [1.0]}), place)
    with pytest.raises(InvalidRequestError, match="no column for the input 'X'"):
        sampled(digits.path, str(place))
    pq.write_table(pa.table({"X": pa.array([], pa.list_(pa.float32(), 64))}), place)
    with pytest.raises(ConfigurationError, match="no records"):
        sampled(digits.path, str(place))
    pq.write_table(pa.table({"X": ["text"]}), place)
    with pytest.raises(InputError):
        sampled(digits.path, str(place))
    with pytest.raises(ConfigurationError, match="names 'lable', the model gives label"):
        sampled(digits.path, records, outputs=("lable",))


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (1, 1, False),
        (1, 2, True),
        (b"a", b"b", True),
        (None, 1, True),
        (None, None, False),
        (1.0, 1.009, False),
        (1.0, 1.02, True),
        (0.0, 1e-7, False),
        (float("nan"), float("nan"), False),
        (1.0, float("nan"), True),
        (float("inf"), float("inf"), False),
        (float("inf"), 1.0, True),
        ([1.0, 2.0], [1.0, 2.001], False),
        ([1.0], [1.0, 2.0], True),
    ],
    ids=str,
)
def test_answers_differ(old: object, new: object, expected: bool) -> None:  # noqa: FBT001
    assert differ(old, new, 1e-6, 0.01) is expected


def test_an_address_has_the_name_of_the_service() -> None:
    template = Disagreement(at_most=0.1).address
    assert address_of(template, namespace="models", service="digits-canary") == (
        "http://digits-canary.models.svc:8000"
    )
