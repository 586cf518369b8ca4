"""`look`: what is in records, before anything is trained on them.

- All records are read once or twice in micro-batches, whatever their number: counts, ends, means,
  outliers, classes and equal records are of all. What needs records in memory (how values lie, what
  columns tell of the target, what is missing together, drift) is of a seeded sample, whose size is
  said; of fewer records that is all of them.
- The same records, settings and versions of libraries give the same look. Records in another order
  give the same one too where the sample has them all, but for what is said of their order.
- Nothing is changed, and nothing is learned that stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from shoal.errors import MissingColumnError
from shoal.train._look import _findings
from shoal.train._look._absences import missing_together
from shoal.train._look._coded import coded
from shoal.train._look._columns import beside_target, column_look, fences_of
from shoal.train._look._counts import counted
from shoal.train._look._drifts import drifts, is_sorted_by
from shoal.train._look._facts import Frequent, Look, Part, Sample
from shoal.train._look._power import power, trial_of
from shoal.train._look._read._records import records_of
from shoal.train._look._read._sample import Drawing
from shoal.train._look._repeats import Repeating, chance_of
from shoal.train._look._settings import LookSettings
from shoal.train._look._suspects import numbering, suspects_of
from shoal.train._look._targets import MOST_WHOLE_CLASSES, Target, target_of
from shoal.train._look._totals import Totals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from shoal.train._look._coded import Coded
    from shoal.train._look._counts import Counts
    from shoal.train._look._facts import ColumnLook, Drift, Finding, MissingTogether, Repeats
    from shoal.train._look._read._records import Records
    from shoal.train._look._read._sample import Drawn
    from shoal.train._look._totals import Total

HALVES: Final = ("the first half", "the second half")


def look(data: Any, *, target: str | None = None, settings: LookSettings | None = None) -> Look:
    """Looks at records before anything is trained on them.

    Args:
        data: A dataset, a pyarrow Table, the path of a dataset or of CSV, TSV, Parquet or JSON
            lines; or a mapping of names to several of these, which are compared with each other.
        target: The column to predict, where there is one.
        settings: How.

    Returns:
        What was seen; `to_html` makes a page of it.

    Raises:
        MissingColumnError: there is no such target, or a source lacks a column of another one.
        InputError: the data holds no record or column, or is nothing that records are read from.
        SourceError: files cannot be read.
        CorruptPackageError: a dataset is not as it was.
    """
    chosen = settings or LookSettings()
    with records_of(data) as records:
        if target is not None and target not in records.schema.names:
            message = f"there is no column {target!r} to predict"
            raise MissingColumnError(f"{message}; there are {', '.join(records.schema.names)}")
        return _look_of(_seen(records, target, chosen))


@dataclass(frozen=True)
class _Seen:
    """What was read of records.

    Attributes:
        records: Where they are read from, once more.
        settings: How they are looked at.
        totals: What is known of all of them, by column.
        drawn: The sample.
        columns: Its columns.
        name: The column to predict.
        target: What is to be predicted; None where nothing can be.
        notes: Why nothing can be.
    """

    records: Records
    settings: LookSettings
    totals: dict[str, Total]
    drawn: Drawn
    columns: tuple[Coded, ...]
    name: str | None
    target: Target | None
    notes: tuple[str, ...]

    @property
    def others(self) -> list[Coded]:
        """All columns but the one to predict."""
        return [column for column in self.columns if column.name != self.name]

    @property
    def classes(self) -> Coded | None:
        """The target, where it is a class."""
        is_class = self.target is not None and self.target.task == "classification"
        return self.target.column if self.target is not None and is_class else None


def _seen(records: Records, name: str | None, settings: LookSettings) -> _Seen:
    totals = Totals(records.kinds)
    size, seed = settings.sample_rows, settings.seed
    drawing = Drawing(records.rows, records.schema, size=size, seed=seed)
    drawing.look(totals.look(records.batches()))
    drawn = drawing.drawn()
    columns = tuple(
        coded(each, records.kinds[each], drawn.column(each)) for each in records.schema.names
    )
    found = next((target_of(column) for column in columns if column.name == name), None)
    target = found if isinstance(found, Target) else None
    notes = (found,) if isinstance(found, str) else ()
    return _Seen(records, settings, totals.of_columns(), drawn, columns, name, target, notes)


def _look_of(seen: _Seen) -> Look:
    counts, repeats = _counted(seen)
    trial = None if seen.target is None else trial_of(seen.target, seen.settings.seed)
    powers = {each.name: None if trial is None else power(each, trial) for each in seen.others}
    columns = tuple(_column(seen, each, counts, powers.get(each.name)) for each in seen.columns)
    parts, codes = _parts(seen)
    is_halved = len(seen.records.sources) == 1
    ordered = [
        each.name for each in seen.columns if is_halved and is_sorted_by(each, seen.drawn.rows)
    ]
    compared = [column for column in seen.columns if column.name not in ordered]
    pairs = missing_together(seen.columns)
    differences = drifts(compared, codes, [part.name for part in parts])
    classes = _classes(seen, counts)
    found = _Found(columns, pairs, repeats, differences, ordered, classes)
    return Look(
        name=seen.records.name,
        records=seen.records.rows,
        sample=Sample(
            records=len(seen.drawn.rows), is_all=seen.drawn.is_all, seed=seen.settings.seed
        ),
        settings=seen.settings,
        target=seen.name,
        task=None if seen.target is None else seen.target.task,
        columns=columns,
        classes=classes,
        suspects=suspects_of(
            seen.others, seen.target, seen.drawn.is_new, powers, seen.settings.suspicious
        ),
        findings=tuple(_findings_of(seen, found)),
        together=pairs,
        repeats=repeats,
        parts=parts,
        drifts=differences,
        notes=(*seen.notes, *_notes(seen, has_trial=trial is not None, repeats=repeats)),
    )


@dataclass(frozen=True)
class _Found:
    """What findings are drawn from."""

    columns: Sequence[ColumnLook]
    pairs: Sequence[MissingTogether]
    repeats: Repeats
    drifts: Sequence[Drift]
    ordered: Sequence[str]
    classes: Sequence[Frequent]


def _findings_of(seen: _Seen, found: _Found) -> list[Finding]:
    findings: list[Finding] = []
    for column in found.columns:
        findings += _findings.of_column(column, seen.records.rows)
    findings += _findings.of_pairs(found.pairs)
    findings += _findings.of_repeats(found.repeats, seen.name)
    findings += _findings.of_drifts(found.drifts)
    findings += _findings.of_order(found.ordered)
    if seen.name is not None and found.classes:
        findings += _findings.of_classes(found.classes, seen.name)
    return findings


def _counted(seen: _Seen) -> tuple[Counts, Repeats]:
    """What is counted of all records once the sample is known."""
    ignored = [
        column.name for column in seen.others if numbering(column, seen.drawn.is_new) is not None
    ]
    compared = [column for column in seen.others if column.name not in ignored]
    repeating = Repeating([column.name for column in compared], seen.name)
    fences = fences_of(seen.columns, seen.totals, seen.records.rows)
    counts = counted(seen.records, seen.drawn, fences, seen.classes, repeating)
    return counts, repeating.repeats(ignored, chance_of(compared))


def _column(seen: _Seen, column: Coded, counts: Counts, found: float | None) -> ColumnLook:
    name = column.name
    made = column_look(
        column, seen.totals[name], counts.fences.get(name), counts.outliers.get(name, 0), found
    )
    return msgspec.structs.replace(made, **beside_target(column, seen.target))


def _parts(seen: _Seen) -> tuple[tuple[Part, ...], NDArray[np.int64]]:
    """What is compared for drift, and which part each record of the sample is of."""
    sources = seen.records.sources
    if len(sources) > 1:
        parts = tuple(Part(source.name, source.rows) for source in sources)
    else:
        half = (seen.records.rows + 1) // 2
        parts = (Part(HALVES[0], half), Part(HALVES[1], seen.records.rows - half))
    ends = np.cumsum([part.records for part in parts])
    return parts, np.searchsorted(ends, seen.drawn.rows, side="right")


def _classes(seen: _Seen, counts: Counts) -> tuple[Frequent, ...]:
    column = seen.classes
    if column is None:
        return ()
    found = [
        Frequent(column.text(code), int(counts.classes[code])) for code in range(len(column.values))
    ]
    return tuple(sorted(found, key=lambda each: (-each.records, each.value)))


def _notes(seen: _Seen, *, has_trial: bool, repeats: Repeats) -> list[str]:
    notes = []
    if seen.target is not None and not has_trial:
        notes.append("Too few records have a target: no column was tried alone.")
    if seen.target is not None and (missing := seen.totals[seen.target.name].missing):
        notes.append(f"{missing} records have no target: nothing is learned from them.")
    if seen.target is not None and seen.target.task == "regression":
        column = seen.target.column
        if column.kind == "integer":
            notes.append(
                f"The target {column.name!r} has more than {MOST_WHOLE_CLASSES} whole values and "
                "is taken for a number; `search` takes whole numbers for classes: make it a float."
            )
    if infinite := 0 if seen.target is None else seen.totals[seen.target.name].infinite:
        notes.append(f"{infinite} records have an infinite target: they were left out.")
    if repeats.share == 0:
        notes.append("Records are too much alike to be compared with each other.")
    return notes
