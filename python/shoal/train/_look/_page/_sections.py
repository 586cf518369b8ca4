"""A look as a page in one file: which sections there are, and what stands in them.

- It is made of the parts of `shoal.evaluate`: it fetches and runs nothing, and escapes all text.
- It is bounded, however many columns there are: of what is left out the number is said.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shoal.evaluate import Beside, Facts, Notes, Page, Section, Table, Text, Tile, Tiles, written
from shoal.train._look._page import _pictures as pictures
from shoal.train._look._page import _tables as tables
from shoal.train._look._page._pictures import short
from shoal.train._look._page._tables import named, percent, rounded

if TYPE_CHECKING:
    from collections.abc import Iterator

    from shoal.train._look._facts import ColumnLook, Look
    from shoal.train._look._page._tables import Block

MOST_NOTES: Final = 12
MOST_DRAWN: Final = 40
MOST_POWERS: Final = 20
MOST_BARS: Final = 12
GOALS: Final = {
    "classification": ", a class",
    "regression": ", a number",
    None: ", which cannot be done",
}
LEAVES: Final = "4 folds, a tree of at most 16 leaves; each category is a leaf"
MEASURES: Final = (
    "Spearman's rank correlation; the rank correlation ratio (Kelley, from Kruskal and Wallis); "
    "Cramer's V without bias (Bergsma)"
)
FENCES: Final = (
    "beyond 5 deviations or more from the median (Iglewicz and Hoaglin), wider with more records; "
    "each side has its own"
)
DISTANCE: Final = (
    "found from a Jensen-Shannon distance of 0.1 on, where a chi-squared test, corrected for all "
    "comparisons, gives 0.001 or less"
)
FOOTER: Final = "Everything on this page is inside this file; it fetches nothing and runs nothing."


def to_html(look: Look) -> str:
    """Gives a look as a page in one file, without script, to be read and printed anywhere.

    Raises:
        RequirementError: jinja2 or matplotlib is not installed.
    """
    sections = [section for section in _sections(look) if section.blocks]
    return Page(
        title=short(look.name, 80),
        subtitle="Data report",
        sections=tuple(sections),
        footer=FOOTER,
    ).to_html()


def _sections(look: Look) -> Iterator[Section]:
    yield _summary(look)
    yield _suspects(look)
    yield Section("What to look at", tuple(tables.findings(look)))
    yield _target(look)
    yield _telling(look)
    yield Section("Columns", tuple(tables.columns(look)))
    yield _distributions(look)
    yield Section("Missing together", tuple(tables.together(look)))
    yield _repeats(look)
    yield Section("Outliers", tuple(tables.outliers(look)))
    yield _drift(look)
    yield _method(look)


def _summary(look: Look) -> Section:
    cells = look.records * len(look.columns)
    missing = sum(column.missing for column in look.columns)
    tiles = (
        Tile("Records", look.records, f"of {written(len(look.columns))} columns"),
        Tile("Missing values", percent(missing, cells), f"{written(missing)} of {written(cells)}"),
        Tile("Equal records", look.repeats.repeated, "beyond the first of each"),
        Tile("Suspects", len(look.suspects), "columns that may tell too much"),
        Tile("Findings", len(look.findings), "to look at before training"),
    )
    said = [f"{named(each.column)}, a suspect: {each.why}" for each in look.suspects]
    said += [
        f"{', '.join(map(named, each.columns[:3])) or 'All records'}: {each.why}"
        for each in look.findings
    ]
    shown = [*look.notes, *said[:MOST_NOTES]]
    if len(said) > MOST_NOTES:
        shown.append(f"{len(said) - MOST_NOTES} more below.")
    notes = (Notes(tuple(shown)),) if shown else (Text("Nothing suspicious was found."),)
    return Section("Summary", (Text(_measured_on(look)), Tiles(tiles), *notes))


def _measured_on(look: Look) -> str:
    goal = "No column is to be predicted."
    if look.target is not None:
        goal = f"{named(look.target)} is to be predicted{GOALS[look.task]}."
    if look.sample.is_all:
        return f"{goal} Everything here is of all records."
    return (
        f"{goal} Counts, ends, means, outliers, classes and equal records are of all records; all "
        f"else is of a sample of {written(look.sample.records)}, drawn at random."
    )


def _suspects(look: Look) -> Section:
    if not look.suspects:
        return Section("Suspects", ())
    said = (
        "A model that learns from these columns may be far better here than it will ever be in "
        "use. What happened after the target was known, only you can tell."
    )
    return Section("Suspects", (Text(said), *tables.suspects(look)))


def _target(look: Look) -> Section:
    if look.target is None or look.task is None:
        return Section("Target", ())
    if look.task == "classification":
        shown, said = look.classes[:MOST_BARS], ""
        others = len(look.classes) - len(shown)
        figure = pictures.bars(shown, others, title=look.target, said=said)
        table, *rest = tables.classes(look)
        if rest or not isinstance(table, Table):
            return Section("Target", (figure, table, *rest))
        return Section("Target", (Beside((figure, table)),))
    column = look.column(look.target)
    figure_of_number = pictures.distribution(column, _said(column, look.records))
    return Section("Target", () if figure_of_number is None else (figure_of_number,))


def _telling(look: Look) -> Section:
    told = [each for each in look.columns if each.power is not None or each.association]
    told.sort(key=lambda each: -(each.power or 0.0))
    if not told:
        return Section("What columns tell", ())
    said = (
        "How well a column predicts the target alone, by a small tree on records it has not "
        "learned from; and how it goes with the target by order or by counts."
    )
    return Section(
        "What columns tell",
        (Text(said), pictures.powers(told[:MOST_POWERS]), *tables.telling(look, told)),
    )


def _distributions(look: Look) -> Section:
    chosen = _drawn_columns(look)
    figures = [
        (column, figure)
        for column in look.columns
        if column.name in chosen
        and (figure := pictures.distribution(column, _said(column, look.records))) is not None
    ]
    wide = tuple(figure for column, figure in figures if not column.frequent)
    listed = tuple(figure for column, figure in figures if column.frequent)
    besides = tuple(Beside(each) for each in (wide, listed) if each)
    blocks: tuple[Block, ...] = besides
    if wide:
        blocks = (Text("The dashed line is the median."), *besides)
    drawable = len(_drawable(look))
    if drawable > len(figures) and blocks:
        said = (
            f"{written(drawable - len(figures))} more columns are not drawn: these are the ones "
            "with findings, then those that tell most of the target."
        )
        return Section("Distributions", (Notes((said,)), *blocks))
    return Section("Distributions", blocks)


def _drawn_columns(look: Look) -> set[str]:
    """The columns that are drawn: those with findings first, then by what they tell."""
    named_first = {each.column for each in look.suspects} | {
        name for each in look.findings for name in each.columns
    }
    drawable = _drawable(look)
    drawable.sort(key=lambda each: (each.name not in named_first, -(each.power or 0.0)))
    return {each.name for each in drawable[:MOST_DRAWN]}


def _drawable(look: Look) -> list[ColumnLook]:
    """Columns whose values differ, but for the target, which has a section of its own."""
    return [
        each
        for each in look.columns
        if each.name != look.target
        and each.distinct > 1
        and (each.frequent or each.histogram is not None)
    ]


def _said(column: ColumnLook, records: int) -> str:
    """What stands below the plot of a column."""
    parts: list[str] = [column.kind]
    if column.kind not in {"categorical", "boolean"} and column.minimum is not None:
        ends = (written(rounded(column.minimum)), written(rounded(column.maximum)))
        parts.append(" to ".join(ends))
    if column.mean is not None and column.kind in {"integer", "float"}:
        parts.append(f"mean {written(rounded(column.mean))}")
    if column.missing:
        parts.append(f"{percent(column.missing, records)} missing")
    if column.infinite:
        parts.append(f"{written(column.infinite)} infinite")
    return ", ".join(parts) + "."


def _repeats(look: Look) -> Section:
    found = look.repeats
    if not (found.repeated or found.contradictory):
        return Section("Equal records", ())
    facts: list[tuple[str, str | int | float | None]] = [
        ("Equal to an earlier record", found.repeated),
        ("Equal but for the target", found.contradictory),
        ("Equal pairs, the target aside", found.pairs),
        ("Such pairs by chance", found.pairs_by_chance),
    ]
    if found.ignored:
        facts.append(("Not compared", ", ".join(map(named, found.ignored[:8]))))
    if found.share < 1:
        facts.append(("Estimated from", f"{percent(found.share, 1)} of different records"))
    return Section(
        "Equal records",
        (
            Facts(tuple(facts)),
            *tables.examples("Some equal records, by their rows from 0", found.examples),
            *tables.examples("Some that differ in the target only", found.contradictions),
        ),
    )


def _drift(look: Look) -> Section:
    blocks = tables.drifts(look)
    if not blocks:
        return Section("Drift", ())
    parts = ", ".join(f"{short(part.name)} ({written(part.records)})" for part in look.parts[:20])
    more = f" and {len(look.parts) - 20} more" if len(look.parts) > 20 else ""  # noqa: PLR2004 - as above
    return Section("Drift", (Text(f"Compared are {parts}{more}."), *blocks))


def _method(look: Look) -> Section:
    sample = (
        "none: all records were looked at"
        if look.sample.is_all
        else f"{written(look.sample.records)} records at random, seed {look.sample.seed}"
    )
    score = (
        "R\N{SUPERSCRIPT TWO} of ranks" if look.task == "regression" else "2 AUC \N{MINUS SIGN} 1"
    )
    facts = (
        ("Sample", sample),
        ("Alone", f"{score}, {LEAVES}"),
        ("Association", MEASURES),
        (
            "Suspect",
            f"{look.settings.suspicious:g} or more alone; a copy; missing tells 0.9 or more",
        ),
        ("Outliers", FENCES),
        ("Drift", DISTANCE),
        ("Equal records", "compared by 64-bit marks, without columns that name the record"),
    )
    return Section("How it was measured", (Facts(facts),))
