"""The page on which models are asked by hand, in a real browser."""

from __future__ import annotations

import datetime
import json
import re
import subprocess
import sys
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from shoal import package, serve
from tests.end_to_end import models
from tests.end_to_end.driver import Reply, serving
from tests.end_to_end.person import PATH, Person
from tests.services.chromium import running

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed
    from tests.services.chromium import Browser

FILES = (PATH, f"{PATH}/page.css", f"{PATH}/page.js", f"{PATH}/values.js", f"{PATH}/programs.js")
MODELS = f"{PATH}/models.json"
SECRET = serve.new_key("ann")
HOSTILE = '<img src=x onerror="window.taken=1">\'${window.taken=1}`$(touch taken)`\\'
STICKING_OUT = "document.documentElement.scrollWidth - document.documentElement.clientWidth"

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
TYPED = {
    "whole": pa.array([1, None, 3], pa.int64()),
    "small": pa.array([1, 2, 3], pa.uint8()),
    "single": pa.array([0.5, 1.5, 2.5], pa.float32()),
    "double": pa.array([0.5, 1.5, None], pa.float64()),
    "flag": pa.array([True, False, True]),
    "words": pa.array(["one", "two", "three"]),
    "at": pa.array([EPOCH, EPOCH, EPOCH], pa.timestamp("s", "UTC")),
    "pairs": pa.FixedSizeListArray.from_arrays(np.arange(6.0), 2),
    HOSTILE: pa.array([1.0, 2.0, 3.0]),
}


@pytest.fixture(scope="module")
def typed(places: Path) -> Path:
    """A model of a column of each kind that gives all of them back."""
    path = places / "typed"
    settings = package.Settings(source=models.STORIES, moments=["at"])
    package.build(
        "typed:answer",
        name="typed",
        version="1",
        output=path,
        example=pa.record_batch(TYPED),
        settings=settings,
    )
    return path


@pytest.fixture(scope="module")
def routed(places: Path) -> Path:
    """A router to `tickets` for records with a class, and else to `fragile`."""
    routes = [
        {"model": "tickets", "when": {"column": "kind", "is": "text"}, "rename": {"kind": "class"}},
        {"model": "fragile"},
    ]
    return package.route(routes, name="routed", version="1", output=places / "routed").path


@pytest.fixture(scope="module")
def tried(
    digits: Sealed, tickets: Sealed, typed: Path, fragile: Path, routed: Path
) -> Iterator[Served]:
    """A server with the page."""
    packages = (digits.path, tickets.path, typed, fragile, routed)
    with serving(*packages, arguments=("--try-page", "--allow-code")) as served:
        yield served


@pytest.fixture(scope="module")
def browser(
    program: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Browser]:
    """One browser for all of these tests; each opens the page anew."""
    with running(program("chromium"), tmp_path_factory.mktemp("browser")) as started:
        yield started


@pytest.fixture
def person(browser: Browser, tried: Served) -> Person:
    return Person(browser, tried.http)


def test_there_is_no_page_unless_it_is_asked_for(one: Served) -> None:
    for path in (*FILES, MODELS):
        reply = one.ask("GET", path)
        assert (reply.status, reply.code) == (404, "unknown_route"), path
    assert PATH not in one.ask("GET", "/docs").body.decode()


def test_nothing_but_the_page_itself_may_be_loaded(tried: Served) -> None:
    for path in FILES:
        reply = tried.ask("GET", path)
        assert reply.status == 200, path
        policy = dict(
            part.split(" ", 1) for part in reply.headers["content-security-policy"].split("; ")
        )
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert reply.headers["x-content-type-options"] == "nosniff"
    page = tried.ask("GET", PATH).body.decode()
    assert not re.search(r"<script>|<style>|\son\w+=|style=|https?:", page)
    assert tried.ask("POST", PATH).status == 405
    assert tried.ask("GET", f"{PATH}/other.js").status == 404


def test_a_model_is_picked_filled_sent_and_its_answer_seen(
    browser: Browser, tried: Served, tickets: Sealed
) -> None:
    browser.visit(f"http://{tried.http}/docs")
    browser.click("#model-tickets .links a")
    browser.until("location.pathname === '/docs/try' && document.querySelector('.record')")
    person = Person(browser, tried.http)
    assert browser.evaluate("document.querySelector('#model').value") == "tickets"
    for row, label in zip(tickets.rows[:3], tickets.labels[:3], strict=True):
        person.fill({name: str(value) for name, value in row.items()})
        person.send()
        assert person.read("#outcome > .answers td")[0] == label
    facts = person.facts()
    assert facts["Answered by"] == "tickets, version 2"
    assert facts["Its micro-batch"] == "1 record"
    assert facts["Answered in"].endswith(" ms")
    assert person.read("#notice") == [""]
    seen = browser.seen()
    assert seen.errors == []
    assert all(address.startswith(f"http://{tried.http}/") for address in seen.requests)


def test_it_is_all_done_from_the_keyboard(person: Person, tickets: Sealed) -> None:
    browser = person.open("tickets").browser
    browser.evaluate("document.querySelector('#model').focus()")
    for value in tickets.rows[0].values():
        browser.press("Tab")
        browser.evaluate("document.activeElement.select()")
        browser.type(str(value))
    browser.press("Tab")
    assert browser.evaluate("document.activeElement.id") == "send"
    browser.press("Enter")
    browser.until("!document.querySelector('#answer').hidden")
    assert person.read("#outcome > .answers td")[0] == tickets.labels[0]
    for wanted in ("many", "fill", "more"):
        browser.press("Tab")
        assert browser.evaluate("document.activeElement.id") == wanted
    browser.press("Tab")
    browser.press("Space")
    assert browser.evaluate("document.querySelector('#code').open")


ASKED = {
    "whole": "9223372036854775807",
    "small": "255",
    "single": "1e-3",
    "double": "-Infinity",
    "flag": "false",
    "words": "Grüße, 世界 🐟 <b>&amp;",
    "at": "2024-02-29T23:59:58",
    "pairs": "1.5 -2e300",
    HOSTILE: "0.1",
}
ANSWERED = {
    **ASKED,
    "single": "0.001",
    "at": "1709251198",
    "pairs": "[1.5, -2e+300]",
}


def test_every_kind_of_column_is_filled_and_comes_back_exactly(person: Person) -> None:
    person.open("typed").fill(ASKED)
    person.send()
    assert person.read("#notice") == [""]
    heads = [head.split(" back")[0] for head in person.read("#outcome > .answers th")]
    assert dict(zip(heads, person.read("#outcome > .answers td"), strict=True)) == ANSWERED
    assert person.browser.evaluate("window.taken") is None
    assert person.browser.seen().errors == []


def test_a_value_may_be_missing_where_the_model_says_so(person: Person) -> None:
    person.open("typed").fill(ASKED)
    labels = "label.check"
    assert len(person.read(labels)) == 2  # whole, double
    person.browser.click(labels)
    assert person.browser.evaluate("document.querySelector('.record input').disabled")
    person.send()
    assert person.read("#outcome > .answers td")[0] == "missing"


def test_several_records_are_one_task(person: Person, digits: Sealed) -> None:
    person.open("digits")
    person.browser.click("#more")
    person.browser.click("#more")
    for number, row in enumerate(digits.rows[:3], start=1):
        person.fill({"X": json.dumps(row)}, record=number)
    person.browser.click(".record:nth-child(2) button")
    person.send()
    labels = person.read("#outcome > .answers td:first-child")
    assert labels == [str(digits.labels[0]), str(digits.labels[2])]
    assert person.facts()["Its micro-batch"] == "2 records"


def test_a_router_is_given_what_its_rules_read_and_its_models_take(
    person: Person, tickets: Sealed
) -> None:
    person.open("routed")
    names = person.read(".record .field label:first-child span:first-child")
    assert names == ["kind", "age", "fare", "value"]
    assert 'any type; "7" is text' in person.read(".record .field .soft")
    row = {**tickets.rows[0], "kind": tickets.rows[0]["class"]}
    del row["class"]
    person.fill({name: str(value) for name, value in row.items()})
    person.browser.click(".record .field:nth-child(4) .check")
    person.browser.click("#more")
    for place in (1, 2, 3):
        person.browser.click(f".record:nth-child(2) .field:nth-child({place}) .check")
    person.fill({"value": "21"}, record=2)
    person.send()
    assert person.read(".problem") == []
    cells = person.read("#outcome > .answers td")
    assert (cells[0], cells[2]) == (tickets.labels[0], "missing")
    assert cells[3:] == ["missing", "missing", "42"]
    assert person.facts()["Answered by"] == "routed, version 1"
    assert person.browser.seen().errors == []


MIXED = {
    "7": 7,
    '"7"': "7",
    "-1.0": {"FP64": -1},
    "2.5": 2.5,
    "NaN": {"FP64": "NaN"},
    "9223372036854775807": {"INT64": "9223372036854775807"},
    "true": True,
    "seven": "seven",
}


def test_a_value_of_any_type_is_of_the_type_that_it_looks_like(person: Person) -> None:
    person.open("routed")
    for typed, sent in MIXED.items():
        person.fill({"kind": typed})
        column = {"name": "kind", "dtype": "MIXED", "data": [sent]}
        assert json.dumps(column, separators=(",", ":")) in person.read("#program")[0]


WRONG = [
    ("whole", "9223372036854775808", "INT64 holds -9223372036854775808 to 9223372036854775807"),
    ("whole", "1.0", '"1.0" is no whole number'),
    ("small", "-1", "UINT8 holds 0 to 255"),
    ("single", "1,5", '"1,5" is no number'),
    ("double", "1e999", "beyond all numbers"),
    ("at", "", "Choose a day"),
    ("pairs", "1 2 3", "3 values; a record of this column has 2."),
    ("pairs", "1 x", '"x" is no number'),
]


def test_what_cannot_be_sent_is_said_at_its_field(person: Person) -> None:
    person.open("typed").fill(ASKED)
    field = "document.activeElement.closest('.field').querySelector"
    for name, value, words in WRONG:
        person.fill({name: value})
        person.send()
        (wrong,) = [text for text in person.read(".wrong") if text]
        assert words in wrong
        assert "Not sent" in person.read("#notice")[0]
        assert person.browser.evaluate(f"{field}('.wrong').textContent") == wrong
        assert person.browser.evaluate(f"{field}('[aria-invalid=true]') !== null")
        person.fill({name: ASKED[name]})
    assert not any("/v1/tasks" in address for address in person.browser.seen().requests)
    person.send()
    assert any("/v1/tasks" in address for address in person.browser.seen().requests)


def test_what_the_server_refuses_is_told_with_its_code(person: Person) -> None:
    person.open("typed").fill({**ASKED, "single": "1e300"})
    person.send()
    (problem,) = person.read("#outcome .problem")
    assert problem.startswith("wrong_dtype: ")
    assert "single" in problem
    person.fill({"single": "1"})
    person.send()
    assert person.read(".problem") == []


def test_a_server_that_is_gone_is_told(browser: Browser, digits: Sealed) -> None:
    with serving(digits.path, arguments=("--try-page",)) as served:
        person = Person(browser, served.http).open()
        assert served.stop() == 0
        person.send()
        assert "The server did not answer." in person.read("#notice")[0]


def test_64_at_once_show_the_micro_batches_they_shared(person: Person) -> None:
    person.open("digits").send("#many")
    assert len(person.read(".batches .squares span")) == 64
    boxes = person.read(".batches p")
    assert sum(int(re.findall(r"\d+", box)[0]) for box in boxes) == 64
    assert any(int(re.findall(r"\d+", box)[1]) > 1 for box in boxes)
    person.browser.click("details summary")
    person.browser.click(".compare button")
    person.browser.until("document.querySelector('.compare span').textContent")
    assert "in one envelope" in person.read(".compare span")[0]
    assert person.browser.seen().errors == []


@contextmanager
def key_file(folder: Path) -> Iterator[tuple[str, ...]]:
    keys = folder / "keys"
    keys.write_text(SECRET.line, encoding="ascii")
    yield ("--try-page", "--api-keys", str(keys))


def test_a_key_is_asked_for_and_kept_in_memory_only(
    browser: Browser, digits: Sealed, tmp_path: Path
) -> None:
    with key_file(tmp_path) as arguments, serving(digits.path, arguments=arguments) as served:
        assert served.ask("GET", MODELS).status == 401
        assert all(served.ask("GET", path).status == 200 for path in FILES)
        browser.visit(f"http://{served.http}{PATH}")
        browser.until("!document.querySelector('#keys').hidden")
        person = Person(browser, served.http)
        assert person.read("#notice") == [""]
        for key in ("wrong", SECRET.secret):
            browser.evaluate("document.querySelector('#key').select()")
            browser.type(key)
            browser.press("Enter")
            browser.until(
                "!document.querySelector('#ask').hidden"
                " || document.querySelector('#notice').textContent"
            )
            is_right = key == SECRET.secret
            assert person.read("#notice")[0].startswith("" if is_right else "unauthorized: ")
        person.send()
        assert person.facts()["Answered by"] == "digits, version 1"
        kept = "JSON.stringify([{...localStorage}, {...sessionStorage}, document.cookie])"
        assert browser.evaluate(kept) == '[{},{},""]'
        for language in ("curl", "python", "javascript"):
            browser.evaluate(f"document.querySelector('[value={language}]').click()")
            (program,) = person.read("#program")
            assert "KEY" in program
            assert SECRET.secret not in program
        assert SECRET.secret not in browser.evaluate("document.documentElement.outerHTML")


COMMANDS = {
    "curl": ("/bin/sh", "-c"),
    "python": (sys.executable, "-c"),
    "javascript": ("node", "--input-type=module", "-e"),
}


@pytest.mark.parametrize("language", COMMANDS)
def test_the_request_as_code_is_the_same_request(
    person: Person, language: str, program: Callable[[str], str], tmp_path: Path
) -> None:
    person.open("typed").fill(ASKED)
    person.browser.click("#code summary")
    person.browser.evaluate(f"document.querySelector('[value={language}]').click()")
    (text,) = person.read("#program")
    first, *rest = COMMANDS[language]
    program({"/bin/sh": "curl", sys.executable: "sh"}.get(first, first))
    done = subprocess.run(
        [first, *rest, text], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert "9223372036854775807" in done.stdout
    assert "Grüße" in done.stdout
    assert "error" not in done.stdout.replace("onerror", "")
    assert list(tmp_path.iterdir()) == []


class Played(ThreadingHTTPServer):
    """The page's own files from a real server, and made-up answers to what it asks."""

    def __init__(self, real: Served, answers: dict[str, object]) -> None:
        super().__init__(("127.0.0.1", 0), PlayedAnswers)
        self.real, self.answers = real, answers


class PlayedAnswers(BaseHTTPRequestHandler):
    """One connection."""

    server: Played

    def do_GET(self) -> None:
        """A file of the page, or a made-up answer."""
        reply = self._reply()
        self.send_response(reply.status)
        for name in {"content-type", "content-security-policy"} & set(reply.headers):
            self.send_header(name, reply.headers[name])
        self.end_headers()
        self.wfile.write(reply.body)

    def _reply(self) -> Reply:
        made_up = self.server.answers.get(self.path)
        if made_up is None:
            return self.server.real.ask("GET", self.path)
        return Reply(200, {"content-type": "application/json"}, json.dumps(made_up).encode())

    def do_POST(self) -> None:
        """A made-up answer."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        """Says nothing."""


@contextmanager
def played(real: Served, answers: dict[str, object]) -> Iterator[str]:
    """A server that makes up what it says, as "HOST:PORT"."""
    with Played(real, answers) as server:
        thread = Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def test_hostile_names_and_texts_of_a_server_stay_text(browser: Browser, tried: Served) -> None:
    column = {"name": HOSTILE, "dtype": "UTF8", "data": [HOSTILE]}
    answer = {"id": "0", "model": HOSTILE, "version": HOSTILE, "batch_rows": 1}
    said = {"code": HOSTILE, "error": HOSTILE, "hint": HOSTILE}
    given = {"name": HOSTILE, "dtype": "BYTES", "shape": [], "may_be_missing": True}
    version = {"version": HOSTILE, "inputs": [{**given, "is_moment": False, "features": []}]}
    answers: dict[str, object] = {
        MODELS: {"models": [{"name": HOSTILE, "versions": [version, version]}]},
        "/v1/tasks": {"results": [{**answer, "table": {"rows": 1, "columns": [column]}}]},
    }
    with played(tried, answers) as address:
        person = Person(browser, address).open()
        person.send()
        assert person.read("#model option") == [HOSTILE]
        assert person.read("#outcome > .answers td") == [HOSTILE]
        assert HOSTILE in person.facts()["Answered by"]
        answers["/v1/tasks"] = {"results": [{"id": "0", "error": said}]}
        person.send()
        assert HOSTILE in person.read("#outcome .problem")[0]
        person.send("#many")
        assert browser.evaluate("document.querySelectorAll('img').length") == 0
        assert browser.evaluate("window.taken") is None
        assert not [error for error in browser.seen().errors if "404" not in error]


def test_markup_made_from_text_is_refused_by_the_browser(person: Person) -> None:
    person.open()
    tried_here = (
        "(() => { try { document.body.innerHTML = '<b>'; } catch (e) { return e.name } })()"
    )
    assert person.browser.evaluate(tried_here) == "TypeError"
    assert person.browser.evaluate("document.querySelector('#ask') !== null")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nothing_sticks_out_on_a_phone_or_a_desk(person: Person, scheme: str) -> None:
    for width in (1200, 360):
        person.browser.resize(width, 800)
        person.browser.show_as(scheme=scheme)
        person.open("typed")
        person.browser.click("#code summary")
        person.send("#many")
        assert person.browser.evaluate(STICKING_OUT) == 0, width
    background = person.browser.evaluate("getComputedStyle(document.body).backgroundColor")
    assert background == ("rgb(244, 247, 249)" if scheme == "light" else "rgb(16, 23, 29)")
