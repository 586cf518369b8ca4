"""Seals packages in processes that are killed: `python -m tests.soak.kill_points`.

This process loads everything once and forks: a child costs milliseconds. A child is killed

- at a chosen point: just before the n-th line of the writer, or the n-th file-system event that
  Python audits below it (open, rename, mkdir, rmtree ...); between two such points the file system
  changes by one call only;
- or at a random moment of a large package, also inside a call of the kernel.

Killed means SIGKILL: no handler, no `finally`, nothing in buffers is written. Prints one JSON
object: how many children were killed, and which of them left what they must not leave.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import select
import shutil
import signal
import sys
import tempfile
import time
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from shoal import package

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

WRITER = str(Path(package.__file__).with_name("_write.py"))
AUDITED = ("open", "os.", "shutil.", "tempfile.")
EXAMPLE = np.arange(12, dtype=np.float32).reshape(3, 4)
SMALL_BYTES, LARGE_BYTES = 4, 4 << 20
ATTESTED = {"accuracy": 0.5}
FAILED = 3


@dataclass
class Report:
    """What became of the children."""

    points: int = 0
    killed: int = 0
    whole: int = 0
    failures: list[str] = field(default_factory=list)


def model(weights: int) -> bytes:
    """An ONNX file that adds the sum of that many numbers."""
    numbers = numpy_helper.from_array(np.ones(weights, np.float32), "numbers")
    nodes = [
        helper.make_node("ReduceSum", ["numbers"], ["sum"], keepdims=0),
        helper.make_node("Add", ["X", "sum"], ["Y"]),
    ]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in "XY"]
    graph = helper.make_graph(nodes, "adding", ends[:1], ends[1:], [numbers])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data: bytes = made.SerializeToString()
    return data


class Points:
    """Calls `at_point(n)` just before the n-th point of the writer, in a `with` block."""

    def __init__(self, at_point: Callable[[int], None]) -> None:
        self.count = 0
        self._at_point = at_point
        self._is_counting = False
        sys.addaudithook(self._on_event)

    def __enter__(self) -> Self:
        self._is_counting = True
        sys.settrace(self._on_call)
        return self

    def __exit__(self, *_error: object) -> None:
        sys.settrace(None)
        self._is_counting = False

    def _point(self) -> None:
        self.count += 1
        self._at_point(self.count)

    def _on_event(self, event: str, _arguments: tuple[Any, ...]) -> None:
        if self._is_counting and event.startswith(AUDITED) and _is_below_the_writer():
            self._point()

    def _on_call(self, frame: FrameType, _event: str, _argument: object) -> Any:
        return self._on_line if frame.f_code.co_filename == WRITER else None

    def _on_line(self, _frame: FrameType, event: str, _argument: object) -> Any:
        if event == "line":
            self._point()
        return self._on_line


def _is_below_the_writer() -> bool:
    frame: FrameType | None = sys._getframe(2)
    while frame is not None:
        if frame.f_code.co_filename == WRITER:
            return True
        frame = frame.f_back
    return False


def fork(body: Callable[[], object]) -> int:
    """Run `body` in a child: its process id. It exits with 0, or with 3 if `body` raises."""
    child = os.fork()
    if child:
        return child
    try:
        body()
        os._exit(0)
    except BaseException as error:  # noqa: BLE001 - nothing of this child may run on
        sys.stderr.write(f"{type(error).__name__}: {error}\n")
        os._exit(FAILED)


def end_of(child: int) -> int:
    """Wait for a child: its exit status, or minus the signal that ended it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_points(body: Callable[[], object]) -> tuple[int, float]:
    """How many points `body` passes, and the seconds from the first to the last, in a child."""
    reading, writing = os.pipe()
    moments: list[float] = []

    def counted() -> None:
        with Points(lambda _point: moments.append(time.monotonic())) as points:
            body()
        os.write(writing, f"{points.count} {moments[-1] - moments[0]}".encode())

    assert end_of(fork(counted)) == 0
    count, seconds = os.read(reading, 64).split()
    os.close(reading)
    os.close(writing)
    return int(count), float(seconds)


def kill_self(at: int) -> Callable[[int], None]:
    """Kills this process at one point."""

    def at_point(point: int) -> None:
        if point == at:
            os.kill(os.getpid(), signal.SIGKILL)

    return at_point


def kill_after_first_point(body: Callable[[], object], seconds: float) -> int:
    """Kill a child so many seconds after its writer begins; its exit status."""
    reading, writing = os.pipe()

    def told(_point: int) -> None:
        sys.settrace(None)  # from here on at full speed
        points._is_counting = False
        os.write(writing, b"!")

    points = Points(told)

    def traced() -> None:
        with points:
            body()

    child = fork(traced)
    handle = os.pidfd_open(child)
    os.close(writing)
    os.read(reading, 1)  # or its end, where the child fails before it writes
    os.close(reading)
    if not select.select([handle], [], [], seconds)[0]:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
    os.close(handle)
    return end_of(child)


@dataclass(frozen=True)
class Deed:
    """Something done to a place, and whether the place is as it was before or after it."""

    name: str
    prepare: Callable[[Path], object]
    do: Callable[[Path], object]
    is_undone: Callable[[Path], bool]
    is_done: Callable[[Path], bool]


def judge(deed: Deed, place: Path, report: Report, *, when: str) -> None:
    """After a kill: all or nothing, and the same again succeeds."""
    try:
        if deed.is_undone(place):
            pass
        elif deed.is_done(place):
            report.whole += 1
        else:
            report.failures.append(f"{deed.name}, {when}: neither before nor after")
    except Exception as error:  # noqa: BLE001 - whatever it is, the parent must hear of it
        report.failures.append(f"{deed.name}, {when}: {error}")
    if end_of(fork(lambda: deed.do(place))) != 0:
        report.failures.append(f"{deed.name}, {when}: it does not succeed afterwards")
    elif not deed.is_done(place):
        report.failures.append(f"{deed.name}, {when}: it is not done afterwards")


def kill_at_points(deed: Deed, root: Path, most: int) -> Report:
    """Kill at every point, or at `most` of them, spread evenly; the last one always."""
    deed.prepare(root / "rehearsal")
    count, _ = count_points(lambda: deed.do(root / "rehearsal"))
    step = max(1, count // most)
    chosen = sorted({*range(1, count + 1, step), count})
    report = Report(points=count)
    for at in chosen:
        place = root / f"at-{at}" / "model"
        deed.prepare(place)

        def do(at: int = at, place: Path = place) -> None:
            with Points(kill_self(at)):
                deed.do(place)

        if end_of(fork(do)) == -signal.SIGKILL:
            report.killed += 1
        else:
            report.failures.append(f"{deed.name}: nothing was killed at point {at} of {count}")
        judge(deed, place, report, when=f"point {at} of {count}")
        shutil.rmtree(place.parent)
    return report


def kill_at_moments(deed: Deed, root: Path, times: int, seed: int) -> Report:
    """Kill at random moments of the time that the writer takes."""
    draw = random.Random(seed)
    deed.prepare(root / "rehearsal")
    _, seconds = count_points(lambda: deed.do(root / "rehearsal"))
    report = Report()
    for number in range(times):
        place = root / f"moment-{number}" / "model"
        deed.prepare(place)
        end = kill_after_first_point(partial(deed.do, place), draw.uniform(0, seconds))
        report.killed += end == -signal.SIGKILL
        judge(deed, place, report, when=f"moment {number} of seed {seed}")
        shutil.rmtree(place.parent)
    return report


def sealing(weights: int) -> Deed:
    """Building a package where there is none."""
    data = model(weights)

    def build(place: Path) -> package.Package:
        return package.build(data, name="adding", version="1", output=place, example=EXAMPLE)

    def is_whole(place: Path) -> bool:
        return package.open(place).digest == digest

    with tempfile.TemporaryDirectory() as directory:
        digest = build(Path(directory, "model")).digest  # and all that is loaded on demand, is
    return Deed("sealing", Path, build, lambda place: not place.exists(), is_whole)


def attesting(weights: int) -> Deed:
    """Attaching metrics and a file to a package; the package itself is whole all the while."""
    build = sealing(weights).do

    def attest(place: Path) -> package.Package:
        return package.open(place).attest("metrics", ATTESTED, files={"report.html": b"<p>"})

    def prepare(place: Path) -> None:
        assert end_of(fork(lambda: build(place))) == 0

    def attestations(place: Path) -> int:
        return len(package.open(place).attestations())

    return Deed(
        "attesting",
        prepare,
        attest,
        lambda place: attestations(place) == 0,
        lambda place: attestations(place) == 1,
    )


def main() -> None:
    """Kill as often as asked, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("deed", choices=["sealing", "attesting"])
    parser.add_argument("--points", type=int, required=True)
    parser.add_argument("--moments", type=int, required=True)
    parser.add_argument("--seed", type=int, required=True)
    asked = parser.parse_args()
    deeds = {"sealing": sealing, "attesting": attesting}
    with tempfile.TemporaryDirectory() as directory:
        points = kill_at_points(deeds[asked.deed](SMALL_BYTES // 4), Path(directory), asked.points)
        large = deeds[asked.deed](LARGE_BYTES // 4)
        moments = kill_at_moments(large, Path(directory, "large"), asked.moments, asked.seed)
    sys.stdout.write(json.dumps({"points": vars(points), "moments": vars(moments)}))


if __name__ == "__main__":
    main()
