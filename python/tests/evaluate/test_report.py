from __future__ import annotations

import html.parser
import re
from typing import TYPE_CHECKING

import pytest

from shoal.evaluate import (
    Figure,
    ModelCard,
    Notes,
    Page,
    Report,
    Section,
    Shaded,
    Table,
    Text,
    from_json,
    page_of,
    plot,
    to_html,
    to_json,
    to_markdown,
)
from tests.evaluate import reports

if TYPE_CHECKING:
    from collections.abc import Callable

VOID = {"meta", "link", "br", "hr", "img"}
MAKERS = (
    reports.of_two_labels,
    reports.of_many_labels,
    reports.of_very_many_labels,
    reports.of_numbers,
    reports.of_hostile_names,
)


class Strict(html.parser.HTMLParser):
    """Reads a page and refuses what is not closed in order, or closed without being open."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"{tag} has an attribute twice"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "svg" in self.open, f"<{tag}/> closes nothing outside of a plot"
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)

    def of(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module", params=MAKERS, ids=lambda maker: maker.__name__)
def report(request: pytest.FixtureRequest) -> Report:
    maker: Callable[[], Report] = request.param
    return maker()


@pytest.fixture(scope="module")
def page(report: Report) -> str:
    return to_html(report)


def test_a_page_is_well_formed_and_its_names_are_unique(page: str) -> None:
    assert page.startswith('<!doctype html>\n<html lang="en">')
    read = Strict(page)
    names = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(names) == len(set(names))
    links = [attributes.get("href") or attributes.get("xlink:href") for _, attributes in read.tags]
    assert {link[1:] for link in links if link and link.startswith("#")} <= set(names)
    clips = re.findall(r"url\(#([^)]+)\)", page)
    assert set(clips) <= set(names)


def test_a_page_fetches_nothing_and_runs_nothing(page: str) -> None:
    read = Strict(page)
    assert read.of("script") == []
    for _, attributes in read.tags:
        assert not any(name.startswith("on") for name in attributes)
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert (attributes.get(name) or "#")[:6] in {"#", "data:,"} or (
                attributes.get(name) or ""
            ).startswith("#")
    assert "http:" not in page
    assert "https:" not in page
    assert "@import" not in page


def test_plots_are_described_and_tables_have_headings(page: str) -> None:
    read = Strict(page)
    plots = [attributes for attributes in read.of("div") if attributes.get("role") == "img"]
    assert len(plots) == len(read.of("svg"))
    assert all(attributes["aria-label"] for attributes in plots)
    assert len(read.of("table")) == len(read.of("caption"))
    assert all(attributes.get("scope") in {"col", "row"} for attributes in read.of("th"))
    assert len(read.of("h1")) == 1
    assert read.of("h3") == []


def test_a_number_that_is_missing_is_no_nan(page: str) -> None:
    text = "".join(Strict(page).text)
    assert not re.search(r"\b(nan|NaN|inf|None)\b", text)


def test_the_same_report_is_the_same_page(report: Report, page: str) -> None:
    assert to_html(report) == page
    assert to_html(from_json(to_json(report), Report)) == page


def test_the_sections_of_two_labels_are_all_there() -> None:
    titles = [section.title for section in page_of(reports.of_two_labels()).sections]
    assert titles == [
        *("Summary", "Metrics", "Labels", "Confusion", "Ranking", "Calibration", "Thresholds"),
        *("Slices", "Comparison", "Importance", "Model card", "How it was measured"),
    ]


def test_the_sections_of_numbers_are_all_there() -> None:
    titles = [section.title for section in page_of(reports.of_numbers()).sections]
    assert titles == ["Summary", "Metrics", "Errors", "Model card", "How it was measured"]


def test_a_card_says_what_it_does_not_say() -> None:
    card = to_markdown(reports.of_two_labels())
    assert card.startswith("# Model card: churn 3\n\nWhich customers leave")
    assert "## Intended use\n\nA list for the retention team, once a week.\n" in card
    assert "## Limitations\n\nNot stated.\n" in card
    assert "| Package | sha256:9f2c |" in card
    assert re.search(r"\| ROC-AUC \| 0\.\d+ \| 0\.\d+.to.0\.\d+ \| higher \|", card)


def test_a_card_of_hostile_names_keeps_its_tables() -> None:
    card = to_markdown(reports.of_hostile_names())
    assert "<script>" not in card.replace("\\<script\\>", "")
    rows = [line for line in card.splitlines() if line.startswith("|")]
    bars = {len(re.findall(r"(?<!\\)\|", row)) for row in rows}
    assert bars == {3, 5}


def test_a_page_of_its_own_is_made_of_the_same_parts() -> None:
    drawn = plot(lambda axes: axes.hist([1, 2, 2, 3]))
    blocks = (
        Text("What stands in <column>."),
        Notes(("Half is missing.",)),
        Table(
            "Types", ("Column", "Missing", "Share"), (("a", 3, Shaded(0.25, 0.25)), ("b", None, 1))
        ),
        Figure(drawn, "A histogram of a.", "a"),
        Figure(drawn, "The same histogram again."),
    )
    made = Page(title="Data", sections=(Section("Columns", blocks), Section("Columns", ())))
    read = Strict(made.to_html())
    text = "".join(read.text)
    assert "What stands in <column>." in text
    assert "\N{EN DASH}" in text
    names = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert {"part-columns", "part-columns-2"} < set(names)
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "\N{EN DASH}"),
        (0.0, "0"),
        (1.0, "1"),
        (0.91234, "0.912"),
        (12.3456, "12.35"),
        (-0.5, "\N{MINUS SIGN}0.500"),
        (123456.7, "1.23e+05"),
        (1234567, "1\N{NARROW NO-BREAK SPACE}234\N{NARROW NO-BREAK SPACE}567"),
        (0.00001234, "1.23e\N{MINUS SIGN}05"),
        ("as it is", "as it is"),
    ],
)
def test_a_number_is_written_with_the_digits_it_deserves(
    value: str | float | None, shown: str
) -> None:
    table = Table("t", ("a",), ((value,),))
    page = Page(title="t", sections=(Section("s", (table,)),)).to_html()
    assert f">{shown}</th>" in page


def test_a_card_without_words_is_a_card() -> None:
    report = Report(card=ModelCard(name="m"), evaluation=reports.of_numbers().evaluation)
    assert to_markdown(report).startswith("# Model card: m\n\n## Intended use\n\nNot stated.")
