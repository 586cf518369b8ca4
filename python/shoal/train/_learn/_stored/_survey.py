"""The first and only pass over the source: records are prepared for learning and stored.

- Statistics, names and classes are gathered on the way; exact medians and quartiles are then found
  in what is stored. So no class and no name can come later that was not known.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from shoal.errors import InvalidRequestError
from shoal.train._learn._stored._encode import (
    MOST_CLASSES,
    MOST_NAMES,
    Block,
    Codes,
    Encoder,
    Named,
)
from shoal.train._learn._stored._records import BLOCK_ROWS
from shoal.train._learn._stored._scales import Columns, Scale, scales_of
from shoal.train._learn._stored._statistics import TARGET, Moments, Statistics
from shoal.train._learn._stored._store import Range, Store, record_type
from shoal.train._prepare._steps import NO_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from shoal.batch import Partial
    from shoal.train._learn._stored._layout import Layout
    from shoal.train._learn._threads import Threads
    from shoal.train._prepare._description import Categorical, Preparation

    Array = NDArray[Any]


class Names(msgspec.Struct, frozen=True):
    """The names of a column.

    Attributes:
        kept: Those with a feature, sorted.
        places: For each code the place among them; -1 for a rare name.
        filled: What a missing name becomes; None where that is a name of its own.
    """

    kept: list[str]
    places: list[int]
    filled: str | None


class Survey(msgspec.Struct, frozen=True):
    """What all records are like.

    Attributes:
        rows: How many there are.
        numbers: One for each numeric column.
        names: One for each column of names.
        dates: For each date one for each of its features.
        classes: Sorted; None where the target is a number.
        class_places: For each code of the target the place among the classes.
        target: The mean and the deviation of a target that is a number.
        digest: Of what is stored.
    """

    rows: int
    numbers: list[Scale]
    names: list[Names]
    dates: list[list[Scale]]
    classes: list[str] | None
    class_places: list[int]
    target: tuple[float, float]
    digest: str


class Question(NamedTuple):
    """What is learned from.

    Attributes:
        preparation: What is done with the columns.
        layout: The same, sorted.
        target: The column to predict.
        is_scaled: Whether features are scaled unless the preparation says otherwise.
        has_classes: Whether the target is a class.
    """

    preparation: Preparation
    layout: Layout
    target: str
    is_scaled: bool
    has_classes: bool

    @property
    def names(self) -> list[str]:
        """The columns that are read."""
        return [*self.layout.names, self.target]


def survey(
    question: Question, blocks: Iterable[pa.RecordBatch], folder: Path | None, threads: Threads
) -> tuple[Survey, Store]:
    """Stores all records.

    Args:
        question: What is learned from.
        blocks: All records.
        folder: Where they are stored; None for a file without a name.
        threads: Who works.

    Returns:
        What they are like, and where they are; the store is to be closed.

    Raises:
        InputError: there are none, there is only one class, or a value cannot be used.
        SinkError: they cannot be stored.
    """
    store = Store.begun(folder, record_type(question.layout))
    try:
        return _Pass(question, store, threads).survey(blocks), store
    except BaseException:
        store.close()
        raise


class _Pass:
    """One pass over the source."""

    def __init__(self, question: Question, store: Store, threads: Threads) -> None:
        self._question, self._store, self._threads = question, store, threads
        layout = question.layout
        self._statistics = Statistics(
            layout, has_number_target=not question.has_classes, is_scaled=question.is_scaled
        )
        self._codes = [
            Codes(f"column {name!r}", MOST_NAMES, "Leave it out, or say it by fewer names.")
            for name in layout.categories
        ]
        hint = "A number to predict is a column of floats."
        self._classes = Codes(f"the target {question.target!r}", MOST_CLASSES, hint)

    def survey(self, blocks: Iterable[pa.RecordBatch]) -> Survey:
        question = self._question
        encode = Encoder(question.preparation, question.layout, question.target, self._statistics)
        encoded = self._threads.answers(encode, _numbered(blocks))
        moments = self._statistics.gather(map(self._taken, encoded))
        self._check()
        target = moments.get(TARGET, Moments(0, 0.0, 1.0, 0.0, 0.0))
        return Survey(
            rows=self._store.rows,
            numbers=self._numbers(moments),
            names=[
                _names(codes, feature)
                for codes, feature in zip(
                    self._codes, question.layout.categories.values(), strict=True
                )
            ],
            dates=[
                [_standard(moments.get(name), question.is_scaled) for name in names]
                for names in self._statistics.date_names()
            ],
            classes=sorted(self._classes.names) if question.has_classes else None,
            class_places=_ranks_of(list(self._classes.names)),
            target=(target.mean, target.deviation or 1.0),
            digest=self._store.digest,
        )

    def _taken(self, block: Block) -> Partial:
        """Stores a block; blocks come in order, so names have the same codes in every run."""
        target = block.target
        codes = [
            each.take(named) for each, named in zip(self._codes, block.categories, strict=True)
        ]
        columns = {
            "target": self._classes.take(target) if isinstance(target, Named) else target,
            "seconds": block.seconds,
            "numbers": block.numbers,
        }
        if codes:
            columns["codes"] = np.stack(codes, axis=1)
        self._store.append(columns)
        return block.partial

    def _numbers(self, moments: dict[str, Moments]) -> list[Scale]:
        numbers = list(self._question.layout.numbers.values())
        known = [moments[f"number {place}"] for place in range(len(numbers))]
        columns = Columns(numbers, known, self._store.rows, is_scaled=self._question.is_scaled)
        return scales_of(columns, self._blocks, self._threads.answers)

    def _blocks(self) -> Iterator[Array]:
        for start in range(0, self._store.rows, BLOCK_ROWS):
            end = min(start + BLOCK_ROWS, self._store.rows)
            yield self._store.read([Range(start, end)])["numbers"]

    def _check(self) -> None:
        if not self._store.rows:
            message = "there are no records to learn from, expected at least one"
            raise InvalidRequestError(message, hint="Are all of them dropped for missing values?")
        if self._question.has_classes and len(self._classes.names) == 1:
            only = next(iter(self._classes.names))
            message = f"all targets are of one class, {only!r}, expected at least two"
            raise InvalidRequestError(message)


def _numbered(blocks: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    first = 0
    for block in blocks:
        yield first, block
        first += block.num_rows


def _standard(moments: Moments | None, is_scaled: bool) -> Scale:  # noqa: FBT001 - of one use
    if moments is None or not is_scaled:
        return Scale(0.0)
    return Scale(0.0, moments.mean, 1.0 / (moments.deviation or 1.0))


def _names(codes: Codes, feature: Categorical) -> Names:
    """Which names are kept: as the encoders of a preparation choose them."""
    counts = dict(zip(codes.names, codes.counts.tolist(), strict=True))
    mode = None
    if feature.missing == "most_frequent":
        missing = counts.pop(NO_TEXT, 0)
        mode = min(counts, key=lambda name: (-counts[name], name), default=NO_TEXT)
        counts[mode] = counts.get(mode, 0) + missing
    order = sorted(counts, key=lambda name: (-counts[name], name))[: feature.most_categories]
    kept = sorted([name for name in order if counts[name] >= feature.least_rows] or order[:1])
    place = {name: number for number, name in enumerate(kept)}
    if mode is not None:
        place[NO_TEXT] = place.get(mode, -1)
    return Names(kept, [place.get(name, -1) for name in codes.names], mode)


def _ranks_of(names: list[str]) -> list[int]:
    place = {name: number for number, name in enumerate(sorted(names))}
    return [place[name] for name in names]
