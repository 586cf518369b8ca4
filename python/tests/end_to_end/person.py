"""Somebody in front of the page on which models are asked by hand."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.services.chromium import Browser

PATH = "/docs/try"


class Person:
    """Somebody in front of the page."""

    def __init__(self, browser: Browser, address: str) -> None:
        self.browser, self.address = browser, address

    def open(self, model: str = "") -> Person:
        """Opens the page, with a model chosen by the address."""
        self.browser.visit("about:blank")
        self.browser.visit(f"http://{self.address}{PATH}#{model}")
        self.browser.until("!document.querySelector('#ask').hidden")
        return self

    def fill(self, values: dict[str, str], *, record: int = 1) -> None:
        """Types values into the fields of these labels."""
        for name, value in values.items():
            field = f"""[...document.querySelectorAll('.record')][{record - 1}]
                .querySelectorAll('.field')"""
            named = f"one.querySelector('label span').textContent === {json.dumps(name)}"
            control = f"[...{field}].find(one => {named}).querySelector('input, select, textarea')"
            if self.browser.evaluate(f"{control}.matches('select, [type=datetime-local]')"):
                self._set(control, value)
            else:
                self.browser.evaluate(f"{control}.focus(); {control}.select()")
                self.browser.type(value)

    def choose(self, field: str, value: str) -> None:
        """Chooses from a list."""
        self._set(f"document.querySelector('{field}')", value)

    def send(self, button: str = "#send") -> None:
        """Presses a button and waits for the answer."""
        self.browser.evaluate("document.querySelector('#answer').hidden = true")
        self.browser.click(button)
        self.browser.until(
            "!document.querySelector('#answer').hidden"
            " || document.querySelector('#notice').textContent"
        )

    def read(self, selector: str) -> list[str]:
        """The texts of what CSS finds."""
        found: list[str] = self.browser.evaluate(
            f"[...document.querySelectorAll({json.dumps(selector)})].map(one => one.textContent)"
        )
        return found

    def facts(self) -> dict[str, str]:
        """What the page tells of an answer, beside the answer."""
        return dict(zip(self.read(".facts dt"), self.read(".facts dd"), strict=True))

    def _set(self, control: str, value: str) -> None:
        self.browser.evaluate(f"""(control => {{
            control.value = {json.dumps(value)};
            control.dispatchEvent(new Event('input', {{bubbles: true}}));
            control.dispatchEvent(new Event('change', {{bubbles: true}}));
        }})({control})""")
