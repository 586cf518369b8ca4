"""What this machine has, and what it lacks: `just doctor`.

Programs outside Python's and Rust's own package managers, each with the Debian package it comes in
and what it is for. Exits 1 if something is missing without which Shoal cannot be built; a test that
needs another program is skipped without it, and says so. The same table stands in README.md; a test
keeps the two equal.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
PYTHON_AT_LEAST = (3, 11)
CARGO_AT_LEAST = (1, 95)  # what Cargo.toml asks for; rustup fetches what rust-toolchain.toml names

Need = Literal["build", "test", "prove", "bench"]


class Program(msgspec.Struct, frozen=True):
    """A program Shoal's commands start, and where it comes from."""

    name: str
    package: str
    need: Need
    purpose: str

    @property
    def is_required(self) -> bool:
        """Whether Shoal cannot be built without it."""
        return self.need == "build"


class Diagnosis(msgspec.Struct, frozen=True):
    """Whether one program is there; `found` is its path or version, or what is wrong."""

    name: str
    package: str
    need: Need
    purpose: str
    is_present: bool
    found: str


PROGRAMS = (
    Program("python3", "python3", "build", "runs Shoal; 3.11 or later"),
    Program("cargo", "rustup", "build", "compiles the Rust core; before Debian 13 from rustup.rs"),
    Program("cc", "build-essential", "build", "links the Rust core"),
    Program("git", "git", "prove", "names the commit a result belongs to"),
    Program("skopeo", "skopeo", "test", "reads a sealed package with a program that is not ours"),
    Program("curl", "curl", "test", "runs the commands that the page /docs shows"),
    Program("java", "openjdk-17-jre-headless", "test", "runs Apache Kafka"),
    Program("mvn", "maven", "test", "fetches Apache Kafka"),
    Program("pg_ctlcluster", "postgresql", "test", "the database that a pipeline writes to"),
    Program("mosquitto", "mosquitto", "test", "the MQTT broker that a pipeline listens to"),
    Program("chromium", "chromium", "test", "shows reports and the try page as a reader sees them"),
    Program("node", "nodejs", "test", "runs the client of JavaScript; 20 or later"),
    Program("npm", "npm", "test", "installs what it is built with"),
    Program("strace", "strace", "test", "kills a pipeline at every system call"),
    Program("docker-registry", "docker-registry", "test", "a registry to push packages to"),
    Program("go", "golang-go", "test", "compiles another registry, and Kubernetes; 1.21 or later"),
    Program("mmdebstrap", "mmdebstrap", "test", "makes the base of an image"),
    Program("buildah", "buildah", "test", "runs an image"),
    Program("haproxy", "haproxy", "test", "the proxy before two replicas"),
    Program("promtool", "prometheus", "test", "scrapes a server, checks alert rules"),
    Program("wrk", "wrk", "bench", "the load generator of `just bench serve`"),
    Program("h2load", "nghttp2-client", "bench", "its load generator for gRPC"),
    Program("python3.11", "libpython3.11", "bench", "runs PyTriton, a peer of `just bench serve`"),
)


def _cargo_version() -> str:
    """What `cargo --version` answers, in the form 1.95.0."""
    command = ["cargo", "--version"]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    version = re.search(r"\d+\.\d+\.\d+", answer.stdout)
    return version.group() if version else "0.0.0"


def _is_at_least(version: str, least: tuple[int, int]) -> bool:
    major, minor = (int(part) for part in version.split(".")[:2])
    return (major, minor) >= least


def examine(program: Program) -> Diagnosis:
    """Look for one program on the PATH, and at its version where one is demanded."""
    path = shutil.which(program.name)
    is_present, found = path is not None, path or "not on the PATH"
    if program.name == "python3":
        found = ".".join(str(part) for part in sys.version_info[:3])
        is_present = sys.version_info >= PYTHON_AT_LEAST
    elif program.name == "cargo" and path:
        found = _cargo_version()
        is_present = _is_at_least(found, CARGO_AT_LEAST)
    return Diagnosis(
        name=program.name,
        package=program.package,
        need=program.need,
        purpose=program.purpose,
        is_present=is_present,
        found=found,
    )


def show(diagnoses: list[Diagnosis], console: Console) -> None:
    """A table, and the line that repairs it."""
    table = Table("program", "here", "package", "needed to", "what for")
    for diagnosis in diagnoses:
        mark = "[green]yes[/]" if diagnosis.is_present else "[red]no[/]"
        table.add_row(
            diagnosis.name,
            f"{mark} {diagnosis.found}",
            diagnosis.package,
            diagnosis.need,
            diagnosis.purpose,
        )
    console.print(table)
    missing = [diagnosis.package for diagnosis in diagnoses if not diagnosis.is_present]
    if missing:
        console.print(f"On Debian or Ubuntu: apt-get install {' '.join(missing)}")


def main() -> int:
    """Examine every program; exit 1 if a required one is missing."""
    parser = argparse.ArgumentParser(description=__doc__, prog="python -m tools.doctor")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    arguments = parser.parse_args()
    diagnoses = [examine(program) for program in PROGRAMS]
    missing = {diagnosis.name for diagnosis in diagnoses if not diagnosis.is_present}
    is_ready = not any(program.is_required and program.name in missing for program in PROGRAMS)
    if arguments.json:
        print(msgspec.json.encode({"ready": is_ready, "programs": diagnoses}).decode())
    else:
        show(diagnoses, Console())
    return 0 if is_ready else 1


if __name__ == "__main__":
    sys.exit(main())
