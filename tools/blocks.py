"""Runs the code of a page: `python -m tools.blocks README.md`.

What a reader could copy from a page must work, so the blocks of a page run in order, in one
process, in an empty directory. The words after the opening fence say how:

- ```` ```python ```` runs, and sees the names of the blocks above it.
- ```` ```python setup ```` is the same; it stands in an HTML comment, out of the reader's way.
- ```` ```console run ```` runs each line that begins with `$ ` in bash, which must succeed.
- ```` ```text output ```` is what the block above it must have printed, word for word.
- `<!-- needs: PROGRAM -->` names a program that the page starts; where it is not installed, the
  tests skip the page, other than in CI.
- Every other block (`console` without `run`, `json`, `toml` ...) is only read.
"""

from __future__ import annotations

import contextlib
import io
import re
import subprocess
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

NEEDS = re.compile(r"^<!-- needs: (?P<program>[a-z-]+) -->$", re.MULTILINE)
FENCE = re.compile(r"^(?P<indent> *)```(?P<info>[^`]*)$")


class Block(NamedTuple):
    """One fenced block: the words after its fence, its text, and the line its text begins at."""

    words: tuple[str, ...]
    text: str
    line: int


class BlockError(Exception):
    """A block did not do what the page says."""


def blocks_of(markdown: str) -> Iterator[Block]:
    """The fenced blocks of a page, in order."""
    words: tuple[str, ...] | None = None
    indent, start, lines = 0, 0, list[str]()
    for number, line in enumerate(markdown.splitlines(), start=1):
        fence = FENCE.match(line)
        if fence and words is None:
            words, indent = tuple(fence["info"].split()), len(fence["indent"])
            start, lines = number + 1, []
        elif fence and words is not None:
            yield Block(words, "\n".join(lines) + "\n", start)
            words = None
        elif words is not None:
            lines.append(line[indent:])


def programs_of(markdown: str) -> list[str]:
    """The programs that a page starts."""
    return NEEDS.findall(markdown)


def is_run(block: Block) -> bool:
    """Whether a block is run or compared, not only read."""
    return block.words[:1] == ("python",) or block.words[1:2] in {("run",), ("output",)}


def run_python(block: Block, page: str, names: dict[str, object]) -> str:
    """Run a block in the page's namespace and return what it printed."""
    printed = io.StringIO()
    code = "\n" * (block.line - 1) + block.text  # so that a traceback shows the page's own lines
    with contextlib.redirect_stdout(printed):
        exec(compile(code, page, "exec"), names)  # noqa: S102 - running the page is the purpose
    return printed.getvalue()


def run_console(block: Block) -> str:
    """Run the commands of a block, one after the other, and return what they printed."""
    printed = ""
    for line in block.text.splitlines():
        if line.startswith("$ "):
            command = ["bash", "-euo", "pipefail", "-c", line.removeprefix("$ ")]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            if answer.returncode != 0:
                message = f"`{line}` ended with {answer.returncode}\n{answer.stdout}"
                raise BlockError(message)
            printed += answer.stdout
    return printed


def compare(expected: str, printed: str) -> None:
    """Raise if the page shows another output than the one that came."""
    if expected.strip() != printed.strip():
        message = f"the page shows\n{expected}\nbut what came is\n{printed}"
        raise BlockError(message)


def run_page(page: Path) -> int:
    """Run a page in the current directory and return how many blocks ran."""
    names: dict[str, object] = {"__name__": "__main__"}
    printed, count = "", 0
    for block in filter(is_run, blocks_of(page.read_text(encoding="utf-8"))):
        count += 1
        try:
            if block.words[0] == "python":
                printed = run_python(block, str(page), names)
            elif block.words[1] == "output":
                compare(block.text, printed)
            else:
                printed = run_console(block)
        except Exception as error:
            message = f"{page}:{block.line}: {error}"
            raise BlockError(message) from error
    return count


def main() -> int:
    """Run the pages named on the command line; exit 1 at the first block that fails."""
    for name in sys.argv[1:]:
        try:
            print(f"{name}: {run_page(Path(name).resolve())} blocks")
        except BlockError:
            traceback.print_exc()
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
