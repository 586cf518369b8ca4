"""Whether records keep to a schema, by pandera: each breach with its column, its row and its rule.

Types are settled before, when values are stored. Breaches are gathered up to a limit, so that one
error tells what there is to repair; none is passed over.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import pandas as pd
import pandera.pandas as pandera

from shoal.errors import InputError
from shoal.train._collect._schema import bound_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from shoal.train._collect._schema import ColumnSchema, Schema

LIMIT = 20
SHOWN_CATEGORIES = 8
SHOWN_CHARACTERS = 60


class Breach(NamedTuple):
    """A value that does not keep to a rule.

    Attributes:
        column: The name of the column.
        place: The record, as its source counts it.
        value: The value, as text.
        rule: What was expected.
    """

    column: str
    place: str
    value: str
    rule: str

    def __str__(self) -> str:
        """A line of the error."""
        return f"{self.place}: column {self.column!r} is {self.value}, expected {self.rule}"


class Checker:
    """Checks micro-batches against a schema."""

    def __init__(self, schema: Schema, *, limit: int = LIMIT) -> None:
        """Takes a schema, and how many breaches are gathered before the error."""
        self._rules = pandera.DataFrameSchema(
            {column.name: _rules(column) for column in schema.columns}
        )
        self._limit = limit
        self._breaches: list[Breach] = []

    def look(self, batch: pa.RecordBatch, place_of: Callable[[int], str]) -> None:
        """Checks records.

        Args:
            batch: The records, with the columns of the schema.
            place_of: Where a record of the batch comes from.

        Raises:
            InputError: as many breaches as are gathered were found.
        """
        frame = batch.to_pandas(types_mapper=pd.ArrowDtype)
        try:
            self._rules.validate(frame, lazy=True)
        except pandera.errors.SchemaErrors as error:
            self._breaches += _breaches(error.failure_cases, place_of)
        if len(self._breaches) >= self._limit:
            self.end()

    def end(self) -> None:
        """Refuses what was found.

        Raises:
            InputError: there were breaches, listed with column, row and rule.
        """
        if not self._breaches:
            return
        shown = self._breaches[: self._limit]
        more = "; there may be more" if len(self._breaches) >= self._limit else ""
        lines = "\n".join(f"- {breach}" for breach in shown)
        count = "1 value does" if len(shown) == 1 else f"{len(shown)} values do"
        message = f"{count} not keep to the schema{more}:\n{lines}"
        raise InputError(message, hint="Repair the records, or edit the schema.")


def _rules(column: ColumnSchema) -> pandera.Column:
    checks = [pandera.Check(holds, error=rule) for rule, holds in _checks(column)]
    return pandera.Column(checks=checks, nullable=column.nullable)


def _checks(column: ColumnSchema) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    """Each rule in words, and what tells whether values keep to it."""
    if column.minimum is not None:
        least: Any = bound_of(column, column.minimum)
        yield f"at least {column.minimum}", lambda values: values.ge(least) | _infinite(values)
    if column.maximum is not None:
        most: Any = bound_of(column, column.maximum)
        yield f"at most {column.maximum}", lambda values: values.le(most) | _infinite(values)
    if column.kind == "float" and not column.infinite:
        yield "a finite number", lambda values: ~_infinite(values)
    if column.categories is not None:
        known = column.categories
        yield f"one of {_listed(known)}", lambda values: values.isin(known)


def _infinite(values: Any) -> Any:
    """Which numbers are infinite; there is a rule of its own for them."""
    if values.dtype.kind != "f":
        return pd.Series(data=False, index=values.index)
    return values.isin([math.inf, -math.inf])


def _listed(categories: tuple[str, ...]) -> str:
    shown = ", ".join(map(repr, categories[:SHOWN_CATEGORIES]))
    left = len(categories) - SHOWN_CATEGORIES
    return f"{shown} and {left} more" if left > 0 else shown


def _breaches(found: Any, place_of: Callable[[int], str]) -> list[Breach]:
    """What pandera found, in the order of the rows."""
    breaches = [
        (int(row), column, case, rule)
        for row, column, case, rule in zip(
            found["index"], found["column"], found["failure_case"], found["check"], strict=True
        )
    ]
    breaches.sort(key=lambda breach: breach[0])
    return [
        Breach(column, place_of(row), *_told(case, rule)) for row, column, case, rule in breaches
    ]


def _told(case: Any, rule: str) -> tuple[str, str]:
    if rule == "not_nullable":
        return "missing", "a value"
    text = repr(case) if isinstance(case, str) else str(case)
    return text[:SHOWN_CHARACTERS], rule
