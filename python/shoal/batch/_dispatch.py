"""Mixed records, each answered by the function for its type.

A record's type is decided so: a boolean is no number (it goes to `default`); whole numbers of
Python and NumPy go to `int`, other real numbers of either to `float`, text to `str`; everything
else (None, bytes, lists, mappings, objects) goes to `default`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from shoal.batch._records import as_answer
from shoal.batch._split import Split, rows, split
from shoal.errors import DtypeError, InvalidRequestError, ModelError

Handler = Callable[[list[Any]], object]

GROUP_ROWS: Final = 1024


@dataclass(frozen=True)
class ByType:
    """Answers mixed records: call it with a list, or give it to `process` as the function.

    Attributes:
        handlers: The function for each type: `int`, `float`, `str`, `default`.
        by: How the records of one type are cut into micro-batches.
    """

    handlers: dict[str, Handler]
    by: Split

    def __call__(self, records: Iterable[Any]) -> list[Any]:
        """Gives one answer per record, in the order of the records.

        Raises:
            DtypeError: There is no function for a record's type. No function was called then.
            ModelError: A function gave more or fewer answers than it got records.
        """
        held = list(records)
        answers: list[Any] = [None] * len(held)
        for kind, places in self._places(held).items():
            group = [held[place] for place in places]
            for place, answer in zip(places, self._answers(kind, group), strict=True):
                answers[place] = answer
        return answers

    def _places(self, records: list[Any]) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for place, record in enumerate(records):
            kind = kind_of(record)
            chosen = kind if kind in self.handlers else "default"
            if chosen not in self.handlers:
                raise DtypeError(
                    f"record {place} is a {type(record).__name__}, and no function takes it",
                    hint=f"give by_type a function for {kind}=",
                )
            places.setdefault(chosen, []).append(place)
        return places

    def _answers(self, kind: str, group: list[Any]) -> list[Any]:
        answers: list[Any] = []
        for batch in split(group, by=self.by):
            answered = _as_list(self.handlers[kind](batch))
            if len(answered) != len(batch):
                raise ModelError(
                    f"the function for {kind} gave {len(answered)} answers to {len(batch)} records",
                    hint="answer with a list or array, one entry per record",
                )
            answers += answered
        return answers


def by_type(
    *,
    int: Handler | None = None,  # noqa: A002 - the type it answers is its name
    float: Handler | None = None,  # noqa: A002
    str: Handler | None = None,  # noqa: A002
    default: Handler | None = None,
    by: Split | None = None,
) -> ByType:
    """Answers mixed records by functions chosen by type, in the original order.

    Args:
        int: Answers whole numbers. It gets a list of records and gives one answer for each, as
            do the others.
        float: Answers other real numbers.
        str: Answers text.
        default: Answers booleans, None and all that has no function of its own.
        by: How the records of one type are cut before a function gets them; `rows(1024)`.

    Raises:
        InvalidRequestError: There is no function at all.
    """
    named = {"int": int, "float": float, "str": str, "default": default}
    handlers = {kind: handler for kind, handler in named.items() if handler is not None}
    if not handlers:
        raise InvalidRequestError("by_type got no function", hint="give int=, float=, str= ...")
    return ByType(handlers, by or rows(GROUP_ROWS))


def kind_of(record: object) -> str:
    """Says which function a record is for: `int`, `float`, `str` or `default`."""
    if isinstance(record, (bool, np.bool_)):
        return "default"
    for kind, types in _KINDS.items():
        if isinstance(record, types):
            return kind
    return "default"


def _as_list(answers: object) -> list[Any]:
    plain = as_answer(answers)
    if isinstance(plain, list):
        return plain
    if isinstance(plain, np.ndarray) and plain.ndim:
        return list(plain)
    if hasattr(plain, "to_pylist"):
        return list(plain.to_pylist())
    if isinstance(plain, tuple):
        return list(plain)
    raise ModelError(
        f"a function given to by_type answered with a {type(plain).__name__}",
        hint="answer with a list or array, one entry per record",
    )


_KINDS: Final[dict[str, tuple[type, ...]]] = {
    "int": (int, np.integer),
    "float": (float, np.floating),
    "str": (str,),
}
