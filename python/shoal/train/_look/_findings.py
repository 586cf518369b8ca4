"""What to look at before training, in words: drawn from the facts of a look.

Nothing is found where chance may do it: outliers by fences that widen with the records, drift by a
test and a least distance, equal records by how many there would be by chance.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shoal.train._look._facts import Finding

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shoal.train._look._facts import (
        Bound,
        ColumnLook,
        Drift,
        FindingKind,
        Frequent,
        MissingTogether,
        Outliers,
        Repeats,
    )

MOSTLY: Final = 0.5
DRIFTED: Final = 0.1
CHANCE: Final = 1e-3
TOGETHER: Final = 0.99
MIXED_FROM: Final = 0.5
RARE_SHARE: Final = 0.01
RARE_RECORDS: Final = 20
MORE_THAN_CHANCE: Final = 10.0
LARGEST_WHOLE: Final = 1e15
LONG_TAIL: Final = 0.005


def of_column(column: ColumnLook, records: int) -> Iterator[Finding]:
    """What to look at in a column alone."""
    name, known = column.name, records - column.missing
    if not known:
        yield _finding("empty", name, "It has no value in any record.", "Leave it out.")
        return
    if column.kind == "other":
        why = "Its values are neither numbers, text, dates, nor true and false."
        yield _finding("other_type", name, why, "Take apart what is in it, or leave it out.")
        return
    yield from _of_gaps(column, records)
    if column.infinite:
        why = f"{_count(column.infinite, 'value is', 'values are')} infinite."
        yield _finding("infinite", name, why, "Make them missing, or find out where they are from.")
    yield from _of_text(column)
    if column.outliers is not None and column.outliers.records:
        yield _of_outliers(column, column.outliers, known)


def of_pairs(pairs: Sequence[MissingTogether]) -> Iterator[Finding]:
    """Columns that are always missing together."""
    groups: list[set[str]] = []
    for pair in pairs:
        if pair.correlation >= TOGETHER:
            met = [group for group in groups if group & set(pair.columns)]
            groups = [group for group in groups if group not in met]
            groups.append(set(pair.columns).union(*met))
    for group in sorted(sorted(group) for group in groups):
        yield Finding(
            kind="missing_together",
            columns=tuple(group),
            why="They are missing in the same records.",
            advice="Find out what these records have in common; one column that says so is enough.",
        )


def of_repeats(repeats: Repeats, target: str | None) -> Iterator[Finding]:
    """Records that equal others more often than chance would have it."""
    if repeats.pairs <= MORE_THAN_CHANCE * repeats.pairs_by_chance:
        return
    beside = f" (not compared: {_names(repeats.ignored)})" if repeats.ignored else ""
    if repeats.repeated:
        why = (
            f"{_count(repeats.repeated, 'record equals', 'records equal')} an earlier one{beside}."
        )
        advice = "Leave out copies, or keep them in one fold: learned and tested, they flatter."
        yield Finding(kind="repeated", columns=(), why=why, advice=advice)
    if repeats.contradictory and target is not None:
        count = _count(repeats.contradictory, "record equals", "records equal")
        why = f"{count} another one in all but the target{beside}."
        advice = "Find out which is right: no model can be right about both."
        yield Finding(kind="contradictory", columns=(target,), why=why, advice=advice)


def of_drifts(drifts: Sequence[Drift]) -> Iterator[Finding]:
    """Columns that differ between parts."""
    for drift in drifts:
        if drift.distance >= DRIFTED and drift.p_value <= CHANCE:
            why = f"In {drift.part} it differs: {drift.change} (distance {drift.distance:.2f})."
            advice = "Test on the part that is most like what is to come, or find out what changed."
            yield _finding("drift", drift.column, why, advice)


def of_order(columns: Sequence[str]) -> Iterator[Finding]:
    """Columns by which records are sorted."""
    for name in columns:
        why = "Records stand in its order."
        advice = (
            "If it is time, cut folds by it: later records are not known earlier; else shuffle."
        )
        yield _finding("ordered", name, why, advice)


def of_classes(classes: Sequence[Frequent], target: str) -> Iterator[Finding]:
    """Classes that few records have."""
    total = sum(each.records for each in classes)
    rare = [each for each in classes if each.records < max(RARE_RECORDS, RARE_SHARE * total)]
    if rare:
        said = ", ".join(f"{each.value!r} has {each.records}" for each in rare[:3])
        more = f" and {len(rare) - 3} more" if len(rare) > 3 else ""  # noqa: PLR2004 - as above
        why = f"Of {total} records {said}{more}."
        advice = "Gather more of it, or judge by precision and recall rather than accuracy."
        yield _finding("imbalance", target, why, advice)


def _of_gaps(column: ColumnLook, records: int) -> Iterator[Finding]:
    if column.distinct == 1 and column.minimum == column.maximum:
        beside = ", or none" if column.missing else ""
        why = f"Every record has the same value{beside}."
        advice = "Leave it out." if not column.missing else "Keep only whether it is missing."
        yield _finding("constant", column.name, why, advice)
    share = column.missing / records
    if share >= MOSTLY:
        why = f"{100 * share:.3g} % of its values are missing."
        advice = "Find out why; leave it out, or keep whether it is missing as a column."
        yield _finding("mostly_missing", column.name, why, advice)


def _of_text(column: ColumnLook) -> Iterator[Finding]:
    if column.number_share >= 1:
        why = "All its values are numbers, stored as text."
        yield _finding("numbers_as_text", column.name, why, "Read it as numbers.")
    elif column.number_share >= MIXED_FROM:
        others = ", ".join(map(repr, column.among_numbers))
        why = f"{100 * column.number_share:.3g} % of its values are numbers; others are {others}."
        advice = (
            "Say which texts stand for a missing value (missing=['?']), and read it as numbers."
        )
        yield _finding("mixed", column.name, why, advice)


def _of_outliers(column: ColumnLook, outliers: Outliers, known: int) -> Finding:
    ends = f"from {_value(column.minimum)} to {_value(column.maximum)}"
    count = _count(outliers.records, "value lies", "values lie")
    fences = f"{_value(outliers.low)} and {_value(outliers.high)}"
    why = f"{count} beyond the fences of {fences}; the column goes {ends}."
    is_tail = outliers.records > LONG_TAIL * known
    advice = (
        "A long tail: take logarithms or ranks, or a model of trees."
        if is_tail
        else "Find out whether they are mistakes; else cut them off at an end that you state."
    )
    return _finding("outliers", column.name, why, advice)


def _value(value: Bound | None) -> str:
    if isinstance(value, float) and value.is_integer() and abs(value) < LARGEST_WHOLE:
        return str(int(value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _finding(kind: FindingKind, column: str, why: str, advice: str) -> Finding:
    return Finding(kind=kind, columns=(column,), why=why, advice=advice)


def _count(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def _names(names: Sequence[str], most: int = 5) -> str:
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
