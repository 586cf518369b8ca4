"""`/openapi.json` and `/docs` say what is served, to programs and to people."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from shoal import package, serve
from tests.end_to_end import models
from tests.end_to_end.certificates import certify
from tests.end_to_end.driver import serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

COMMAND = re.compile(r"<pre><code>(curl .*?)</code></pre>", re.DOTALL)


@pytest.fixture(scope="module")
def document(many: Served) -> Any:
    return many.ask("GET", "/openapi.json").json()


def schema_of(document: Any, name: str) -> Draft202012Validator:
    """A validator of one schema of the document, which may refer to others."""
    root = Resource.from_contents(document, default_specification=DRAFT202012)
    registry = Registry().with_resource("urn:document", root)
    reference = {"$ref": f"urn:document#/components/schemas/{name}"}
    return Draft202012Validator(reference, registry=registry)


def calls(document: Any) -> Iterator[tuple[str, str, Any]]:
    """(method, path, operation) of everything in the document."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield method.upper(), path, operation


def commands(page: str) -> list[list[str]]:
    return [shlex.split(unescape(text)) for text in COMMAND.findall(page)]


def test_document_is_valid(many: Served, one: Served) -> None:
    for served in (many, one):
        OpenAPIV31SpecValidator(served.ask("GET", "/openapi.json").json()).validate()


def test_every_call_in_the_document_is_answered_as_it_says(many: Served, document: Any) -> None:
    asked = 0
    for method, path, operation in calls(document):
        body = None
        if method == "POST":
            content = operation["requestBody"]["content"]["application/json"]
            body = content.get("examples", {}).get("one_record", {}).get("value", {})
        reply = many.ask(method, path, body)
        # The word "text" is no ticket class, which is the model's to say; the form is right.
        assert reply.status == 200 or reply.code == "model_failed", (path, reply.body)
        asked += 1
    assert asked >= 20


def test_answers_and_errors_have_the_schema_of_the_document(
    many: Served, digits: Sealed, tickets: Sealed, document: Any
) -> None:
    for sealed, name in ((digits, "digits"), (tickets, "tickets")):
        question = {"instances": sealed.rows[:2]}
        schema_of(document, f"{name}.PredictRequest").validate(question)
        answer = many.ask("POST", f"/v1/models/{name}:predict", question).json()
        schema_of(document, f"{name}.PredictResponse").validate(answer)
    column = {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": digits.rows[0]}
    tensors = {"inputs": [column], "id": "7"}
    schema_of(document, "digits.InferRequest").validate(tensors)
    answer = many.ask("POST", "/v2/models/digits/infer", tensors).json()
    schema_of(document, "digits.InferResponse").validate(answer)
    schema_of(document, "Error").validate(many.ask("GET", "/nowhere").json())


@pytest.mark.parametrize(
    "wrong",
    [
        {"instances": [[0.0] * 63]},
        {"instances": [["x"] * 64]},
        {"instances": [], "inputs": []},
        {"inputs": {"Y": []}},
        {"features": []},
    ],
)
def test_schema_refuses_what_the_server_refuses(many: Served, document: Any, wrong: object) -> None:
    assert not schema_of(document, "digits.PredictRequest").is_valid(wrong)
    assert many.ask("POST", "/v1/models/digits:predict", wrong).status == 400


def test_short_form_stands_there_only_where_it_works(one: Served, document: Any) -> None:
    assert "/predict" not in document["paths"]
    assert "/predict" in one.ask("GET", "/openapi.json").json()["paths"]


def test_commands_of_the_page_work_when_pasted(
    one: Served, digits: Sealed, program: Callable[[str], str]
) -> None:
    page = one.ask("GET", "/docs").body.decode()
    found = commands(page)
    assert [command[2].removeprefix(f"http://{one.http}") for command in found] == [
        "/predict",
        "/v2/models/digits/infer",
        "/v1/models/digits:predict",
    ]
    for text in COMMAND.findall(page):
        ended = subprocess.run(
            ["/bin/sh", "-c", unescape(text).replace("curl", program("curl"), 1)],
            capture_output=True,
            text=True,
            check=True,
        )
        assert '"error"' not in ended.stdout, ended.stdout
        assert "prediction" in ended.stdout or "outputs" in ended.stdout


SECRET = serve.new_key("ann")
OPEN = {"/v2/health/live", "/v2/health/ready"}


@pytest.fixture(scope="module")
def guarded(digits: Sealed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server that asks for keys."""
    keys = tmp_path_factory.mktemp("keys") / "keys"
    keys.write_text(SECRET.line, encoding="ascii")
    with serving(digits.path, arguments=("--api-keys", str(keys))) as served:
        yield served


def sent_as(scheme: Any) -> dict[str, str]:
    """The header by which a scheme of the document carries a key."""
    if scheme["type"] == "http":
        return {"Authorization": f"{scheme['scheme'].title()} {SECRET.secret}"}
    assert (scheme["type"], scheme["in"]) == ("apiKey", "header")
    return {scheme["name"]: SECRET.secret}


def test_document_says_which_calls_need_a_key_and_how_it_is_sent(guarded: Served) -> None:
    ann = {"X-API-Key": SECRET.secret}
    document = guarded.ask("GET", "/openapi.json", headers=ann).json()
    OpenAPIV31SpecValidator(document).validate()
    schemes = document["components"]["securitySchemes"]
    needed = [name for choice in document["security"] for name in choice]
    assert sorted(needed) == sorted(schemes)
    for method, path, operation in calls(document):
        is_open = operation.get("security") == []
        assert is_open == (path in OPEN)
        assert (guarded.ask(method, path).status == 401) == (not is_open), path
    for name in needed:
        reply = guarded.ask("GET", "/v2/models", headers=sent_as(schemes[name]))
        assert reply.status == 200, name


def test_document_of_a_server_without_keys_names_none(document: Any) -> None:
    assert "security" not in document
    assert "securitySchemes" not in document["components"]


def test_commands_of_the_page_speak_tls_and_bring_a_key_where_that_is_needed(
    digits: Sealed, tmp_path: Path, program: Callable[[str], str]
) -> None:
    certified = certify(tmp_path)
    keys = tmp_path / "keys"
    keys.write_text(SECRET.line, encoding="ascii")
    curl = f"{program('curl')} --cacert {certified.authority}"
    arguments = (*certified.arguments, "--api-keys", str(keys))
    with serving(digits.path, arguments=arguments) as served:

        def shell(command: str) -> str:
            ended = subprocess.run(
                ["/bin/sh", "-c", unescape(command).replace("curl", curl, 1)],
                capture_output=True,
                text=True,
                check=True,
                env=os.environ | {"KEY": SECRET.secret},
            )
            return ended.stdout

        page = shell(f'curl -s -H "X-API-Key: $KEY" https://{served.http}/docs')
        found = COMMAND.findall(page)
        assert len(found) == 3
        for command in found:
            assert f"https://{served.http}" in command
            answer = shell(command)
            assert "prediction" in answer or "outputs" in answer, answer


class Page(HTMLParser):
    """What a page refers to, and the tags that are open at its end."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.tags: set[str] = set()
        self.open: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.links += [value or "" for name, value in attributes if name in {"href", "src"}]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_page_is_whole_and_loads_nothing(many: Served) -> None:
    reply = many.ask("GET", "/docs")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in reply.headers["content-security-policy"]
    page = Page()
    page.feed(reply.body.decode())
    assert page.open == []
    assert not page.tags & {"script", "link", "img", "iframe"}
    for link in page.links:
        assert link.startswith("#") or many.ask("GET", link).status == 200, link
    assert {"/metrics", "/openapi.json", "/v2/models/tickets/batching"} <= set(page.links)
    for name in ("digits", "tickets", "fragile"):
        assert f'id="model-{name}"' in reply.body.decode()


def test_host_that_is_none_is_not_shown(many: Served) -> None:
    page = many.ask("GET", "/docs", headers={"Host": "x$(touch y)<b>"}).body.decode()
    assert "touch" not in page
    assert "http://127.0.0.1:8000/v2/models" in page


def test_columns_with_strange_names_stay_text(places: Path) -> None:
    strange = "<script>alert('it')</script> & \"more\""
    path = places / "strange"
    package.build(
        "first:answer",
        name="strange",
        version="1",
        output=path,
        example=pa.record_batch({strange: [0.0, 1.0, 2.0]}),
        settings=package.Settings(source=models.STORIES),
    )
    with serving(path, arguments=("--allow-code",)) as served:
        page = served.ask("GET", "/docs").body.decode()
        assert "<script>" not in page
        OpenAPIV31SpecValidator(served.ask("GET", "/openapi.json").json()).validate()
        for command in commands(page):
            reply = served.ask("POST", command[2].split(served.http)[1], command[4].encode())
            assert reply.status == 200, reply.body
