"""The command line as a process: what it prints where, and the exit code it ends with."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

import shoal.cli
from shoal import package
from tests.end_to_end.driver import DEADLINE_S, SHOAL
from tests.end_to_end.models import STORIES
from tests.package import moments
from tests.package.padded import sealed

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.models import Sealed

ROOMS = {"shoal.package", "shoal.quickstart", "shoal.runtime", "shoal.serve", "shoal.values"}


def run(*arguments: str | Path, where: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*SHOAL, *map(str, arguments)],
        cwd=where,
        capture_output=True,
        text=True,
        check=False,
        timeout=2 * DEADLINE_S,
    )


def refused(*arguments: str | Path, code: int) -> list[str]:
    """The lines on stderr of a command that must fail, without a traceback and with no result."""
    done = run(*arguments)
    assert (done.returncode, done.stdout) == (code, ""), done.stderr
    assert "Traceback" not in done.stderr
    return done.stderr.splitlines()


def test_public_surface_is_exactly_this() -> None:
    assert shoal.cli.__all__ == ["main"]


def test_version_is_printed() -> None:
    done = run("--version")
    assert (done.returncode, done.stdout) == (0, "shoal 0.1.0\n")


@pytest.mark.parametrize("command", [(), ("package",)], ids=["shoal", "shoal package"])
def test_command_without_words_shows_its_help(command: tuple[str, ...]) -> None:
    done = run(*command)
    assert done.returncode == 2
    assert "Usage:" in done.stdout + done.stderr


def test_help_names_every_command_and_loads_no_room() -> None:
    script = (
        "import sys, atexit\n"
        "atexit.register(lambda: print(sorted(sys.modules), file=sys.stderr))\n"
        "from shoal.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "--help"], check=True, capture_output=True, text=True
    )
    for command in ("serve", "package", "quickstart", "--version"):
        assert command in done.stdout
    loaded = {name for name in ROOMS if f"'{name}'" in done.stderr}
    assert not loaded


def test_unknown_command_is_wrong_usage() -> None:
    assert "No such command" in "".join(refused("swim", code=2))


def test_serving_a_path_that_does_not_exist_is_wrong_input(tmp_path: Path) -> None:
    lines = refused("serve", tmp_path / "nothing-here", code=2)
    assert lines[0].startswith("error: ")
    assert "nothing-here" in lines[0]


def test_serving_on_a_port_in_use_is_wrong_input(digits: Sealed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        lines = refused("serve", digits.path, "--http", address, "--grpc", "127.0.0.1:0", code=2)
    assert address in lines[0]


def test_serving_code_without_leave_fails_with_the_remedy_apart(fragile: Path) -> None:
    lines = refused("serve", fragile, code=1)
    assert "fragile" in lines[0]
    assert lines[1].startswith("hint: ")
    assert "--allow-code" in lines[1]


def test_build_seals_an_onnx_file(digits_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "sealed"
    named = ("--name", "numbers", "--version", "3", "--output", output)
    done = run("package", "build", digits_file, *named)
    assert done.returncode == 0, done.stderr
    told = json.loads(run("package", "inspect", output, "--json").stdout)
    assert (told["name"], told["version"]) == ("numbers", "3")
    assert told["digest"] in done.stdout


def test_build_seals_a_python_function(example_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "sealed"
    named = ("--name", "double", "--version", "1", "--output", output, "--example", example_file)
    done = run("package", "build", "fragile:answer", *named, where=STORIES)
    assert done.returncode == 0, done.stderr
    assert "not run" in run("package", "verify", output).stdout
    assert "answered as sealed" in run("package", "verify", output, "--allow-code").stdout


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("synthetic", "golden rows   4 (made up)"),
        ("real", "(records of the example)"),
        ("none", "golden rows   none"),
    ],
)
def test_golden_rows_are_made_up_unless_others_are_asked_for(
    kind: str, told: str, example_file: Path, tmp_path: Path
) -> None:
    output = tmp_path / "sealed"
    named = ("--name", "double", "--version", "1", "--output", output, "--example", example_file)
    chosen = () if kind == "synthetic" else ("--golden-rows", kind)
    done = run("package", "build", "fragile:answer", *named, *chosen, where=STORIES)
    assert done.returncode == 0, done.stderr
    assert told in run("package", "inspect", output).stdout


def test_route_seals_the_routes_of_a_file(tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text(
        '[[routes]]\nmodel = "words"\nwhen = { column = "value", is = "text" }\n'
        'rename = { value = "word" }\n\n[[routes]]\nmodel = "numbers"\n'
    )
    named = ("--name", "mixed", "--version", "1", "--output", tmp_path / "mixed")
    done = run("package", "route", routes, *named)
    assert done.returncode == 0, done.stderr
    told = (
        "routes        value is text -> words, value as word\n              every record -> numbers"
    )
    assert told in done.stdout
    shown = run("package", "inspect", tmp_path / "mixed").stdout
    assert told in shown
    assert "runtime       router (runs no code)" in shown
    assert "1 as sealed" in run("package", "verify", tmp_path / "mixed").stdout


def test_routes_that_are_none_are_refused_with_their_place(tmp_path: Path) -> None:
    routes = tmp_path / "routes.toml"
    routes.write_text('[[routes]]\nmodel = "words"\nwhen = { column = "value", is = "word" }\n')
    named = ("--name", "mixed", "--version", "1", "--output", tmp_path / "mixed")
    lines = refused("package", "route", routes, *named, code=2)
    assert "routes[0].when.is" in lines[0]
    lines = refused("serve", router_of(tmp_path), code=2)
    assert "only 1 is a router, and no model is served" in lines[0]


def router_of(place: Path) -> Path:
    return package.route(
        [{"model": "nobody"}], name="only", version="1", output=place / "only"
    ).path


def test_inspect_and_verify_tell_what_is_stated(digits: Sealed, tmp_path: Path) -> None:
    place = tmp_path / "stated"
    shutil.copytree(digits.path, place)
    package.open(place).attest("metrics", {"accuracy": 1}, files={"report.html": b"<p>good</p>"})
    shown = run("package", "inspect", place).stdout
    assert "metrics, with report.html (11 bytes)" in shown
    assert "1 as stated" in run("package", "verify", place).stdout


def test_build_takes_what_a_python_model_says_of_itself(example_file: Path, tmp_path: Path) -> None:
    output = tmp_path / "sealed"
    named = ("--name", "double", "--version", "1", "--output", output, "--example", example_file)
    done = run("package", "build", "fragile:answer", *named, "--not-pure", where=STORIES)
    assert done.returncode == 0, done.stderr
    assert not package.open(output).description.pure


def test_build_with_a_lock_that_cannot_be_made_seals_nothing(
    example_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache"))
    output = tmp_path / "sealed"
    named = ("--name", "double", "--version", "1", "--output", output, "--example", example_file)
    done = run("package", "build", "fragile:answer", *named, "--lock", where=STORIES)
    assert done.returncode == 1
    assert "the requirements cannot be locked" in done.stderr
    assert not output.exists()


def test_build_of_a_file_that_does_not_exist_is_wrong_input(tmp_path: Path) -> None:
    named = ("--name", "a", "--version", "1", "--output", tmp_path / "sealed")
    lines = refused("package", "build", tmp_path / "no.onnx", *named, code=2)
    assert "no.onnx" in lines[0]
    assert not (tmp_path / "sealed").exists()


def test_inspect_tells_how_records_are_padded(tmp_path: Path) -> None:
    sealed(tmp_path / "masked")
    shown = run("package", "inspect", tmp_path / "masked").stdout
    assert "ids FP32 [-1], padded with 0 at the end to multiples of 8\n" in shown
    assert "states FP32 [-1], follows ids\n" in shown


def test_moments_are_said_by_an_option_and_told_by_inspect(tmp_path: Path) -> None:
    (tmp_path / "telling.onnx").write_bytes(moments.telling())
    named = ("--name", "telling", "--version", "1", "--output", tmp_path / "sealed")
    build = ("package", "build", tmp_path / "telling.onnx", *named)
    lines = refused(*build, "--moment", "on", code=2)
    assert "moments names 'on', which is no input" in lines[0]
    done = run(*build, "--moment", "at")
    assert done.returncode == 0, done.stderr
    assert "at INT64 [], a moment\n" in run("package", "inspect", tmp_path / "sealed").stdout


def test_inspect_tells_people_and_programs_the_same(digits: Sealed) -> None:
    told = json.loads(run("package", "inspect", digits.path, "--json").stdout)
    shown = run("package", "inspect", digits.path).stdout
    assert told["digest"] in shown
    for name in ("digits", "X", "FP32", "[64]", "label"):
        assert name in shown


def test_verify_says_what_was_checked(digits: Sealed) -> None:
    done = run("package", "verify", digits.path, "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["digest"].startswith("sha256:")


def test_one_flipped_bit_fails_verification(digits: Sealed, tmp_path: Path) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(digits.path, copy)
    largest = max((copy / "blobs/sha256").iterdir(), key=lambda blob: blob.stat().st_size)
    content = bytearray(largest.read_bytes())
    content[len(content) // 2] ^= 1
    largest.chmod(0o644)
    largest.write_bytes(content)
    lines = refused("package", "verify", copy, code=1)
    assert lines[0].startswith("error: ")


def test_json_error_is_one_object_on_stderr(tmp_path: Path) -> None:
    lines = refused("package", "inspect", tmp_path / "nothing-here", "--json", code=2)
    assert len(lines) == 1
    assert json.loads(lines[0])["code"] == "path_not_found"


def test_defect_shows_its_traceback_and_has_a_code_of_its_own() -> None:
    script = (
        "import sys, shoal.package\n"
        "def broken(*_, **__): raise KeyError('lost')\n"
        "shoal.package.inspect = broken\n"
        "from shoal.cli import main\n"
        "main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "package", "inspect", "anywhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 3
    assert "Traceback" in done.stderr
    assert "KeyError: 'lost'" in done.stderr
