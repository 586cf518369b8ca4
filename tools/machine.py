"""Where and from what a result came: commit, machine and date, written into every result file."""

from __future__ import annotations

import datetime
import os
import platform
import subprocess
from pathlib import Path

import msgspec

ROOT = Path(__file__).parents[1]
RESULTS_ASIDE = ":(exclude,glob)benchmarks/*/results/**"  # Source: gitglossary, "pathspec"


class Machine(msgspec.Struct, frozen=True):
    """The machine a result was measured on."""

    processor: str
    cores: int
    memory_bytes: int
    system: str
    python: str
    rust: str


def _output(*command: str) -> str:
    """What a command prints, or nothing where there is no such command."""
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return ""
    return answer.stdout.strip()


def _processor() -> str:
    """The processor's own name, where the system tells it."""
    facts = Path("/proc/cpuinfo")
    if facts.exists():
        for line in facts.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def describe_machine() -> Machine:
    """The machine this runs on; `cores` are those this process may use."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"),
        system=platform.platform(),
        python=platform.python_version(),
        rust=_output("rustc", "--version"),
    )


def commit() -> str:
    """The commit checked out; "unknown" outside a repository."""
    return _output("git", "rev-parse", "HEAD") or "unknown"


def is_changed() -> bool:
    """Whether files differ from that commit; results aside, of which one is being written."""
    return bool(_output("git", "status", "--porcelain", "--", ".", RESULTS_ASIDE))


def now() -> str:
    """Date and time in UTC, to the second, as RFC 3339 writes it."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
