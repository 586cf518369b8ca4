"""The first and only pass over the source: records are prepared for learning and stored.

- How many there are decides which are held out (`_order.py`); what records are like is then
  gathered from those that are stored and learned from. Held-out ones add nothing: no mean, no
  median, no name, no class.
- A name or class of held-out records alone is an unknown one.
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
from shoal.train._learn._stored._learned import Learned
from shoal.train._learn._stored._scales import Columns, Scale, scales_of
from shoal.train._learn._stored._statistics import Moments, Statistics
from shoal.train._learn._stored._store import Store, record_type
from shoal.train._prepare._steps import NO_TEXT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa
    from numpy.typing import NDArray

    from shoal.train._learn._order import Order
    from shoal.train._learn._stored._layout import Layout
    from shoal.train._learn._stored._learned import Gathered
    from shoal.train._learn._threads import Threads
    from shoal.train._prepare._description import Categorical, Preparation

    Array = NDArray[Any]


class Names(msgspec.Struct, frozen=True):
    """The names of a column.

    Attributes:
        kept: Those with a feature, sorted.
        places: For each code the place among them; -1 for a rare or unknown name.
        filled: What a missing name becomes; None where that is a name of its own.
    """

    kept: list[str]
    places: list[int]
    filled: str | None


class Survey(msgspec.Struct, frozen=True):
    """What records are like: but for the first and the last, those that are learned from.

    Attributes:
        rows: How many there are, those that are held out included.
        numbers: One for each numeric column.
        names: One for each column of names.
        dates: For each date one for each of its features.
        classes: Sorted; None where the target is a number.
        class_places: For each code of the target the place among the classes; -1 for an unknown
            one.
        target: The mean and the deviation of a target that is a number.
        digest: Of all that is stored.
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
    question: Question,
    blocks: Iterable[pa.RecordBatch],
    folder: Path | None,
    threads: Threads,
    order: Callable[[int], Order],
) -> tuple[Survey, Store]:
    """Stores all records.

    Args:
        question: What is learned from.
        blocks: All records.
        folder: Where they are stored; None for a file without a name.
        threads: Who works.
        order: Of so many records says which are learned from.

    Returns:
        What they are like, and where they are; the store is to be closed.

    Raises:
        InputError: there are none, there is only one class, a value cannot be used, or none would
            be learned from or held out.
        SinkError: they cannot be stored.
    """
    store = Store.begun(folder, record_type(question.layout))
    try:
        stored = _Pass(question, store)
        stored.take(blocks, threads)
        return stored.survey(Learned(store, order(store.rows), threads)), store
    except BaseException:
        store.close()
        raise


class _Pass:
    """One pass over the source."""

    def __init__(self, question: Question, store: Store) -> None:
        self._question, self._store = question, store
        self._codes = [
            Codes(f"column {name!r}", MOST_NAMES, "Leave it out, or say it by fewer names.")
            for name in question.layout.categories
        ]
        hint = "A number to predict is a column of floats."
        self._classes = Codes(f"the target {question.target!r}", MOST_CLASSES, hint)

    def take(self, blocks: Iterable[pa.RecordBatch], threads: Threads) -> None:
        """Stores all records."""
        encode = Encoder(self._question.preparation, self._question.layout, self._question.target)
        for block in threads.answers(encode, _numbered(blocks)):
            self._store_block(block)
        if not self._store.rows:
            message = "there are no records to learn from, expected at least one"
            raise InvalidRequestError(message, hint="Are all of them dropped for missing values?")

    def survey(self, learned: Learned) -> Survey:
        """What the records that are learned from are like."""
        question, layout = self._question, self._question.layout
        statistics = Statistics(
            layout, has_number_target=not question.has_classes, is_scaled=question.is_scaled
        )
        widths = [len(codes.names) for codes in self._codes]
        found = learned.gathered(statistics, widths, len(self._classes.names))
        counts, moments = found.counts, found.moments
        counted = zip(counts.names, layout.categories.values(), strict=True)
        columns = zip(self._codes, counted, strict=True)
        return Survey(
            rows=self._store.rows,
            numbers=self._numbers(learned, found),
            names=[_names(list(codes.names), *counted) for codes, counted in columns],
            dates=[
                [_standard(moments.get(name), question.is_scaled) for name in names]
                for names in statistics.date_names()
            ],
            **self._classes_of(counts.classes),
            target=found.target,
            digest=self._store.digest,
        )

    def _store_block(self, block: Block) -> None:
        """Blocks come in order, so names have the same codes in every run."""
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

    def _numbers(self, learned: Learned, found: Gathered) -> list[Scale]:
        numbers = list(self._question.layout.numbers.values())
        known = [found.moments[f"number {place}"] for place in range(len(numbers))]
        columns = Columns(numbers, known, found.counts.rows, is_scaled=self._question.is_scaled)
        return scales_of(columns, learned.numbers, learned.threads.answers)

    def _classes_of(self, counts: Array) -> dict[str, Any]:
        if not self._question.has_classes:
            return {"classes": None, "class_places": []}
        names = list(self._classes.names)
        classes = sorted(name for name, count in zip(names, counts, strict=True) if count)
        if len(classes) == 1:
            message = f"all targets are of one class, {classes[0]!r}, expected at least two"
            hint = "Records that are held out do not count." if len(names) > 1 else None
            raise InvalidRequestError(message, hint=hint)
        return {"classes": classes, "class_places": _places_of(names, classes)}


def _numbered(blocks: Iterable[pa.RecordBatch]) -> Iterator[tuple[int, pa.RecordBatch]]:
    first = 0
    for block in blocks:
        yield first, block
        first += block.num_rows


def _standard(moments: Moments | None, is_scaled: bool) -> Scale:  # noqa: FBT001 - of one use
    if moments is None or not is_scaled:
        return Scale(0.0)
    return Scale(0.0, moments.mean, 1.0 / (moments.deviation or 1.0))


def _names(codes: list[str], counted: Array, feature: Categorical) -> Names:
    """Which names are kept: as the encoders of a preparation choose them."""
    counts = {name: count for name, count in zip(codes, counted.tolist(), strict=True) if count}
    mode = None
    if feature.missing == "most_frequent":
        missing = counts.pop(NO_TEXT, 0)
        mode = min(counts, key=lambda name: (-counts[name], name), default=NO_TEXT)
        counts[mode] = counts.get(mode, 0) + missing
    order = sorted(counts, key=lambda name: (-counts[name], name))[: feature.most_categories]
    kept = sorted([name for name in order if counts[name] >= feature.least_rows] or order[:1])
    places = _places_of(codes, kept)
    if mode is not None and NO_TEXT in codes:
        places[codes.index(NO_TEXT)] = _places_of([mode], kept)[0]
    return Names(kept, places, mode)


def _places_of(codes: list[str], names: list[str]) -> list[int]:
    """For each code the place of its name among some; -1 where it is none of them."""
    place = {name: number for number, name in enumerate(names)}
    return [place.get(name, -1) for name in codes]
