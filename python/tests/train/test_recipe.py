"""A TOML file says what is collected; it is refused where it cannot be meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shoal import train
from shoal.errors import ConfigurationError, PathError

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "sesame-1234"
WHOLE = """
on = "customer"
how = "inner"
schema = "{directory}/schema.json"

[[input]]
files = "{directory}/customers/*.csv"
name = "customers"
types = {{ total = "float" }}
missing = ["?"]

[[input]]
database_from = "DATABASE_URL"
query = "select :plan as plan, 1 as id"
parameters = {{ plan = "small" }}
rename = {{ id = "customer" }}
columns = ["id", "plan"]
"""


def test_a_file_says_all_that_python_can(tmp_path: Path) -> None:
    (tmp_path / "customers").mkdir()
    (tmp_path / "customers" / "1.csv").write_text("customer,total\n1,?\n2,5\n")
    columns = (
        train.ColumnSchema(name="customer", kind="integer", minimum=1, maximum=9),
        train.ColumnSchema(name="total", kind="float", nullable=True),
        train.ColumnSchema(name="plan", kind="categorical", categories=("large", "small")),
    )
    train.Schema(columns).write(tmp_path / "schema.json")
    path = tmp_path / "collect.toml"
    path.write_text(WHOLE.format(directory=tmp_path))
    recipe = train.read_recipe(path, environment={"DATABASE_URL": "sqlite://"})
    assert recipe.join == train.Join("customer", "inner")
    dataset = train.collect(recipe.inputs, tmp_path / "out", join=recipe.join, schema=recipe.schema)
    assert dataset.to_table().to_pylist() == [{"customer": 1, "total": None, "plan": "small"}]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("input = 5", "Expected `array`"),
        ("[[input]]\nfile = 'a.csv'", "unknown field `file`"),
        ("[[input]]\nfiles = 'a.csv'\nquery = 'select 1'", "an input has `files`, or a `query`"),
        ("[[input]]\nquery = 'select 1'", "an input has `files`, or a `query`"),
        ("[[input]]\ndatabase = 'sqlite://'", "an input has `files`, or a `query`"),
        ("[[input]]\nfiles = 'a.csv'\ntypes = { x = 'number' }", "Invalid enum value"),
        ("how = 'left'\n[[input]]\nfiles = 'a.csv'", "`how` says"),
        ("[[input]\n", "is not as expected"),
        (
            "[[input]]\ndatabase_from = 'ABSENT'\nquery = 'select 1'",
            "no variable 'ABSENT'",
        ),
        (f"[[input]]\ndatabase = ['{SECRET}']\nquery = 'select 1'", "Expected `str"),
    ],
)
def test_a_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "collect.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as caught:
        train.read_recipe(path, environment={"OTHER": SECRET})
    assert SECRET not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="cannot be read"):
        train.read_recipe(tmp_path / "none.toml")
