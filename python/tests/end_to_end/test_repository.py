"""Models come and go while a server runs; nobody who asks notices more than another answer."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import pytest

from shoal import serve
from shoal.errors import PathError
from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, SHOAL, asked_meanwhile, poll, serving
from tests.end_to_end.repository_driver import Kept, keeping

if TYPE_CHECKING:
    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

ROW = [0.0] * 64
NOT_LOADED = ("UNAVAILABLE", "not loaded")
READY = ("READY", "")
LOADING = ("LOADING", "")


@pytest.fixture(scope="session")
def one(places: Path) -> Path:
    return models.tree(places, "1")


@pytest.fixture(scope="session")
def two(places: Path) -> Path:
    return models.tree(places, "2")


@pytest.fixture(scope="session")
def ten(places: Path) -> Path:
    return models.tree(places, "10")


def resident_bytes(process: subprocess.Popen[str]) -> int:
    lines = Path(f"/proc/{process.pid}/status").read_text().splitlines()
    return 1024 * int(next(line.split()[1] for line in lines if line.startswith("VmRSS:")))


def threads(process: subprocess.Popen[str]) -> int:
    return len(list(Path(f"/proc/{process.pid}/task").iterdir()))


def test_every_package_of_a_folder_is_served_and_the_highest_version_answers(
    one: Path, two: Path, ten: Path, tickets: Sealed, tmp_path: Path
) -> None:
    with keeping(tmp_path, one, two, ten, tickets.path) as kept:
        assert kept.answering(ROW) == "10"
        described = kept.served.ask("GET", "/v2/models/digits").json()
        assert described["versions"] == ["1", "2", "10"]
        assert kept.served.ask("GET", "/v2/models").json() == {"models": ["digits", "tickets"]}
        assert kept.states() == dict.fromkeys(
            [("digits", "1"), ("digits", "2"), ("digits", "10"), ("tickets", "2")], READY
        )


def test_new_version_is_loaded_and_old_one_unloaded_while_everybody_is_answered(
    one: Path, two: Path, digits: Sealed, tmp_path: Path
) -> None:
    row = digits.rows[0]

    with keeping(tmp_path, one) as kept:

        def ask_once() -> int:
            column = {"name": "X", "shape": [1, 64], "datatype": "FP32", "data": row}
            reply = kept.served.ask("POST", "/v2/models/digits/infer", {"inputs": [column]})
            return reply.status

        with asked_meanwhile(ask_once, 200):
            kept.put(two)
            assert kept.states()["digits", "2"] == NOT_LOADED
            assert kept.load("digits").json() == {"serving": ["1", "2"]}
            assert kept.answering(row) == "2"
            assert kept.unload("digits", "1").json() == {"unloaded": ["1"]}
            assert kept.load("digits", "1").status == 200
            assert kept.unload("digits", "2").status == 200
            assert kept.answering(row) == "1"
        text = kept.served.ask("GET", "/metrics").body.decode()
    failed = [line for line in text.splitlines() if "shoal_rejected_total{" in line]
    assert failed == []
    assert 'version="2"' not in text  # what was unloaded takes no room in the metrics


def test_loading_does_not_hold_up_those_who_are_served(
    one: Path, two: Path, tmp_path: Path
) -> None:
    """The bound is loose, since tests share their machine; benchmarks have the true figure."""
    with keeping(tmp_path, one) as kept, ThreadPoolExecutor(1) as pool:

        def latencies_s(count: int) -> list[float]:
            taken = []
            for _ in range(count):
                start = perf_counter()
                kept.answering(ROW)
                taken.append(perf_counter() - start)
            return sorted(taken)

        quiet = latencies_s(200)
        kept.put(two)

        def load_and_unload() -> None:
            for _ in range(10):
                assert kept.load("digits", "2").status == 200
                assert kept.unload("digits", "2").status == 200

        changes = pool.submit(load_and_unload)
        busy = []
        while not changes.done():
            busy += latencies_s(20)
        changes.result()
    p99_s = sorted(busy)[int(len(busy) * 0.99)]
    assert p99_s < 2 * quiet[int(len(quiet) * 0.99)] + 0.05


def test_version_that_takes_long_to_load_is_loading_while_the_old_one_answers(
    tmp_path: Path,
) -> None:
    old = models.story("fragile", tmp_path, served_as="gated", version="1")
    slow = models.story("gated", tmp_path, served_as="gated", version="2")
    gate = tmp_path / "gate"
    gate.mkdir()
    arguments = ("--allow-code",)
    with (
        keeping(tmp_path, old, arguments=arguments, SHOAL_GATE=str(gate)) as kept,
        ThreadPoolExecutor(1) as pool,
    ):

        def ask_once() -> object:
            column = {"name": "value", "shape": [1], "datatype": "FP64", "data": [21.0]}
            answer = kept.served.ask("POST", "/v2/models/gated/infer", {"inputs": [column]}).json()
            return answer["model_version"], answer["outputs"][0]["data"]

        with asked_meanwhile(ask_once, ("1", [42.0])):
            kept.put(slow)
            loading = pool.submit(kept.load, "gated")
            poll((gate / "reached").exists, "its golden rows are being asked")
            assert kept.states() == {("gated", "1"): READY, ("gated", "2"): LOADING}
            ready = kept.call("index", {"ready": True}).json()
            assert [line["version"] for line in ready] == ["1"]
            assert kept.served.ask("GET", "/v2/models/gated").json()["versions"] == ["1"]
            assert kept.served.ask("GET", "/v2/health/ready").status == 200
            named = kept.served.ask("POST", "/v2/models/gated/versions/2/infer", {})
            assert named.code == "unknown_version"
            assert not loading.done()
        (gate / "open").touch()
        assert loading.result(DEADLINE_S).json() == {"serving": ["1", "2"]}
        assert kept.states()["gated", "2"] == READY
        assert ask_once() == ("2", [42.0])


def test_version_that_fails_its_golden_rows_leaves_the_old_one_serving(
    places: Path, tmp_path: Path
) -> None:
    good = models.story("fragile", places, served_as="drifting", version="1")
    bad = models.story("drifting", places, served_as="drifting", version="2")
    with keeping(tmp_path, good, arguments=("--allow-code",), SHOAL_DRIFT="1") as kept:
        body = {"features": {"value": 21.0}}

        def ask_once() -> object:
            return kept.served.ask("POST", "/predict", body).json()

        with asked_meanwhile(ask_once, {"prediction": [42.0]}):
            kept.put(bad)
            refused = kept.load("drifting")
        assert (refused.status, refused.code) == (422, "corrupt_package")
        assert "golden row" in refused.json()["error"]
        states = kept.states()
        assert states["drifting", "1"] == READY
        assert states["drifting", "2"] == ("UNAVAILABLE", refused.json()["error"])
        named = "/v2/models/drifting/versions/2/infer"
        assert kept.served.ask("POST", named, {}).code == "unknown_version"


def test_damaged_package_is_refused_by_name_and_the_old_one_serves(
    one: Path, two: Path, tmp_path: Path
) -> None:
    with keeping(tmp_path, one) as kept:
        kept.put(two)
        for blob in (kept.directory / "digits-2/blobs/sha256").iterdir():
            data = blob.read_bytes()
            if b"ir_version" in data or b"TreeEnsemble" in data:
                blob.write_bytes(data[:-1024] + bytes([data[-1024] ^ 1]) + data[-1023:])
        refused = kept.load("digits")
        assert (refused.status, refused.code) == (422, "corrupt_package")
        assert kept.answering(ROW) == "1"
        assert kept.states()["digits", "2"] == ("UNAVAILABLE", refused.json()["error"])


def test_package_that_cannot_be_served_at_the_start_does_not_cost_the_others(
    one: Path, fragile: Path, tmp_path: Path
) -> None:
    with keeping(tmp_path, one, fragile) as kept:  # code is not allowed
        assert kept.answering(ROW) == "1"
        state, reason = kept.states()["fragile", "1"]
        assert (state, "runs Python code" in reason) == ("UNAVAILABLE", True)
        refused = kept.load("fragile")
        assert (refused.status, refused.code) == (403, "untrusted_package")


def test_repository_without_anything_to_serve_does_not_start(fragile: Path, tmp_path: Path) -> None:
    (tmp_path / "repository").mkdir()
    (tmp_path / "repository" / "fragile").symlink_to(fragile)
    command = [*SHOAL, "serve", "--repository", str(tmp_path / "repository"), "--http"]
    ended = subprocess.run(
        [*command, "127.0.0.1:0", "--grpc", "127.0.0.1:0"],
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )
    assert ended.returncode == 1
    assert "nothing to serve" in ended.stderr
    assert "fragile 1" in ended.stderr


def test_two_hundred_loads_and_unloads_give_their_memory_back(
    one: Path, two: Path, tmp_path: Path
) -> None:
    with keeping(tmp_path, one) as kept:
        kept.put(two)

        def change(times: int) -> tuple[int, int]:
            for _ in range(times):
                assert kept.load("digits", "2").status == 200
                assert kept.unload("digits", "2").status == 200
            process = kept.served.process
            return resident_bytes(process), threads(process)

        early_bytes, early_threads = change(20)
        late_bytes, late_threads = change(180)
        assert kept.answering(ROW) == "1"
    assert late_bytes - early_bytes < 8 * 2**20
    assert late_threads <= early_threads + 2  # idle ones of the pool that loads


def test_what_a_model_has_accepted_is_answered_before_it_goes(
    gated: Path, one: Path, tmp_path: Path
) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    (gate / "open").touch()  # golden rows pass at the start
    arguments = ("--allow-code",)
    with (
        keeping(tmp_path, gated, one, arguments=arguments, SHOAL_GATE=str(gate)) as kept,
        ThreadPoolExecutor(8) as pool,
    ):
        (gate / "open").unlink()
        (gate / "reached").unlink()
        body = {"inputs": [{"name": "value", "shape": [1], "datatype": "FP64", "data": [2.0]}]}
        path = "/v2/models/gated/infer"
        asked = [pool.submit(kept.served.ask, "POST", path, body)]
        poll((gate / "reached").exists, "the model was reached")
        asked += [pool.submit(kept.served.ask, "POST", path, body) for _ in range(3)]
        poll(lambda: waiting_rows(kept.served, "gated") == 3, "the others wait")
        unloading = pool.submit(kept.unload, "gated")
        poll(lambda: kept.served.ask("GET", "/v2/models/gated").status == 404, "nobody finds it")
        assert kept.answering(ROW) == "1"
        assert not unloading.done()
        (gate / "open").touch()
        assert unloading.result(DEADLINE_S).json() == {"unloaded": ["1"]}
        assert [each.result().json()["outputs"][0]["data"] for each in asked] == [[4.0]] * 4


def test_request_that_is_still_arriving_when_its_model_goes_is_answered(
    one: Path, two: Path, tmp_path: Path
) -> None:
    body = json.dumps({"features": ROW}).encode()
    with keeping(tmp_path, one, two) as kept, ThreadPoolExecutor(1) as pool:
        host, port = kept.served.http.split(":")
        with socket.create_connection((host, int(port)), timeout=DEADLINE_S) as slow:
            head = f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            slow.sendall(head.encode() + body[:10])
            poll(lambda: arrived(kept.served, slow), "the first part was read")
            unloading = pool.submit(kept.unload, "digits", "2")
            poll(lambda: kept.answering(ROW) == "1", "the other version answers")
            slow.sendall(body[10:])
            assert slow.recv(4096).startswith(b"HTTP/1.1 200 ")
        assert unloading.result(DEADLINE_S).json() == {"unloaded": ["2"]}


def arrived(served: Served, client: socket.socket) -> bool:
    """Whether the server has read all that a client has sent so far, as the kernel says."""
    port = f":{client.getsockname()[1]:04X}"
    lines = Path(f"/proc/{served.process.pid}/net/tcp").read_text().splitlines()[1:]
    rows = [line.split() for line in lines]
    [queues] = [row[4] for row in rows if row[2].endswith(port)]
    return queues.endswith(":00000000")


def waiting_rows(served: Served, model: str) -> int:
    lines = served.ask("GET", "/metrics").body.decode().splitlines()
    start = f'shoal_queue_rows{{model="{model}"'
    return int(next(line for line in lines if line.startswith(start)).split()[-1])


def test_same_package_is_not_loaded_again_and_another_of_the_same_version_takes_its_place(
    one: Path, digits: Sealed, tmp_path: Path
) -> None:
    with keeping(tmp_path, one) as kept:
        kept.answering(ROW)
        assert kept.load("digits").json() == {"serving": ["1"]}
        (kept.directory / "digits-1").rename(kept.directory / ".gone")
        kept.put(digits.path)  # another model of the same name and version
        assert kept.load("digits").json() == {"serving": ["1"]}
        predicted = kept.served.ask("POST", "/predict", {"features": digits.rows}).json()
        assert predicted == {"prediction": digits.labels}


def test_workers_of_a_loaded_model_come_back_and_end_with_it(
    fragile: Path, one: Path, tmp_path: Path
) -> None:
    body = {"instances": [21.0]}
    with keeping(tmp_path, one, arguments=("--allow-code",)) as kept:
        kept.put(fragile)
        assert kept.load("fragile").json() == {"serving": ["1"]}
        [worker] = children(kept.served)
        os.kill(worker, signal.SIGKILL)
        poll(lambda: children(kept.served) not in ([], [worker]), "another worker was started")
        answer = kept.served.ask("POST", "/v1/models/fragile:predict", body)
        assert answer.json() == {"predictions": [42.0]}
        assert kept.unload("fragile").json() == {"unloaded": ["1"]}
        poll(lambda: children(kept.served) == [], "the worker ended")


def children(served: Served) -> list[int]:
    tasks = Path(f"/proc/{served.process.pid}/task").glob("*/children")
    return [int(child) for task in tasks for child in task.read_text().split()]


def test_packages_and_a_repository_are_not_served_together(one: Path, tmp_path: Path) -> None:
    command = [*SHOAL, "serve", str(one), "--repository", str(tmp_path)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False)
    assert (ended.returncode, "give one of them" in ended.stderr) == (2, True)


def test_repository_that_is_not_there_is_an_error_of_the_caller(tmp_path: Path) -> None:
    with pytest.raises(PathError, match="nowhere"):
        serve.start(serve.Repository(tmp_path / "nowhere"))


def test_two_folders_of_one_version_are_both_refused_by_name(
    one: Path, two: Path, tmp_path: Path
) -> None:
    with keeping(tmp_path, two) as kept:
        kept.put(one)
        (kept.directory / "again").symlink_to(one)
        refused = kept.load("digits")
        assert (refused.status, refused.code) == (400, "invalid_request")
        assert "again" in refused.json()["error"]
        assert kept.answering(ROW) == "2"


def test_server_without_repository_loads_nothing(one: Path, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("0123456789abcdef", "utf-8")
    words = ("--admin", "127.0.0.1:0", "--admin-token-file", str(token))
    with serving(one, arguments=words) as served:
        kept = Kept(served, tmp_path)
        refused = kept.call("models/digits/load", token="0123456789abcdef")
        assert (refused.status, refused.code) == (400, "invalid_request")
        listed = kept.call("index", token="0123456789abcdef").json()
    assert [(line["name"], line["state"]) for line in listed] == [("digits", "READY")]
