"""A report as a page: which sections there are, and what stands in them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from shoal.evaluate import _plots_of as plots
from shoal.evaluate._metric_names import WAYS, meaning_of, title_of
from shoal.evaluate._page._blocks import (
    Beside,
    Block,
    Facts,
    Notes,
    Section,
    Shaded,
    Table,
    Text,
    Tile,
    Tiles,
    written,
)
from shoal.evaluate._page._page import Page
from shoal.evaluate._report import metric_row, range_of
from shoal.evaluate._task import Classification

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from shoal.evaluate._compare import Comparison, Pair
    from shoal.evaluate._evaluation import Calibration, Evaluation, Sliced
    from shoal.evaluate._importance import Importance
    from shoal.evaluate._report import ModelCard, Report

HEADLINES: Final = {
    "binary": ("roc_auc", "average_precision", "recall", "precision"),
    "many": ("accuracy", "macro_f1", "roc_auc", "log_loss"),
    "number": ("mean_absolute_error", "root_mean_squared_error", "r2", "median_absolute_error"),
}
# More labels than fit a page: the matrix is told by its largest mistakes.
MOST_LABELS_OF_A_MATRIX: Final = 20
MOST_MISTAKES: Final = 30
COMPARED: Final = {
    "records": "By answers to the same records",
    "folds": "By scores on the same folds of a cross-validation",
}
NO_BREAK: Final = "\N{NO-BREAK SPACE}"


def to_html(report: Report) -> str:
    """Gives a report as a page in one file, without script, to be read and printed anywhere.

    Raises:
        RequirementError: jinja2 or matplotlib is not installed.
    """
    return page_of(report).to_html()


def page_of(report: Report) -> Page:
    """Gives a report as a page, whose sections may be added to."""
    card, evaluation = report.card, report.evaluation
    sections = [_summary(card, evaluation), _metrics(evaluation)]
    if evaluation.by_label:
        sections += [_labels(evaluation), _confusion(evaluation)]
    if evaluation.curves:
        sections.append(_ranking(evaluation))
    if evaluation.calibration is not None:
        sections.append(_calibration(evaluation.calibration))
    if evaluation.thresholds:
        sections.append(_thresholds(evaluation))
    sections += list(_errors(evaluation))
    if evaluation.slices:
        sections.append(_slices(evaluation))
    if report.comparisons:
        sections.append(_comparisons(report.comparisons))
    if report.importances:
        sections.append(_importances(report.importances))
    sections += [_card(card), _method(evaluation)]
    return Page(
        title=f"{card.name} {card.version}".rstrip(),
        subtitle="Evaluation report",
        sections=tuple(sections),
        footer="Everything on this page is inside this file; it fetches nothing and runs nothing.",
    )


def _headlines(evaluation: Evaluation) -> tuple[str, ...]:
    task = evaluation.task
    kind = "number"
    if isinstance(task, Classification):
        kind = "binary" if task.is_binary else "many"
    found = {metric.name: metric.value for metric in evaluation.metrics}
    first = [name for name in HEADLINES[kind] if found.get(name) is not None]
    rest = [name for name, value in found.items() if value is not None and name not in first]
    return tuple([*first, *rest][: len(HEADLINES[kind])])


def _summary(card: ModelCard, evaluation: Evaluation) -> Section:
    tiles = []
    for name in _headlines(evaluation):
        metric = evaluation.metric(name)
        between = range_of(metric.bounds)
        detail = meaning_of(name) if between is None else between
        tiles.append(Tile(title_of(name), metric.value, detail))
    blocks: list[Block] = [Text(card.summary)] if card.summary else []
    blocks += [Text(_measured_on(evaluation)), Tiles(tuple(tiles))]
    noted = [f"{title_of(m.name)}: {m.note}" for m in evaluation.metrics if m.note]
    if found := (*evaluation.notes, *noted):
        blocks.append(Notes(tuple(found)))
    return Section("Summary", tuple(blocks))


def _measured_on(evaluation: Evaluation) -> str:
    said = f"Measured on {written(evaluation.records)} records"
    task = evaluation.task
    if isinstance(task, Classification) and task.is_binary:
        positive = evaluation.by_label[task.positive_place]
        total = sum(label.records for label in evaluation.by_label)
        share = _percent(100 * positive.records / total)
        said += f", {share} of them truly \N{LEFT DOUBLE QUOTATION MARK}{positive.label}"
        said += "\N{RIGHT DOUBLE QUOTATION MARK}, the label that is looked for"
    elif isinstance(task, Classification):
        said += f" of {len(task.labels)} labels"
    if evaluation.settings.weight is not None:
        said += f", weighed by {evaluation.settings.weight}"
    if evaluation.settings.replicates:
        said += f". Ranges are {_confidence(evaluation)} intervals"
    return f"{said}."


def _confidence(evaluation: Evaluation) -> str:
    return _percent(100 * evaluation.settings.confidence)


def _percent(value: float) -> str:
    return f"{value:.3g}{NO_BREAK}%"


def _metrics(evaluation: Evaluation) -> Section:
    headings = ("Metric", "Value", f"{_confidence(evaluation)} interval", "Better", "What it tells")
    rows = tuple(metric_row(metric) for metric in evaluation.metrics)
    return Section("Metrics", (Table("All metrics", headings, rows),))


def _labels(evaluation: Evaluation) -> Section:
    names = [metric.name for metric in evaluation.by_label[0].metrics]
    rows = tuple(
        (str(label.label), label.records, *(metric.value for metric in label.metrics))
        for label in evaluation.by_label
    )
    headings = ("Label", "Records", *map(title_of, names))
    table = Table("Each label, told from all others", headings, rows)
    return Section("Labels", (table,))


def _confusion(evaluation: Evaluation) -> Section:
    labels = [str(label.label) for label in evaluation.by_label]
    if len(labels) > MOST_LABELS_OF_A_MATRIX:
        return Section("Confusion", (_mistakes(evaluation, labels),))
    rows = []
    for label, counts in zip(labels, evaluation.confusion, strict=True):
        total = sum(counts)
        rows.append((label, *(Shaded(count, count / (total or 1.0)) for count in counts), total))
    said = "Each row is a true label, each column an answer: on the diagonal the answer is right."
    caption = "Truths (rows) by answers (columns); the shade is the share of the row"
    table = Table(caption, ("Truth", *labels, "Records"), tuple(rows))
    return Section("Confusion", (Text(said), table))


def _mistakes(evaluation: Evaluation, labels: list[str]) -> Table:
    found = [
        (count, truth, answer)
        for truth, counts in enumerate(evaluation.confusion)
        for answer, count in enumerate(counts)
        if count and truth != answer
    ]
    largest = sorted(found, key=lambda mistake: -mistake[0])[:MOST_MISTAKES]
    rows = tuple((labels[truth], labels[answer], count) for count, truth, answer in largest)
    return Table("The most frequent mistakes", ("Truth", "Answer", "Records"), rows)


def _ranking(evaluation: Evaluation) -> Section:
    figures = Beside((plots.roc(evaluation.curves), plots.precision_recall(evaluation.curves)))
    said = "How well the scores put records of a label above all others, whatever the threshold."
    return Section("Ranking", (Text(said), figures))


def _calibration(calibration: Calibration) -> Section:
    asked = "of the most probable label" if calibration.of is None else f"of {calibration.of}"
    rows = tuple(
        (f"{found.low:g} to {found.high:g}", found.records, found.probability, found.share)
        for found in calibration.bins
    )
    headings = ("Probability", "Records", "Mean probability", "Share that came true")
    table = Table(f"Reliability: the probability {asked}", headings, rows)
    return Section("Calibration", (Beside((plots.reliability(calibration), table)),))


def _thresholds(evaluation: Evaluation) -> Section:
    rows = tuple(
        (
            f"{row.threshold:g}",
            row.precision,
            row.recall,
            row.f1,
            row.false_positive_rate,
            row.answered_positive,
        )
        for row in evaluation.thresholds
    )
    headings = (
        "Positive from",
        "Precision",
        "Recall",
        "F1",
        "False positive rate",
        "Answered positive",
    )
    table = Table("What is found if records are positive from a probability up", headings, rows)
    return Section("Thresholds", (plots.by_threshold(evaluation.thresholds), table))


def _errors(evaluation: Evaluation) -> Iterator[Section]:
    if evaluation.agreement is not None:
        figures = (plots.agreement(evaluation.agreement), plots.errors(evaluation.agreement))
        yield Section("Errors", (Beside(figures),))


def _slices(evaluation: Evaluation) -> Section:
    said = "The same metrics for each value of a column. Few records make wide intervals."
    blocks: list[Block] = [Text(said)]
    for sliced in evaluation.slices:
        figure = plots.slices(sliced, _headlines(evaluation))
        blocks += [] if figure is None else [figure]
        blocks.append(_slice_table(sliced, _headlines(evaluation)))
    return Section("Slices", tuple(blocks))


def _slice_table(sliced: Sliced, names: tuple[str, ...]) -> Table:
    rows: list[tuple[str | int | float | None, ...]] = []
    for part in sliced.slices:
        values = {metric.name: metric.value for metric in part.metrics}
        name = "missing" if part.value is None else part.value
        rows.append((name, part.records, *(values.get(name) for name in names)))
    differences = (sliced.differences.get(name) for name in names)
    rows.append(("largest difference", None, *differences))
    headings = (sliced.column, "Records", *map(title_of, names))
    return Table(f"By {sliced.column}", headings, tuple(rows))


def _comparisons(comparisons: Sequence[Comparison]) -> Section:
    blocks: list[Block] = []
    for comparison in comparisons:
        title, winner = title_of(comparison.metric), comparison.winner
        way = WAYS[comparison.better]
        rows = tuple((standing.name, standing.value) for standing in comparison.standings)
        if comparison.notes:
            blocks.append(Notes(comparison.notes))
        blocks += [
            Text(f"{COMPARED[comparison.by]}: first by {title}, {way} is better, is {winner}."),
            Table("Standings", ("Model", title), rows),
            _tests(winner, comparison.pairs),
        ]
    return Section("Comparison", tuple(blocks))


def _tests(winner: str, pairs: Sequence[Pair]) -> Table:
    rows = tuple(
        (
            f"{pair.role}: {pair.other}",
            pair.difference,
            range_of(pair.bounds),
            test.name,
            test.p_value,
            test.adjusted_p_value,
            f"{test.question}; {test.note}",
        )
        for pair in pairs
        for test in pair.tests
    )
    headings = (
        "Against",
        "Better by",
        "Interval",
        "Paired test",
        "p",
        "p, adjusted",
        "What it asks",
    )
    return Table(f"Is {winner} better, or was it luck?", headings, rows)


def _importances(found: Sequence[Importance]) -> Section:
    rows = tuple((one.column, one.mean, one.spread) for one in found)
    metric = title_of(found[0].metric)
    table = Table(
        f"Loss of {metric} when a column is shuffled", ("Column", "Mean", "Deviation"), rows
    )
    said = "Of two columns that say the same, each seems to matter little: the other is left."
    return Section("Importance", (plots.importances(found), Text(said), table))


def _card(card: ModelCard) -> Section:
    return Section("Model card", (Facts((*card.parts(), *card.facts.items())),))


def _method(evaluation: Evaluation) -> Section:
    if evaluation.method:
        return Section("How it was measured", (Facts(tuple(evaluation.method.items())),))
    settings = evaluation.settings
    draws = (
        f"{settings.replicates} draws of as many records with replacement, within each true label; "
        f"percentiles of {_confidence(evaluation)}; seed {settings.seed}"
        if settings.replicates
        else "none"
    )
    facts = (
        ("Intervals", draws),
        ("Weights", settings.weight or "every record counts alike"),
        ("A share of nothing", "counts as 0, and is noted"),
        ("Averages over labels", "macro: each label alike; weighted: by its records"),
        ("Ranking of several labels", "each label against all others, then the plain mean"),
    )
    return Section("How it was measured", (Facts(facts),))
