"""A report as a real browser shows it: nothing fetched, nothing raised, nothing cut off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from shoal.evaluate import to_html
from tests.evaluate import reports

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from shoal.evaluate import Report
    from tests.services.chromium import Browser


MAKERS = (
    reports.of_two_labels,
    reports.of_many_labels,
    reports.of_numbers,
    reports.of_hostile_names,
)
# Plots that have no size, and parts that stick out of the page: there may be none.
EMPTY_PLOTS = """
[...document.querySelectorAll('svg')].filter(svg => {
    const box = svg.getBoundingClientRect();
    const drawn = svg.getBBox();
    return box.width < 200 || box.height < 60 || drawn.width < 100;
}).length
"""
STICKING_OUT = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BACKGROUND = "getComputedStyle(document.documentElement).backgroundColor"
LINE = "getComputedStyle(document.querySelector('svg text')).fill"
NAVIGATION = "getComputedStyle(document.querySelector('nav')).display"
BROKEN = (
    '<!doctype html><title>x</title><img src="missing.png">'
    '<img src="http://127.0.0.1:1/x.png"><script>undefinedFunction()</script>'
)


def written(report: Report, directory: Path) -> Path:
    path = directory / "report.html"
    path.write_text(to_html(report), "utf-8")
    return path


@pytest.mark.parametrize("maker", MAKERS, ids=lambda maker: maker.__name__)
def test_a_browser_shows_a_report_and_asks_for_nothing_else(
    maker: Callable[[], Report], browser: Browser, tmp_path: Path
) -> None:
    path = written(maker(), tmp_path)
    seen = browser.open(path)
    assert (seen.requests, seen.errors) == ([path.as_uri()], [])
    assert browser.evaluate("document.querySelectorAll('svg').length") > 0
    for width in (1200, 420):
        browser.resize(width, 900)
        assert browser.evaluate(EMPTY_PLOTS) == 0
        assert browser.evaluate(STICKING_OUT) == 0


def test_a_report_is_light_dark_and_printable(browser: Browser, tmp_path: Path) -> None:
    browser.open(written(reports.of_two_labels(), tmp_path))
    browser.resize(1200, 900)
    shown = {}
    for scheme in ("light", "dark"):
        browser.show_as(scheme=scheme)
        shown[scheme] = browser.screenshot(height=900)
        colours = [browser.evaluate(what) for what in (BACKGROUND, LINE)]
        light, dark = "rgb(255, 255, 255)", "rgb(18, 23, 30)"
        assert colours[0] == (light if scheme == "light" else dark)
        assert colours[1] not in {colours[0], "rgb(0, 0, 0)"}
    assert shown["light"] != shown["dark"]
    browser.show_as(scheme="dark", media="print")
    assert browser.evaluate(BACKGROUND) == "rgb(255, 255, 255)"
    assert browser.evaluate(NAVIGATION) == "none"
    assert browser.pdf().startswith(b"%PDF-")


def test_the_browser_tells_of_a_page_that_is_broken(browser: Browser, tmp_path: Path) -> None:
    page = tmp_path / "broken.html"
    page.write_text(BROKEN, "utf-8")
    seen = browser.open(page)
    assert seen.requests == [
        page.as_uri(),
        page.with_name("missing.png").as_uri(),
        "http://127.0.0.1:1/x.png",
    ]
    assert any("undefinedFunction is not defined" in error for error in seen.errors)
    assert any("ERR_FILE_NOT_FOUND" in error for error in seen.errors)
