"""The tables of the page: each from the facts of a look, bounded, and saying what is left out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shoal.evaluate import Beside, Notes, Shaded, Table, Text, written
from shoal.train._look._page._pictures import short

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeAlias

    from shoal.train._look._facts import ColumnLook, Look

    Value: TypeAlias = str | int | float | None
    Block: TypeAlias = Table | Notes | Text | Beside

MOST_ROWS: Final = 200
LONGEST_NAME: Final = 60
LARGE: Final = 1e4
LARGEST: Final = 1e15
NO_BREAK: Final = "\N{NO-BREAK SPACE}"
SUSPICIONS: Final = {
    "equals_target": "equals the target",
    "renames_target": "renames the target",
    "predicts_target": "predicts it alone",
    "missing_tells_target": "tells it by being missing",
    "identifier": "names the record",
}
WORDS: Final = {
    "empty": "empty",
    "constant": "constant",
    "mostly_missing": "mostly missing",
    "missing_together": "missing together",
    "infinite": "infinite values",
    "mixed": "mixed kinds",
    "numbers_as_text": "numbers as text",
    "outliers": "outliers",
    "repeated": "equal records",
    "contradictory": "contradictory records",
    "drift": "drift",
    "ordered": "sorted",
    "imbalance": "rare class",
    "other_type": "other type",
}
MEASURES: Final = {
    "spearman": "Spearman",
    "rank_correlation_ratio": "rank correlation ratio",
    "cramers_v": "Cram\N{LATIN SMALL LETTER E WITH ACUTE}r's V",
}


def named(name: str) -> str:
    """The name of a column, as it stands in a table."""
    return short(name, LONGEST_NAME)


def percent(part: float, whole: float) -> str:
    """A share in percent; never 0 or 100 % where it is not."""
    if not whole:
        return f"0{NO_BREAK}%"
    share = 100 * part / whole
    if 0 < share < 0.1:  # noqa: PLR2004 - of percent
        return f"<{NO_BREAK}0.1{NO_BREAK}%"
    text = f"{share:.3g}"
    return f"{'>99.9' if text == '100' and part < whole else text}{NO_BREAK}%"


def suspects(look: Look) -> list[Block]:
    """Columns that may tell too much."""
    rows = [
        (
            named(each.column),
            SUSPICIONS[each.kind],
            Shaded(each.strength, each.strength),
            each.why,
            each.advice,
        )
        for each in look.suspects
    ]
    headings = ("Column", "Suspicion", "Strength", "Why", "What to do")
    return bounded("Columns that may tell too much", headings, rows, "suspects")


def findings(look: Look) -> list[Block]:
    """What else to look at."""
    rows = [
        (_names(each.columns) or "all records", WORDS[each.kind], each.why, each.advice)
        for each in look.findings
    ]
    headings = ("Where", "What", "Why", "What to do")
    return bounded("What to look at before training", headings, rows, "findings")


def telling(look: Look, columns: Sequence[ColumnLook]) -> list[Block]:
    """What columns tell of the target, the most telling first."""
    rows = []
    for each in columns:
        found = each.association
        rows.append(
            (
                named(each.name),
                each.kind,
                None if each.power is None else Shaded(each.power, each.power),
                None if found is None else found.value,
                MEASURES[found.measure] if found is not None else written(None),
                each.missing_power,
            )
        )
    headings = ("Column", "Kind", "Alone", "Association", "Measure", "By being missing")
    return bounded(f"What columns tell of {named(look.target or '')}", headings, rows, "columns")


def columns(look: Look) -> list[Block]:
    """Every column: its kind, what is missing, its ends."""
    ends = [end for each in look.columns for end in (each.minimum, each.maximum)]
    has_dates = any(isinstance(end, str) for end in ends)
    rows = [
        (
            named(each.name),
            each.kind,
            Shaded(percent(each.missing, look.records), each.missing / look.records),
            each.distinct,
            *(
                written(rounded(end)) if has_dates else rounded(end)
                for end in (each.minimum, each.maximum)
            ),
            rounded(each.mean),
            rounded(each.deviation),
        )
        for each in look.columns
    ]
    headings = (
        *("Column", "Kind", "Missing", "Different", "Least", "Greatest", "Mean", "Deviation"),
    )
    return bounded("All columns; of text, its length in characters", headings, rows, "columns")


def together(look: Look) -> list[Block]:
    """Pairs of columns that are missing together."""
    rows = [
        (
            f"{named(each.columns[0])} + {named(each.columns[1])}",
            each.records,
            each.by_chance,
            Shaded(each.correlation, each.correlation),
        )
        for each in look.together
    ]
    headings = ("Columns", "Both missing", "By chance", "Correlation")
    return bounded("Columns that are missing together, in the sample", headings, rows, "pairs")


def outliers(look: Look) -> list[Block]:
    """Columns with values that are far from all others."""
    rows = [
        (named(each.name), each.outliers.records, *map(rounded, ends))
        for each in look.columns
        if each.outliers is not None and each.outliers.records
        for ends in [(each.minimum, each.outliers.low, each.outliers.high, each.maximum)]
    ]
    headings = ("Column", "Outliers", "Least", "Lower fence", "Upper fence", "Greatest")
    return bounded("Values beyond the fences, of all records", headings, rows, "columns")


def drifts(look: Look) -> list[Block]:
    """How columns differ between parts, the largest difference first."""
    rows = [
        (
            named(each.column),
            Shaded(each.distance, each.distance),
            each.p_value,
            short(each.part, LONGEST_NAME),
            each.change,
        )
        for each in look.drifts
    ]
    headings = ("Column", "Distance", "p, corrected", "Part", "What differs most")
    return bounded("How columns differ between parts", headings, rows, "columns")


def classes(look: Look) -> list[Block]:
    """How many records each class has."""
    total = sum(each.records for each in look.classes)
    rows = [
        (short(each.value, LONGEST_NAME), each.records, percent(each.records, total))
        for each in look.classes
    ]
    return bounded("Records of each class", ("Class", "Records", "Share"), rows, "classes")


def examples(caption: str, pairs: Sequence[tuple[int, int]]) -> list[Block]:
    """Rows that equal each other."""
    return bounded(caption, ("Row", "Row of the other"), list(pairs), "pairs")


def bounded(
    caption: str,
    headings: tuple[str, ...],
    rows: Sequence[tuple[Value | Shaded, ...]],
    of: str,
) -> list[Block]:
    """A table of the first rows, with a note where there are more; nothing where there is none.

    Args:
        caption: What the table tells.
        headings: One per column.
        rows: All rows.
        of: What a row is, for the note.
    """
    if not rows:
        return []
    found: list[Block] = [Table(caption, headings, tuple(rows[:MOST_ROWS]))]
    if len(rows) > MOST_ROWS:
        left = len(rows) - MOST_ROWS
        note = f"{written(left)} more {of} are not shown here; the JSON of this report has them."
        found.insert(0, Notes((note,)))
    return found


def rounded(value: Value) -> Value:
    """A number of a table: of a large one no fraction, rather than few of its digits."""
    is_large = isinstance(value, float) and LARGE <= abs(value) < LARGEST
    return round(value) if is_large else value  # type: ignore[arg-type]  # told above


def _names(names: Sequence[str], most: int = 8) -> str:
    shown = ", ".join(named(name) for name in names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
