"""The page of a look: whole, escaped, bounded, and shown by a real browser without a fault."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from shoal import train
from tests.evaluate.test_report import Strict
from tests.train.tables import ENDS, HOSTILE, hostile, mixed, noise

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.services.chromium import Browser


STICKING_OUT = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
EMPTY_PLOTS = """
[...document.querySelectorAll('svg')].filter(svg => {
    const box = svg.getBoundingClientRect();
    return box.width < 200 || box.height < 40;
}).length
"""
TITLES = [
    *("Summary", "Suspects", "What to look at", "Target", "What columns tell", "Columns"),
    *("Distributions", "Missing together", "Equal records", "Outliers", "Drift"),
    "How it was measured",
]


def of_mistakes() -> train.Look:
    return train.look(mixed(), target="left")


def of_numbers() -> train.Look:
    settings = train.LookSettings(sample_rows=500)
    return train.look(pa.table(noise(2)), target="price", settings=settings)


def of_hostile_names() -> train.Look:
    return train.look({HOSTILE: hostile(), ENDS: hostile()}, target=HOSTILE)


def of_no_target() -> train.Look:
    return train.look(pa.table({"x": [1.0, None, np.inf], "y": pa.nulls(3)}))


MAKERS = (of_mistakes, of_numbers, of_hostile_names, of_no_target)


@pytest.fixture(scope="module", params=MAKERS, ids=lambda maker: maker.__name__)
def look(request: pytest.FixtureRequest) -> train.Look:
    maker: Callable[[], train.Look] = request.param
    return maker()


@pytest.fixture(scope="module")
def page(look: train.Look) -> str:
    return train.to_html(look)


def test_a_page_is_well_formed_and_its_text_is_escaped(page: str) -> None:
    read = Strict(page)
    names = [attributes["id"] for _, attributes in read.tags if "id" in attributes]
    assert len(names) == len(set(names))
    assert read.of("script") == []
    assert not any(name.startswith("on") for _, each in read.tags for name in each)
    assert len(read.of("h1")) == 1
    assert len(read.of("table")) == len(read.of("caption"))
    plots = [attributes for attributes in read.of("div") if attributes.get("role") == "img"]
    assert len(plots) == len(read.of("svg"))
    assert "http:" not in page
    assert "https:" not in page


def test_no_number_is_missing_or_infinite(page: str) -> None:
    text = " ".join(Strict(page).text)
    assert not re.search(r"(?<!\w)-?(nan|NaN|None|inf|Infinity)\b", text)
    assert "\x00" not in page


def test_the_same_look_is_the_same_page(look: train.Look, page: str) -> None:
    assert train.to_html(train.Look.from_json(look.to_json())) == page


def test_all_sections_are_there() -> None:
    read = Strict(train.to_html(of_mistakes()))
    links = [each["href"] for each in read.of("a")]
    assert links[1:] == [f"#part-{title.lower().replace(' ', '-')}" for title in TITLES]


def test_names_that_are_markup_are_shown_as_they_are() -> None:
    text = "".join(Strict(train.to_html(of_hostile_names())).text)
    assert HOSTILE in text
    assert ENDS.replace("\x00", "\N{REPLACEMENT CHARACTER}") in text
    assert "&amp;" in text


def test_of_hundreds_of_columns_and_categories_the_page_is_bounded_and_says_so() -> None:
    rng = np.random.default_rng(3)
    rows = 300
    columns = {f"column {place}": rng.integers(0, 3, rows) for place in range(500)}
    table = pa.table({**columns, "many": [f"v{n % 140}" for n in range(rows)]})
    look = train.look(table)
    page = train.to_html(look)
    assert len(look.columns) == 501
    assert len(page) < 2_000_000
    text = "".join(Strict(page).text)
    assert "301 more columns are not shown here" in text
    assert "461 more columns are not drawn" in text
    assert text.count("other values are not drawn") == 0
    alone = train.to_html(train.look(table.select(["many"])))
    assert f"{look.column('many').distinct - 12} other values are not drawn" in alone


def test_free_text_is_told_by_its_lengths_only() -> None:
    secret = [f"a private letter {place}" for place in range(300)]
    look = train.look(pa.table({"letters": secret, "y": [n % 2 for n in range(300)]}), target="y")
    assert look.column("letters").kind == "text"
    for told in (look.to_json().decode(), train.to_html(look)):
        assert "private" not in told


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_a_browser_shows_a_look_and_asks_for_nothing_else(
    maker: Callable[[], train.Look], browser: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "look.html"
    path.write_text(train.to_html(maker()), "utf-8")
    seen = browser.open(path)
    assert (seen.requests, seen.errors) == ([path.as_uri()], [])
    assert browser.evaluate("document.images.length") == 0
    for width in (1200, 420):
        browser.resize(width, 900)
        assert browser.evaluate(EMPTY_PLOTS) == 0
        assert browser.evaluate(STICKING_OUT) == 0
    assert browser.pdf().startswith(b"%PDF-")
