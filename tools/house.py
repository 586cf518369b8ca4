"""The shape of the code, as a check: `python -m tools.house` (with `--report`, the measures too).

- No function over 40 lines (blank lines, comments and the docstring not counted), no file over 500.
- No file is called utils, helpers, common, misc, manager or core, and nothing in it a utility,
  helper or manager: such a name says nothing.
- A number of time carries its unit: `max_wait_ms`, never a bare `timeout`.
- A room holds at most 20 modules, all private; its `__init__` says what is public, in order.
- The Rust core (`shoal._native`) is used by the rooms that stand between values and server only.
- A test that waits does so in a loop with a deadline, never by sleeping for a while.
- `# type: ignore` names its error and its reason; nothing is left to do "later".
"""

from __future__ import annotations

import argparse
import ast
import io
import re
import statistics
import sys
import tokenize
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FOLDERS = ("python", "tools", "examples", "benchmarks", "crates", "clients", "protocol")
NOT_OURS = {
    *("target", "environments", "work", "peers", "__pycache__"),
    *("node_modules", "build", "dist"),
}
PYTHON = {".py", ".pyi"}
WRITTEN = PYTHON | {".rs", ".ts", ".js"}
GENERATED = ("_pb2.py", "_pb2.pyi", "_pb2_grpc.py")

MAX_FUNCTION_LINES = 40
MAX_FILE_LINES = 500
MAX_ROOM_MODULES = 20
VAGUE_WORDS = {"util", "utils", "helper", "helpers", "misc", "manager"}
VAGUE_FILES = VAGUE_WORDS | {"common", "core"}
TIMES_WITHOUT_UNIT = {"timeout", "delay", "interval", "duration", "max_wait", "ttl"}
ROOMS_OF_NATIVE = {
    *("values", "batch", "runtime", "package", "source", "evaluate"),
    *("pipeline", "train", "serve", "client"),
}
TYPE_IGNORE = re.compile(r"#\s*type:\s*ignore(?!\[[\w, -]+\]\s*(#|-|:)\s*\w)")
LATER = re.compile(r"(#|//).*\b(TODO|FIXME|XXX)\b")

Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(NamedTuple):
    """One broken rule, at one place."""

    path: Path
    line: int
    rule: str

    def __str__(self) -> str:
        """The form editors understand."""
        return f"{self.path.relative_to(ROOT)}:{self.line}: {self.rule}"


def source_files() -> list[Path]:
    """All hand-written files of code of the repository."""
    found = []
    for folder in FOLDERS:
        for path in sorted((ROOT / folder).rglob("*")):
            written = path.suffix in WRITTEN and not path.name.endswith(GENERATED)
            if written and not NOT_OURS.intersection(path.relative_to(ROOT).parts):
                found.append(path)
    return found


def function_lines(function: Function, code_lines: set[int]) -> int:
    """Lines of code in a function's body; blank lines, comments and its docstring do not count."""
    body = function.body[1:] if ast.get_docstring(function) is not None else function.body
    if not body:
        return 0
    return len(code_lines.intersection(range(body[0].lineno, (function.end_lineno or 0) + 1)))


def lines_with_code(source: str) -> set[int]:
    """Numbers of the lines that hold a token other than a comment."""
    blank = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT}
    lines: set[int] = set()
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type not in blank:
            lines.update(range(token.start[0], token.end[0] + 1))
    return lines


def functions_of(tree: ast.AST) -> Iterator[Function]:
    """Every function, methods and inner ones included."""
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def check_text(path: Path, text: str) -> Iterator[Finding]:
    """Rules that hold for every language."""
    lines = text.splitlines()
    if len(lines) > MAX_FILE_LINES:
        yield Finding(path, 1, f"{len(lines)} lines; a file has at most {MAX_FILE_LINES}")
    if vague := VAGUE_FILES.intersection([*path.stem.strip("_").split("_"), path.parent.name]):
        yield Finding(path, 1, f"'{vague.pop()}' says nothing: name what it is for")
    for number, line in enumerate(lines, start=1):
        if LATER.search(line) and path != Path(__file__):
            yield Finding(path, number, "do it now, or leave it out")


def check_functions(path: Path, tree: ast.AST, code_lines: set[int]) -> Iterator[Finding]:
    """Length and names of functions, and the units of what they take."""
    for function in functions_of(tree):
        length = function_lines(function, code_lines)
        if length > MAX_FUNCTION_LINES:
            rule = (
                f"{function.name} has {length} lines; a function has at most {MAX_FUNCTION_LINES}"
            )
            yield Finding(path, function.lineno, rule)
        if VAGUE_WORDS.intersection(function.name.split("_")):
            yield Finding(path, function.lineno, f"'{function.name}' says nothing")
        arguments = function.args
        for argument in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs):
            if argument.arg in TIMES_WITHOUT_UNIT:
                yield Finding(path, argument.lineno, f"'{argument.arg}' needs a unit: _s, _ms")


def check_classes(path: Path, tree: ast.AST) -> Iterator[Finding]:
    """Names of classes, and the units of their fields."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.ClassDef):
            continue
        words = {word.lower() for word in re.findall(r"[A-Z][a-z]*", node.name)}
        if VAGUE_WORDS.intersection(words):
            yield Finding(path, node.lineno, f"'{node.name}' says nothing: name what it is for")
        for field in node.body:
            if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                name = field.target.id
                if name in TIMES_WITHOUT_UNIT:
                    yield Finding(path, field.lineno, f"'{name}' needs a unit: _s, _ms")


def check_sleeps(path: Path, tree: ast.AST) -> Iterator[Finding]:
    """A test sleeps only inside a `while` loop: there it polls, and something else ends it."""
    polled = {
        call
        for loop in ast.walk(tree)
        if isinstance(loop, ast.While)
        for call in ast.walk(loop)
        if isinstance(call, ast.Call)
    }
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and call not in polled:
            name = call.func.attr if isinstance(call.func, ast.Attribute) else None
            if name == "sleep":
                yield Finding(path, call.lineno, "a test never sleeps: poll with a deadline")


def room_of(path: Path) -> str | None:
    """The room a file of the package belongs to."""
    package = ROOT / "python" / "shoal"
    return (
        path.relative_to(package).parts[0].removesuffix(".py") if package in path.parents else None
    )


def check_native_imports(path: Path, tree: ast.AST) -> Iterator[Finding]:
    """Only some rooms may touch the Rust core."""
    room = room_of(path)
    if room is None or room in ROOMS_OF_NATIVE:
        return
    for node in ast.walk(tree):
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        if isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names] + [str(node.module)]
        if any(name.startswith("shoal._native") for name in names):
            yield Finding(path, getattr(node, "lineno", 1), f"{room} does not use the Rust core")


def check_rooms() -> Iterator[Finding]:
    """The shape of each room of the package."""
    for room in sorted((ROOT / "python" / "shoal").iterdir()):
        if not (room / "__init__.py").exists():
            continue
        modules = [path for path in room.glob("*.py") if not path.name.startswith("__")]
        if len(modules) > MAX_ROOM_MODULES:
            rule = f"{len(modules)} modules; a room holds at most {MAX_ROOM_MODULES}"
            yield Finding(room / "__init__.py", 1, rule)
        for path in modules:
            if not path.name.startswith("_"):
                yield Finding(path, 1, "modules of a room are private: begin the name with _")
        if "__all__" not in (room / "__init__.py").read_text(encoding="utf-8"):
            yield Finding(room / "__init__.py", 1, "a room says what is public: __all__")


def check_type_ignores(path: Path, text: str) -> Iterator[Finding]:
    """An ignored type error names itself and its reason, in a second comment."""
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT and TYPE_IGNORE.search(token.string):
            rule = "write '# type: ignore[code]  # reason'"
            yield Finding(path, token.start[0], rule)


def check_python(path: Path, text: str) -> Iterator[Finding]:
    """Rules for one Python file."""
    try:
        tree = ast.parse(text, filename=str(path))
    except SyntaxError as error:
        yield Finding(
            path,
            error.lineno or 1,
            f"no Python {sys.version_info.major}.{sys.version_info.minor}: {error.msg}",
        )
        return
    yield from check_functions(path, tree, lines_with_code(text))
    yield from check_classes(path, tree)
    yield from check_native_imports(path, tree)
    yield from check_type_ignores(path, text)
    if ROOT / "python" / "tests" in path.parents:
        yield from check_sleeps(path, tree)


def check_all() -> list[Finding]:
    """Every broken rule in the repository."""
    findings = list(check_rooms())
    for path in source_files():
        text = path.read_text(encoding="utf-8")
        findings.extend(check_text(path, text))
        if path.suffix in PYTHON:
            findings.extend(check_python(path, text))
    return findings


def print_report() -> None:
    """Median, 90th percentile and longest function and file, of the package itself."""
    paths = [path for path in source_files() if room_of(path) and path.suffix == ".py"]
    texts = [path.read_text(encoding="utf-8") for path in paths]
    lengths = sorted(
        function_lines(function, lines_with_code(text))
        for text in texts
        for function in functions_of(ast.parse(text))
    )
    if lengths:
        ninetieth = lengths[len(lengths) * 9 // 10]
        print(f"{len(lengths)} functions: median {statistics.median(lengths):g} lines,")
        print(f"90th percentile {ninetieth}, longest {lengths[-1]};")
    print(f"{len(paths)} files, longest {max(len(text.splitlines()) for text in texts)} lines")


def main() -> int:
    """Print what is broken; exit 1 if anything is."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tools.house")
    parser.add_argument("--report", action="store_true", help="print the measures")
    if parser.parse_args().report:
        print_report()
    findings = check_all()
    for finding in findings:
        print(finding)
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
