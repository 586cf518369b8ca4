"""What a user says of one input: where its records are, and what is known of its columns.

A password stands in the address of a database only; it is in no repr, no message and no lineage.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from shoal.errors import InvalidRequestError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from shoal.train._collect._kinds import Kind


_USER = re.compile(r"(?<=://)[^/@]*@")
_QUESTION = re.compile(r"(?<=://)([^?#]*)[?#].*")


def without_secrets(address: str) -> str:
    """An address of files without user and password, and without what is asked behind a `?`."""
    return _QUESTION.sub(r"\1", _USER.sub("", address))


@dataclass(frozen=True, repr=False)
class Sql:
    """The rows that a query of a database gives.

    Attributes:
        database: The address as SQLAlchemy reads it (`sqlite:///shop.db`,
            `postgresql://user:password@host/name`), or an engine of SQLAlchemy.
        query: One statement that gives rows; values stand in it as `:name`.
        parameters: The values by name.
    """

    database: Any
    query: str
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"Sql(query={self.query!r})"


@dataclass(frozen=True)
class Input:
    """One input.

    Attributes:
        source: Files (a path, a folder, a pattern or an address such as `s3://bucket/folder`),
            a `Sql`, a pyarrow Table or RecordBatch, a pandas DataFrame, or a mapping of names to
            numpy arrays of one dimension.
        name: What it is called in messages and in the lineage; by default, what it is.
        columns: The columns that are taken, in this order; all unless told.
        rename: Other names for columns, by the name that they have.
        types: Kinds of columns, by the name that they have: where the values alone do not say it.
        missing: Texts that stand for a missing value, such as `?`.
        form: The format of files whose names do not say it.
    """

    source: Any = field(repr=False)
    name: str = ""
    columns: Sequence[str] = ()
    rename: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, Kind] = field(default_factory=dict)
    missing: Sequence[str] = ()
    form: str | None = None


def inputs_of(described: Any) -> list[Input]:
    """What was described, as inputs: one, or the members of a list or tuple.

    Raises:
        InvalidRequestError: there is none.
    """
    several = described if isinstance(described, list | tuple) else [described]
    if not several:
        raise InvalidRequestError("no input was given, expected at least one")
    return [each if isinstance(each, Input) else Input(each) for each in several]


def is_place(source: Any) -> bool:
    """Whether a source is files."""
    return isinstance(source, str | os.PathLike)
