from __future__ import annotations

import os
import signal
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from benchmarks.serve import _processes
from benchmarks.serve._failure import BenchmarkError
from benchmarks.serve._processes import Program, free_ports, parse_memory, started
from benchmarks.serve._protocols import PLAIN, check
from benchmarks.serve._rounds import best_setting
from benchmarks.serve._servers import HTTP_PORT, Server

CORE = min(os.sched_getaffinity(0))
WAITS = "import signal; print('ready', flush=True); signal.pause()"
STUBBORN = "import signal; signal.signal(15, signal.SIG_IGN); " + WAITS.partition("; ")[2]
PARENT = f"""
import signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {WAITS!r}], stdout=subprocess.PIPE)
child.stdout.readline()
print("ready", flush=True)
signal.pause()
"""


def python(code: str) -> Program:
    return Program((sys.executable, "-c", code), announces=True)


def is_alive(pid: int) -> bool:
    """A zombie is not: its end was seen, only nobody has asked for it."""
    stat = Path("/proc", str(pid), "stat")
    return stat.exists() and stat.read_text().rpartition(")")[2].split()[0] != "Z"


def test_a_program_runs_on_its_core_and_is_ended(tmp_path: Path) -> None:
    with started(python(WAITS), cores=(CORE,), log=tmp_path / "log") as running:
        assert running.first_line(20) == "ready\n"
        assert os.sched_getaffinity(running.process.pid) == {CORE}
    assert running.process.returncode == -signal.SIGTERM


def test_children_of_a_program_end_with_it(tmp_path: Path) -> None:
    with started(python(PARENT), cores=(CORE,), log=tmp_path / "log") as running:
        running.first_line(20)
        tree = running.tree()
    assert len(tree) == 2
    assert not [pid for pid in tree if is_alive(pid)]


def test_children_of_a_program_that_is_gone_end_too(tmp_path: Path) -> None:
    leaves = PARENT.replace("signal.pause()", "print(child.pid, flush=True)")
    with started(python(leaves), cores=(CORE,), log=tmp_path / "log") as running:
        running.first_line(20)
        child = int(running.first_line(20))
        running.process.wait(20)
    assert not is_alive(child)


def test_a_program_that_ignores_the_signal_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_processes, "END_WITHIN_S", 0.2)
    with started(python(STUBBORN), cores=(CORE,), log=tmp_path / "log") as running:
        running.first_line(20)
    assert running.process.returncode == -signal.SIGKILL


def test_a_program_that_dies_is_quoted(tmp_path: Path) -> None:
    broken = python("import sys; sys.exit('no model there')")
    ready = pytest.raises(BenchmarkError, match="no model there")
    with started(broken, cores=(CORE,), log=tmp_path / "log") as running, ready:
        running.first_line(20)


def test_processor_time_of_a_program_grows(tmp_path: Path) -> None:
    burns = "x = sum(range(6_000_000)); " + WAITS
    with started(python(burns), cores=(CORE,), log=tmp_path / "log") as running:
        running.first_line(20)
        assert running.cpu_s() > 0.01


def test_free_ports_differ() -> None:
    assert len(set(free_ports(3))) == 3


def test_a_wrong_answer_ends_the_run() -> None:
    class AlwaysSeven(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "18")
            self.end_headers()
            self.wfile.write(b'{"prediction":[7]}')

        def log_message(self, *_: object) -> None:
            """Quiet."""

    with HTTPServer(("127.0.0.1", 0), AlwaysSeven) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        address = f"127.0.0.1:{server.server_port}"
        check(address, PLAIN, [[0.0]], [7])
        with pytest.raises(BenchmarkError, match=r"expected the labels \[3\]"):
            check(address, PLAIN, [[0.0], [1.0]], [7, 3])
        server.shutdown()
        thread.join()


def test_of_equally_fast_settings_the_one_with_the_least_wait_is_taken() -> None:
    settings = [Server("peer", f"{wait}", (HTTP_PORT,), wait_us=wait) for wait in (10, 5, 1)]
    assert best_setting(settings, [100.0, 98.0, 97.0]).setting == "1"
    assert best_setting(settings, [100.0, 98.0, 80.0]).setting == "5"
    assert best_setting(settings, [100.0, 60.0, 50.0]).setting == "10"


def test_a_running_program_is_its_own_tree(tmp_path: Path) -> None:
    with started(python(WAITS), cores=(CORE,), log=tmp_path / "log") as running:
        running.first_line(20)
        assert list(running.tree()) == [running.process.pid]


def test_memory_and_idling_of_a_program_are_seen_to_the_page_and_the_nanosecond(
    tmp_path: Path,
) -> None:
    held = "x = bytearray(40_000_000); " + WAITS
    with started(python(held), cores=(CORE,), log=tmp_path / "log") as running:
        running.first_line(20)
        memory = running.memory()
        assert running.run_s() > 0
    assert memory.resident_bytes > 40_000_000
    assert 40_000_000 < memory.proportional_bytes <= memory.resident_bytes


def test_memory_is_read_in_kibibytes() -> None:
    text = (
        "5558d689f000-7ffc56bdc000 ---p 00000000 00:00 0  [rollup]\nRss:   1760 kB\nPss:  324 kB\n"
    )
    assert parse_memory(text) == (1760 * 1024, 324 * 1024)
