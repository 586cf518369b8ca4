"""What is collected, as a TOML file: for what is too long for a command line, or secret there.

    on = "customer"                    # with several inputs: the key, or a list of columns
    how = "left"                       # or "inner"
    schema = "schema.json"             # what records must keep to

    [[input]]
    files = "customers/*.csv"
    types = { total = "float" }
    missing = ["?"]

    [[input]]
    database_from = "DATABASE_URL"     # the environment variable that holds the address
    query = "select id, plan from contracts where year = :year"
    parameters = { year = 2026 }
    rename = { id = "customer" }

- An input has `files`, or a `query` with `database` or `database_from`; besides, what `Input` has.
- Paths are those of the caller's directory, as on a command line.
- A key that is not known is refused. No message repeats a value of the file.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from shoal.errors import ConfigurationError, InvalidRequestError, PathError
from shoal.train._collect._inputs import Input, Sql, without_secrets
from shoal.train._collect._join import Join
from shoal.train._collect._kinds import Kind
from shoal.train._collect._schema import Schema

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT_BYTES = 1 << 20


class Recipe(msgspec.Struct, frozen=True):
    """What `collect` takes.

    Attributes:
        inputs: The inputs.
        join: How they become one.
        schema: What records must keep to.
    """

    inputs: list[Input]
    join: Join | None = None
    schema: Schema | None = None


class InputText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One input, as it is written."""

    files: str | None = None
    database: str | None = None
    database_from: str | None = None
    query: str | None = None
    parameters: dict[str, Any] = {}
    name: str = ""
    columns: list[str] = []
    rename: dict[str, str] = {}
    types: dict[str, Kind] = {}
    missing: list[str] = []
    format: str | None = None

    def __repr__(self) -> str:
        return f"<InputText {without_secrets(self.files) if self.files else self.query!r}>"

    def without_secrets(self) -> InputText:
        """The same without addresses of databases, users, passwords, and values of parameters."""
        return msgspec.structs.replace(
            self,
            files=None if self.files is None else without_secrets(self.files),
            database=None,
            parameters=dict.fromkeys(self.parameters),
        )


class RecipeText(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A recipe, as it is written."""

    input: list[InputText] = []
    on: str | list[str] | None = None
    how: str | None = None
    schema: str | None = None


def read_recipe(
    path: str | os.PathLike[str], *, environment: Mapping[str, str] | None = None
) -> Recipe:
    """Reads a file that says what is collected.

    Args:
        path: A TOML file.
        environment: Where `database_from` is looked up; that of the process unless given.

    Raises:
        PathError: it cannot be read.
        ConfigurationError: it is not TOML, or says what nobody understands.
        InputError: its schema cannot be read.
    """
    try:
        with Path(path).open("rb") as file:
            data = file.read(LIMIT_BYTES + 1)
    except OSError as error:
        raise PathError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(data) > LIMIT_BYTES:
        raise ConfigurationError(f"{path} has more than {LIMIT_BYTES} bytes")
    try:
        text = msgspec.toml.decode(data, type=RecipeText)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise ConfigurationError(f"{path} is not as expected: {error}") from None
    return recipe_of(text, str(path), environment)


def recipe_of(text: RecipeText, place: str, environment: Mapping[str, str] | None = None) -> Recipe:
    """What is collected, as it is written at a place that messages name.

    Raises:
        ConfigurationError: it says what nobody understands.
        InputError: its schema cannot be read.
    """
    known = os.environ if environment is None else environment
    if not text.input:
        raise ConfigurationError(f"{place} has no input, expected at least one [[input]]")
    try:
        inputs = [_input(part, known) for part in text.input]
    except InvalidRequestError as error:
        raise ConfigurationError(f"{place}: {error}", hint=error.hint) from None
    if text.on is None and text.how is not None:
        raise ConfigurationError(f"{place}: `how` says how inputs are joined, and `on` on what")
    join = None if text.on is None else Join(text.on, text.how or "left")
    return Recipe(inputs, join, None if text.schema is None else Schema.read(text.schema))


def _input(part: InputText, environment: Mapping[str, str]) -> Input:
    return Input(
        _source(part, environment),
        name=part.name,
        columns=part.columns,
        rename=part.rename,
        types=part.types,
        missing=part.missing,
        form=part.format,
    )


def _source(part: InputText, environment: Mapping[str, str]) -> str | Sql:
    given = [part.files, part.database, part.database_from]
    if sum(each is not None for each in given) != 1 or (part.files is None) != (
        part.query is not None
    ):
        message = "an input has `files`, or a `query` with `database` or `database_from`"
        raise InvalidRequestError(message)
    if part.files is not None:
        return part.files
    address = part.database
    if part.database_from is not None:
        address = environment.get(part.database_from)
        if not address:
            message = f"the environment has no variable {part.database_from!r}"
            raise InvalidRequestError(message, hint="Put the address of the database there.")
    return Sql(address, part.query or "", part.parameters)
