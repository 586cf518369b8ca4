"""Python models in worker processes: whatever one does, its neighbours are answered.

The model is `stories/hazard.py`. Requests that must share a micro-batch are sent while the only
worker is held up by another one, so that all of them wait.
"""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import tritonclient.grpc as triton

from shoal import serve
from shoal.errors import ModelError, ModelUnavailableError
from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, SHOAL, Reply, Served, poll, serving
from tests.end_to_end.stories import hazard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from concurrent.futures import Future

CLIENTS = 32
BAD = 21
AFTER_RESTARTS_S = 3 * DEADLINE_S  # seven of them, each with the imports of a new process
READY = "/v2/models/hazard/ready"


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.story("hazard", tmp_path_factory.mktemp("hazard"))


@pytest.fixture(scope="module")
def package_not_pure(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return models.story("hazard", tmp_path_factory.mktemp("hazard"), pure=False)


def hazards(path: Path, notes: Path, *arguments: str) -> AbstractContextManager[Served]:
    return serving(path, arguments=("--allow-code", *arguments), SHOAL_NOTES=str(notes))


def asked(served: Served, row: float) -> Reply:
    return served.ask("POST", "/predict", {"features": {"value": row}})


def calls(notes: Path) -> list[tuple[int, int]]:
    """(process, rows) of each call of the model."""
    lines = (notes / "calls").read_text().splitlines()
    return [(int(line.split()[0]), int(line.split()[1])) for line in lines]


def measured(served: Served, name: str) -> int:
    lines = served.ask("GET", "/metrics").body.decode().splitlines()
    return int(float(next(line for line in lines if line.startswith(f"{name}{{")).split()[-1]))


def grpc_health(served: Served) -> tuple[bool, bool, str]:
    """Whether the server and the model are ready, and the model's state in the index."""
    with triton.InferenceServerClient(served.grpc) as client:
        (listed,) = client.get_model_repository_index().models
        return client.is_server_ready(), client.is_model_ready("hazard"), listed.state


def is_gone(process: int) -> bool:
    stat = Path("/proc", str(process), "stat")
    return not stat.exists() or stat.read_text().rpartition(")")[2].split()[0] == "Z"


@contextmanager
def held_up(served: Served, notes: Path) -> Iterator[tuple[ThreadPoolExecutor, Future[Reply]]]:
    """While the only worker waits for the file `open`; it is opened at the end, if it was not."""
    with ThreadPoolExecutor(CLIENTS + 1) as pool:
        first = pool.submit(asked, served, hazard.WAITS)
        try:
            poll((notes / "reached").exists, "the model was reached")
            yield pool, first
        finally:
            (notes / "open").touch()


def asked_together(served: Served, notes: Path, rows: list[float]) -> list[Reply]:
    """The replies to rows of different clients that share one micro-batch."""
    with held_up(served, notes) as (pool, first):
        others = [pool.submit(asked, served, row) for row in rows]
        poll(lambda: served.waiting_rows() == len(rows), "all of them wait")
        (notes / "open").touch()
        assert first.result(DEADLINE_S).status == 200
        return [other.result(AFTER_RESTARTS_S) for other in others]


def with_one(row: float) -> list[float]:
    rows = [float(number) for number in range(CLIENTS)]
    rows[BAD] = row
    return rows


def only_error(replies: list[Reply]) -> Reply:
    """The one reply that is an error, after all others are checked to be right."""
    for number, reply in enumerate(replies):
        if number != BAD:
            assert reply.json() == {"prediction": [2.0 * number]}
    return replies[BAD]


def test_one_bad_row_among_32_clients_is_31_answers_and_one_error(
    package: Path, tmp_path: Path
) -> None:
    with hazards(package, tmp_path) as served:
        error = only_error(asked_together(served, tmp_path, with_one(hazard.RAISES)))
        assert (error.status, error.code) == (500, "model_failed")
        assert "ValueError: this row has no double" in error.json()["error"]
        assert measured(served, "shoal_worker_restarts_total") == 0
    assert calls(tmp_path)[1][1] == CLIENTS


def test_a_row_that_kills_its_worker_fails_alone(package: Path, tmp_path: Path) -> None:
    with hazards(package, tmp_path) as served:
        error = only_error(asked_together(served, tmp_path, with_one(hazard.IS_KILLED)))
        assert (error.status, error.code) == (500, "worker_lost")
        assert "killed by signal 9 (SIGKILL)" in error.json()["error"]
        # The whole twice, then five halvings.
        poll(lambda: measured(served, "shoal_worker_restarts_total") == 7, "restarts are counted")
        poll(lambda: measured(served, "shoal_workers") == 1, "a worker lives")
        assert asked(served, 4.0).json() == {"prediction": [8.0]}
    assert [rows for _, rows in calls(tmp_path)][1:3] == [CLIENTS, CLIENTS]


def test_a_row_that_hangs_fails_alone(package: Path, tmp_path: Path) -> None:
    with hazards(package, tmp_path, "--worker-timeout-ms", "3000") as served:
        replies = asked_together(served, tmp_path, [1.0, hazard.HANGS])
        assert [reply.status for reply in replies] == [200, 504]
        assert replies[1].code == "worker_timeout"
        assert "after 3000 ms" in replies[1].json()["error"]
        assert asked(served, 4.0).json() == {"prediction": [8.0]}


def test_a_row_that_hangs_leaves_the_other_worker_to_the_others(
    package: Path, tmp_path: Path
) -> None:
    arguments = ("--workers", "2", "--worker-timeout-ms", "4000")
    with (
        hazards(package, tmp_path, *arguments) as served,
        ThreadPoolExecutor(1) as pool,
    ):
        hung = pool.submit(asked, served, hazard.HANGS)
        poll((tmp_path / "calls").exists, "the model was called")
        assert asked(served, 1.0).json() == {"prediction": [2.0]}
        assert not hung.done()
        assert hung.result(DEADLINE_S).status == 504


def test_a_row_that_exhausts_the_memory_fails_alone(package: Path, tmp_path: Path) -> None:
    limit = str(4 * 2**30)
    with hazards(package, tmp_path, "--worker-memory-limit-bytes", limit) as served:
        error = only_error(asked_together(served, tmp_path, with_one(hazard.ALLOCATES)))
        assert (error.status, error.code) == (500, "model_failed")
        assert "MemoryError" in error.json()["error"]
        assert f"worker_memory_limit_bytes is {limit}" in error.json()["error"]
        assert measured(served, "shoal_worker_restarts_total") == 0


def test_a_limit_too_small_for_the_model_itself_is_refused_by_name(package: Path) -> None:
    options = serve.Options(worker_memory_limit_bytes=30 * 2**20)
    with pytest.raises((ModelError, ModelUnavailableError)) as caught:
        serve.start(package, allow_code=True, options=options)
    assert "worker_memory_limit_bytes" in (caught.value.hint or "")


def test_what_a_model_prints_goes_to_the_error_output(package: Path, tmp_path: Path) -> None:
    with hazards(package, tmp_path) as served:
        replies = [asked(served, row).json() for row in (hazard.PRINTS, 2.0)]
        assert replies == [{"prediction": [2.0 * hazard.PRINTS]}, {"prediction": [4.0]}]
        assert served.stop() == 0
        assert served.process.stdout is not None
        assert served.process.stdout.read() == ""


@pytest.mark.parametrize(
    ("row", "code", "told"),
    [
        (hazard.EXITS, "worker_lost", ("ended with exit code 3", 2)),
        (hazard.ASKS_TO_EXIT, "model_failed", ("SystemExit: 4", 0)),
    ],
    ids=["os._exit", "sys.exit"],
)
def test_a_model_that_ends_its_process_is_told_so(
    package: Path, tmp_path: Path, row: float, code: str, told: tuple[str, int]
) -> None:
    message, restarts = told
    with hazards(package, tmp_path) as served:
        reply = asked(served, row)
        assert (reply.status, reply.code) == (500, code)
        assert message in reply.json()["error"]
        counted = "shoal_worker_restarts_total"
        poll(lambda: measured(served, counted) == restarts, "restarts are counted")
        assert asked(served, 1.0).json() == {"prediction": [2.0]}


def test_a_batch_whose_worker_is_killed_is_run_again(package: Path, tmp_path: Path) -> None:
    with hazards(package, tmp_path) as served, held_up(served, tmp_path) as (_, first):
        os.kill(calls(tmp_path)[0][0], signal.SIGKILL)
        poll(lambda: len(calls(tmp_path)) == 2, "the batch is run once more")
        (tmp_path / "open").touch()
        assert first.result(DEADLINE_S).json() == {"prediction": [2.0 * hazard.WAITS]}
    assert len({process for process, _ in calls(tmp_path)}) == 2


def test_a_batch_whose_worker_is_killed_goes_to_another_worker(
    package: Path, tmp_path: Path
) -> None:
    with hazards(package, tmp_path, "--workers", "2") as served:
        with held_up(served, tmp_path) as (_, first):
            (tmp_path / "broken").touch()  # so that the one killed cannot come back
            os.kill(calls(tmp_path)[0][0], signal.SIGKILL)
            poll(lambda: len(calls(tmp_path)) == 2, "the batch is run once more")
            (tmp_path / "open").touch()
            assert first.result(DEADLINE_S).status == 200
        assert served.ask("GET", READY).status == 200
        assert measured(served, "shoal_workers") == 1


def test_a_model_that_is_not_pure_is_not_called_again(
    package_not_pure: Path, tmp_path: Path
) -> None:
    for row, code in ((hazard.RAISES, "model_failed"), (hazard.IS_KILLED, "worker_lost")):
        notes = tmp_path / code
        notes.mkdir()
        with hazards(package_not_pure, notes) as served:
            replies = asked_together(served, notes, [1.0, row, 3.0])
            assert [(reply.status, reply.code) for reply in replies] == [(500, code)] * 3
        assert [rows for _, rows in calls(notes)] == [1, 3]


def test_an_idle_worker_that_dies_is_replaced_and_costs_no_request(
    package_not_pure: Path, tmp_path: Path
) -> None:
    with hazards(package_not_pure, tmp_path) as served:
        assert asked(served, 1.0).status == 200
        os.kill(calls(tmp_path)[0][0], signal.SIGKILL)
        counted = "shoal_worker_restarts_total"
        poll(lambda: measured(served, counted) == 1, "it is replaced before anybody asks")
        assert asked(served, 2.0).json() == {"prediction": [4.0]}


@pytest.mark.parametrize(
    ("mark", "refusal"),
    [
        ("broken", (ModelError, "ImportError: the library of this model is not here")),
        ("ends", (ModelUnavailableError, "ended with exit code 7 while it opened the model")),
    ],
    ids=["raises", "os._exit"],
)
def test_a_model_that_cannot_be_opened_is_refused_with_the_cause(
    package: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mark: str,
    refusal: tuple[type[Exception], str],
) -> None:
    error, cause = refusal
    monkeypatch.setenv("SHOAL_NOTES", str(tmp_path))
    (tmp_path / mark).touch()
    with pytest.raises(error, match=cause):
        serve.start(package, allow_code=True)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["SIGTERM", "SIGINT"])
def test_a_server_whose_model_is_still_opening_ends_when_it_is_told_to(
    package: Path, tmp_path: Path, number: int
) -> None:
    (tmp_path / "slow").touch()
    command = [*SHOAL, "serve", str(package), "--allow-code", "--http", "127.0.0.1:0"]
    command += ["--grpc", "127.0.0.1:0"]
    with subprocess.Popen(command, env=os.environ | {"SHOAL_NOTES": str(tmp_path)}) as process:
        try:
            mark = tmp_path / "opening"
            poll(lambda: mark.exists() and mark.read_text() != "", "the model is opening")
            process.send_signal(number)
            assert process.wait(DEADLINE_S) == 0
            poll(lambda: is_gone(int(mark.read_text())), "its worker is gone")
        finally:
            process.kill()


def test_a_model_that_takes_too_long_to_open_is_refused(package: Path) -> None:
    with pytest.raises(ModelUnavailableError, match="had not opened it after 1 ms"):
        serve.start(package, allow_code=True, options=serve.Options(worker_start_timeout_ms=1))


def test_a_model_without_workers_is_not_ready_until_they_are_back(
    package: Path, tmp_path: Path
) -> None:
    with hazards(package, tmp_path) as served:
        assert asked(served, 1.0).status == 200
        assert served.ask("GET", READY).status == 200
        (tmp_path / "broken").touch()
        os.kill(calls(tmp_path)[0][0], signal.SIGKILL)
        poll(lambda: served.ask("GET", READY).status == 503, "the model is not ready")
        for reply in (
            served.ask("GET", READY),
            served.ask("GET", "/v2/health/ready"),
            asked(served, 1.0),
        ):
            assert (reply.status, reply.code) == (503, "model_unavailable")
            assert "the library of this model is not here" in reply.json()["error"]
        assert measured(served, "shoal_workers") == 0
        listed = served.ask("POST", "/v2/repository/index", {}).json()[0]
        assert listed["state"] == "UNAVAILABLE"
        assert "not here" in listed["reason"]
        assert grpc_health(served) == (False, False, "UNAVAILABLE")
        (tmp_path / "broken").unlink()
        poll(lambda: served.ask("GET", READY).status == 200, "the model is ready again")
        assert grpc_health(served) == (True, True, "READY")
        assert asked(served, 1.0).status == 200


@pytest.mark.parametrize("row", [hazard.WAITS, 1.0], ids=["busy", "idle"])
def test_no_worker_survives_a_server_that_is_killed(
    package: Path, tmp_path: Path, row: float
) -> None:
    with hazards(package, tmp_path) as served, ThreadPoolExecutor(1) as pool:
        pool.submit(asked, served, row)
        poll((tmp_path / "calls").exists, "the model was called")
        (worker,) = {process for process, _ in calls(tmp_path)}
        served.process.kill()
        served.process.wait(DEADLINE_S)
        poll(lambda: is_gone(worker), "the worker is gone")


def test_signals_for_the_server_do_not_end_its_workers(package: Path, tmp_path: Path) -> None:
    """Ctrl-C reaches a process group, and systemd sends SIGTERM to every process of a service."""
    with hazards(package, tmp_path) as served:
        with held_up(served, tmp_path) as (_, first):
            worker = calls(tmp_path)[0][0]
            assert os.getpgid(worker) != os.getpgid(served.process.pid)
            for number in (signal.SIGINT, signal.SIGTERM):
                os.kill(worker, number)
            served.process.send_signal(signal.SIGTERM)  # a second one would end it at once
            (tmp_path / "open").touch()
            assert first.result(DEADLINE_S).status == 200
        assert served.process.wait(DEADLINE_S) == 0
        assert is_gone(worker)


def test_the_first_call_does_not_pay_for_libraries_that_pyarrow_imports_late(
    tmp_path: Path,
) -> None:
    """Its time is limited by `worker_timeout_ms`, and so is that of each worker after a restart."""
    prepared = models.story("prepared", tmp_path)
    with serving(prepared, arguments=("--allow-code",)) as served:
        assert asked(served, 3.0).json() == {"prediction": [1.0]}


def test_a_micro_batch_of_megabytes_goes_through(tmp_path: Path) -> None:
    sealed = models.wide(tmp_path)
    with serving(sealed, arguments=("--allow-code",)) as served:
        row = [float(number) for number in range(models.WIDE)]
        question = {"features": [{"X": row}] * 8}
        answer = served.ask("POST", "/predict", question).json()
    assert answer == {"prediction": [[2.0 * value for value in row]] * 8}
