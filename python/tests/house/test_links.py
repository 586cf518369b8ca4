"""Every link between the files of the repository leads somewhere; every page is led to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
DOCS = ROOT / "docs"
PAGES = sorted({*ROOT.glob("*.md"), *DOCS.rglob("*.md"), *(ROOT / "benchmarks").glob("*/*.md")})
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)")


def links_of(page: Path) -> set[Path]:
    text = page.read_text("utf-8")
    return {(page.parent / link).resolve() for link in LINK.findall(text)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    assert sorted(str(link) for link in links_of(page) if not link.exists()) == []


def test_every_page_of_the_documentation_is_reached_from_its_front() -> None:
    reached: set[Path] = set()
    waiting = {DOCS / "README.md"}
    while waiting:
        page = waiting.pop()
        reached.add(page)
        waiting |= {link for link in links_of(page) if link.suffix == ".md"} - reached
    assert set(DOCS.rglob("*.md")) - reached == set()
