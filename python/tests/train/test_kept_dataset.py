"""A dataset that is kept as a package: the layout of models, verified whole when it is opened."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest

from shoal import package, train
from shoal.errors import CorruptPackageError, InvalidRequestError, StorageError
from shoal.train._collect import _parts

SCHEMAS = Path(__file__).parents[1] / "package"
ROWS = 3000
ARRAYS = {"x": np.arange(ROWS) / 4, "n": np.arange(ROWS)}


@pytest.fixture
def dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> train.Dataset:
    """A dataset of several parts."""
    monkeypatch.setattr(_parts, "ROW_GROUP_BYTES", 1)
    monkeypatch.setattr(_parts, "PART_BYTES", 1)
    monkeypatch.setattr("shoal.train._collect._table_reader.ROWS", 1000)
    return train.collect(ARRAYS, tmp_path / "out")


@pytest.fixture
def kept(dataset: train.Dataset, tmp_path: Path) -> train.Dataset:
    return dataset.keep(tmp_path / "kept", name="numbers", version="3")


def manifests(path: Path) -> list[dict[str, Any]]:
    def document(digest: str) -> dict[str, Any]:
        text = (path / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
        found: dict[str, Any] = json.loads(text)
        return found

    index = json.loads((path / "index.json").read_bytes())
    return [document(entry["digest"]) for entry in index["manifests"]]


def test_a_kept_dataset_is_read_where_it_lies(dataset: train.Dataset, kept: train.Dataset) -> None:
    again = train.open_dataset(kept.path)
    assert (again.digest, again.schema) == (dataset.digest, dataset.schema)
    assert again.lineage == dataset.lineage
    again.verify()
    assert again.to_table().equals(dataset.to_table())
    assert package.identify(kept.path).name == "numbers"


def test_the_layers_of_records_are_those_of_modelpack(kept: train.Dataset) -> None:
    image, modelpack = manifests(kept.path)
    kinds = {
        layer["annotations"]["org.cncf.model.filepath"]: layer["mediaType"]
        for layer in modelpack["layers"]
    }
    part = "datasets/numbers/3/data/000000.parquet"
    assert kinds[part] == "application/vnd.cncf.model.dataset.v1.tar"
    assert kinds["datasets/numbers/3/lineage.json"] == "application/vnd.cncf.model.doc.v1.tar"
    assert len(kinds) == 3 + 4
    digests = [[layer["digest"] for layer in each["layers"]] for each in (image, modelpack)]
    assert digests[0] == digests[1]
    schema = json.loads((SCHEMAS / "modelpack_manifest.schema.json").read_text())
    jsonschema.validate(modelpack, schema)


def test_the_same_records_give_the_same_package(
    dataset: train.Dataset, kept: train.Dataset, tmp_path: Path
) -> None:
    again = dataset.keep(tmp_path / "again", name="numbers", version="3")
    assert package.identify(again.path) == package.identify(kept.path)
    dataset.keep(kept.path, name="numbers", version="3")
    with pytest.raises(StorageError, match="exists and holds"):
        dataset.keep(kept.path, name="numbers", version="4")


def test_one_flipped_bit_in_any_file_is_refused(kept: train.Dataset) -> None:
    files = sorted(path for path in kept.path.rglob("*") if path.is_file())
    assert len(files) > 10
    for path in files:
        whole = path.read_bytes()
        changed = bytearray(whole)
        changed[len(whole) // 2] ^= 1
        path.write_bytes(changed)
        with pytest.raises(CorruptPackageError):
            train.open_dataset(kept.path)
        path.write_bytes(whole)
    train.open_dataset(kept.path)


def test_a_package_of_records_is_no_model_and_a_model_no_dataset(
    kept: train.Dataset, digits: Any
) -> None:
    with pytest.raises(CorruptPackageError, match="holds records, expected a model") as caught:
        package.open(kept.path)
    assert "open_dataset" in str(caught.value.hint)
    with pytest.raises(CorruptPackageError, match="describes no records"):
        train.open_dataset(digits.path)


def test_what_cannot_be_kept_is_refused(
    dataset: train.Dataset, kept: train.Dataset, tmp_path: Path
) -> None:
    with pytest.raises(InvalidRequestError, match="cannot name a package"):
        dataset.keep(tmp_path / "other", name="Not A Name", version="1")
    with pytest.raises(InvalidRequestError, match="is a package already"):
        kept.keep(tmp_path / "other", name="numbers", version="1")
    part = dataset.path / _parts.name_of(1)
    part.write_bytes((dataset.path / _parts.name_of(0)).read_bytes())
    with pytest.raises(CorruptPackageError):
        dataset.keep(tmp_path / "other", name="numbers", version="1")
    assert not (tmp_path / "other").exists()
