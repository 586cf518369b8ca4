"""Sealing models whose records are padded: the rules, and the proof that they do no harm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from shoal import package
from shoal.errors import BatchDependenceError, InvalidRequestError, ProofError
from shoal.runtime import Policy
from shoal.values import Column, Dtype, Padding
from tests.package.padded import RULES, copies, example, latest, masked_sums, means, sealed

if TYPE_CHECKING:
    from pathlib import Path


def build(model: bytes, place: Path, **settings: Any) -> package.Package:
    chosen = package.Settings(**settings)
    return package.build(model, name="m", version="1", output=place / "m", settings=chosen)


def test_rules_are_part_of_the_signature_and_read_back(tmp_path: Path) -> None:
    built = sealed(tmp_path / "masked")
    ids, mask = package.open(built.path).signature.inputs
    assert ids == Column("ids", Dtype.FP32, (-1,), padding=RULES["ids"])
    assert mask.padding == RULES["mask"]
    total, states = built.signature.outputs
    assert (total.follows, states.follows) == (None, "ids")
    assert '"padding":{"multiple_of":8,"value":0}' in built.description_text
    assert package.verify(built.path).golden == "matched"


def test_a_model_that_padding_does_not_disturb_needs_no_example(tmp_path: Path) -> None:
    for at in ("end", "start"):
        rules = {name: Padding(0, at=at) for name in RULES}
        built = build(masked_sums(), tmp_path / at, padding=rules, follows={"states": "ids"})
        assert built.signature.inputs[0].padding == rules["ids"]


def test_a_model_whose_answer_depends_on_padding_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(BatchDependenceError, match="depend on padding: column 'mean'"):
        build(means(), tmp_path, padding={"ids": Padding(0)})
    rules = {"ids": Padding(1), "mask": Padding(1)}
    with pytest.raises(BatchDependenceError, match="column 'total'"):
        build(masked_sums(), tmp_path, padding=rules, follows={"states": "ids"})
    assert not (tmp_path / "m").exists()


def test_a_model_that_only_padding_beyond_the_rounded_length_disturbs_is_refused(
    tmp_path: Path,
) -> None:
    ids = [[1.0] * length for length in (3, 5, 8, 16)]
    records = pa.record_batch({"ids": pa.array(ids, pa.list_(pa.float32()))})
    settings = package.Settings(padding={"ids": Padding(0, multiple_of=8)})

    def seal(name: str, example: pa.RecordBatch) -> package.Package:
        place = tmp_path / name
        return package.build(
            latest(), name=name, version="1", output=place, example=example, settings=settings
        )

    # Records of up to eight are padded to eight, and none shows what more would do.
    seal("short", records.slice(0, 3))
    with pytest.raises(
        BatchDependenceError, match=r"length \{'ids': 3\} .* padded to \{'ids': 16\}"
    ):
        seal("long", records)


def test_an_output_of_the_padded_length_has_to_say_so(tmp_path: Path) -> None:
    with pytest.raises(BatchDependenceError, match="column 'copy'"):
        build(copies(), tmp_path, padding={"ids": Padding(7)})
    built = build(copies(), tmp_path, padding={"ids": Padding(7)}, follows={"copy": "ids"})
    assert built.signature.outputs[0].follows == "ids"


def test_an_output_that_follows_has_to_have_the_padded_length(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="expected exactly one dimension of -1"):
        build(means(), tmp_path, padding={"ids": Padding(0)}, follows={"mean": "ids"})


def test_padding_that_no_record_shows_is_refused(tmp_path: Path) -> None:
    rules = {name: Padding(0, lengths=(3, 5, 8, 11)) for name in RULES}
    with pytest.raises(ProofError, match="no record of the example needs padding"):
        sealed(tmp_path / "masked", rules)


def test_padding_beyond_a_micro_batch_is_refused(tmp_path: Path) -> None:
    rules = {name: Padding(0, lengths=(2**20,)) for name in RULES}
    policy = Policy(max_bytes=2**20)
    settings = package.Settings(padding=rules, follows={"states": "ids"}, policy=policy)
    with pytest.raises(ProofError, match="a padded record has 8388608 bytes"):
        package.build(
            masked_sums(),
            name="m",
            version="1",
            output=tmp_path / "m",
            example=example(),
            settings=settings,
        )


def test_rules_for_columns_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequestError, match="'X', which is no input"):
        build(means(), tmp_path, padding={"X": Padding(0)})
    with pytest.raises(InvalidRequestError, match="'Y', which is no output"):
        build(copies(), tmp_path, padding={"ids": Padding(0)}, follows={"Y": "ids"})
    with pytest.raises(InvalidRequestError, match="expected a padded input"):
        build(copies(), tmp_path, follows={"copy": "ids"})


def test_records_of_several_lengths_in_one_table_are_answered_as_alone(tmp_path: Path) -> None:
    model = sealed(tmp_path / "masked").model()
    answers = model.predict(example())
    for row in range(example().num_rows):
        alone = model.predict(example().slice(row, 1))
        assert answers.slice(row, 1).equals(alone)
    kept = np.array([0.0, 2.0])
    assert answers.column("states")[0].as_py() == [2.0, 2.0, 4.0]
    assert answers.column("total")[0].as_py() == kept.sum()
