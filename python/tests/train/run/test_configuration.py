"""A configuration says all once; what it cannot mean is refused by name, without a secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shoal.errors import ConfigurationError, PathError
from shoal.train import Categorical, Threshold, read_configuration

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = """
name = "churn"
version = "1.0.0"
target = "left"
held_out = 0.25
without = ["closed_on"]

[data]
on = "customer"
[[data.input]]
files = "customers.csv"
[[data.input]]
database = "postgresql://ann:sesame@localhost/crm"
query = "select customer, plan from contracts"

[columns.plan]
kind = "categorical"
least_rows = 20

[search]
score = "average_precision"
seconds = 60
balance = ["none", "smote"]
folds = { count = 3, group = "house" }

[search.space.estimators.logistic_regression]
C = { kind = "real", low = 0.01, high = 10.0, is_log = true }

[threshold]
by = "cost"
missed = 10

[evaluation]
slices = ["plan"]

[card]
intended_use = "Calls."
"""
LEAST = 'name = "a"\nversion = "1"\ntarget = "left"\n[data]\ndataset = "records"\n'


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "train.toml"
    path.write_text(text)
    return path


def test_all_parts_are_read(tmp_path: Path) -> None:
    found = read_configuration(written(tmp_path, WHOLE))
    assert found.columns == {"plan": Categorical(least_rows=20)}
    assert found.threshold == Threshold(by="cost", missed=10)
    assert found.search.folds.group == "house"
    assert found.search.balance == ("none", "smote")
    assert found.evaluation.slices == ("plan",)
    assert len(found.data.input) == 2
    least = read_configuration(written(tmp_path, LEAST + "[search]\ntrials = 1\n"))
    assert least.data.dataset == "records"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (LEAST.replace('target = "left"\n', ""), "missing required field `target`"),
        (LEAST + "[search]\nsecond = 3\n", "unknown field `second`"),
        (LEAST + "[serch]\n", "unknown field `serch`"),
        (LEAST + '[columns.plan]\nkind = "colour"\n', "'colour'"),
        (LEAST + '[columns.plan]\nkind = "numeric"\nlest_rows = 3\n', "`lest_rows`"),
        (LEAST + '[card]\nintended = "x"\n', "'intended'"),
        (LEAST + '[columns.left]\nkind = "numeric"\n', "no column to learn from"),
        (LEAST + '[[data.input]]\nfiles = "a"\n', "a `dataset`, or at least one"),
        (LEAST.replace('dataset = "records"\n', ""), "a `dataset`, or at least one"),
        ("held_out = 0.9\n" + LEAST, "held_out is 0.9"),
        (LEAST + "[search.preparation]\ncolumns = {}\n", "Describe columns in"),
        (LEAST + '[threshold]\nby = "cost"\nmissed = -1\n', "missed is -1"),
        ("{", "is not as expected"),
        (LEAST, "the search has no end"),
        (LEAST.replace('"a"', '"Churn"'), "'Churn' cannot name a package"),
    ],
)
def test_what_cannot_be_meant_is_said(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(written(tmp_path, text))
    assert message in caught.value.render()


def test_no_password_is_repeated(tmp_path: Path) -> None:
    wrong = WHOLE.replace('query = "', 'qery = "')
    with pytest.raises(ConfigurationError) as caught:
        read_configuration(written(tmp_path, wrong))
    assert "sesame" not in caught.value.render()
    assert "sesame" not in repr(read_configuration(written(tmp_path, WHOLE)))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"nothing\.toml cannot be read"):
        read_configuration(tmp_path / "nothing.toml")
