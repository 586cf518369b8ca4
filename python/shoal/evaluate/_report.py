"""What a report holds: an evaluation and what belongs beside it, as plain values.

- The same report is a page (`to_html`), a model card (`to_markdown`) and JSON (`to_json`).
- A model card says what numbers cannot: what a model is for, and where it must not be used.

Source: M. Mitchell et al., "Model cards for model reporting".
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import msgspec

from shoal.evaluate._compare import Comparison
from shoal.evaluate._evaluation import Evaluation, Interval
from shoal.evaluate._importance import Importance
from shoal.evaluate._metric_names import WAYS, meaning_of, title_of
from shoal.evaluate._page._blocks import written

if TYPE_CHECKING:
    from shoal.evaluate._evaluation import Metric

MARKDOWN: Final = re.compile(r"([\\`*_{}\[\]<>#|~])")
UNSAID: Final = "Not stated."


class ModelCard(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What a model is and is for, in words.

    Attributes:
        name: The model.
        version: Of the model.
        summary: What it does, in a sentence or two.
        intended_use: What it is for, and for whom.
        out_of_scope: What it must not be used for.
        training_data: What it learned from.
        evaluation_data: What it was measured on, and how that was chosen.
        limitations: Where it is known to be weak.
        considerations: Whom an answer may harm, and what is done about it.
        facts: Anything else, by name: a digest, an estimator, a licence, privacy spent.
    """

    name: str
    version: str = ""
    summary: str = ""
    intended_use: str = ""
    out_of_scope: str = ""
    training_data: str = ""
    evaluation_data: str = ""
    limitations: str = ""
    considerations: str = ""
    facts: dict[str, str] = {}

    def parts(self) -> tuple[tuple[str, str], ...]:
        """Gives the headings of the card and what it says; what it leaves out is said as well."""
        named = {
            "Intended use": self.intended_use,
            "Out of scope": self.out_of_scope,
            "Training data": self.training_data,
            "Evaluation data": self.evaluation_data,
            "Limitations": self.limitations,
            "Ethical considerations": self.considerations,
        }
        return tuple((heading, text or UNSAID) for heading, text in named.items())


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a page tells about a model.

    Attributes:
        card: What the model is.
        evaluation: How good its answers are.
        comparisons: Of models: on the same records, on the same folds.
        importances: What it relies on, the most important column first.
    """

    card: ModelCard
    evaluation: Evaluation
    comparisons: tuple[Comparison, ...] = ()
    importances: tuple[Importance, ...] = ()


def to_markdown(report: Report) -> str:
    """Gives the model card as Markdown: its words, and the metrics as a table."""
    card = report.card
    lines = [f"# Model card: {_escaped(card.name)} {_escaped(card.version)}".rstrip()]
    if card.summary:
        lines += ["", _escaped(card.summary)]
    for heading, text in card.parts():
        lines += ["", f"## {heading}", "", _escaped(text)]
    if card.facts:
        lines += ["", "## Facts", "", "| | |", "|---|---|"]
        lines += [f"| {_cell(name)} | {_cell(value)} |" for name, value in card.facts.items()]
    lines += ["", "## Metrics", "", f"Measured on {report.evaluation.records} records.", ""]
    share = f"{report.evaluation.settings.confidence:.0%}"
    lines += [f"| metric | value | {share} interval | better |", "|---|---:|---|---|"]
    lines += [_metric_line(metric) for metric in report.evaluation.metrics]
    noted = [
        f"- {title_of(m.name)}: {_escaped(m.note)}" for m in report.evaluation.metrics if m.note
    ]
    noted += [f"- {_escaped(note)}" for note in report.evaluation.notes]
    if noted:
        lines += ["", "## Notes", "", *noted]
    return "\n".join(lines) + "\n"


def range_of(bounds: Interval | None) -> str | None:
    """Gives an interval as text."""
    if bounds is None:
        return None
    between = "\N{NO-BREAK SPACE}to\N{NO-BREAK SPACE}"
    return f"{written(bounds.low)}{between}{written(bounds.high)}"


def metric_row(metric: Metric) -> tuple[str, float | None, str | None, str, str]:
    """Gives a row of a table: title, value, interval, which way is better, what it means."""
    said = metric.note or meaning_of(metric.name)
    return title_of(metric.name), metric.value, range_of(metric.bounds), WAYS[metric.better], said


def _metric_line(metric: Metric) -> str:
    title, value, interval, better, _ = metric_row(metric)
    return f"| {title} | {written(value)} | {written(interval)} | {better} |"


def _escaped(text: str) -> str:
    return MARKDOWN.sub(r"\\\1", text)


def _cell(text: str) -> str:
    return _escaped(" ".join(text.split()))
