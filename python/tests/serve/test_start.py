"""A server inside this process: where it listens, how it ends, and what it refuses to start."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pytest

from shoal import errors, package, serve
from tests.end_to_end.driver import ask

if TYPE_CHECKING:
    from pathlib import Path

    from tests.end_to_end.models import Sealed

NOT_IMPORTED = {"numpy", "onnxruntime", "pandas", "pyarrow", "sklearn"}

SERVE_AND_LIST_MODULES = """
import json, sys
from http.client import HTTPConnection
from shoal import serve
with serve.start(sys.argv[1], allow_code=True) as server:
    connection = HTTPConnection(server.http)
    connection.request("POST", "/predict", sys.argv[2])
    answer = json.loads(connection.getresponse().read())
    connection.close()
print(json.dumps({"answer": answer, "modules": sorted(sys.modules)}))
"""


def predicted(server: serve.Server, row: list[float]) -> object:
    return ask(server.http, "POST", "/predict", {"features": row}).json()


def test_public_surface_is_exactly_this() -> None:
    assert serve.__all__ == ["Key", "Options", "Repository", "Server", "new_key", "start"]


def test_server_answers_from_the_moment_it_is_started(digits: Sealed) -> None:
    with serve.start(digits.path) as server:
        assert predicted(server, digits.rows[0]) == {"prediction": digits.labels[:1]}
        assert server.http.startswith("127.0.0.1:")
        assert server.grpc.startswith("127.0.0.1:")
        assert server.http != server.grpc


def test_open_packages_paths_and_lists_are_served_alike(digits: Sealed, fragile: Path) -> None:
    both: list[package.Package | str] = [package.open(digits.path), str(fragile)]
    with serve.start(both, allow_code=True) as server:
        listed = ask(server.http, "POST", "/v2/repository/index", {}).json()
    assert sorted(each["name"] for each in listed) == ["digits", "fragile"]


def test_two_servers_run_in_one_process_at_once(digits: Sealed) -> None:
    opened = package.open(digits.path)
    with serve.start(opened) as first, serve.start(opened) as second:
        assert first.http != second.http
        assert predicted(first, digits.rows[1]) == predicted(second, digits.rows[1])


def test_server_starts_again_where_one_was_closed(digits: Sealed) -> None:
    with serve.start(digits.path) as first:
        where = first.http
    with serve.start(digits.path, http=where) as second:
        assert second.http == where
        assert predicted(second, digits.rows[2]) == {"prediction": digits.labels[2:3]}


def test_server_starts_and_closes_in_a_thread(digits: Sealed) -> None:
    def served_once() -> object:
        with serve.start(digits.path) as server:
            return predicted(server, digits.rows[0])

    with ThreadPoolExecutor(2) as pool:
        answers = [each.result() for each in [pool.submit(served_once) for _ in range(2)]]
    assert answers == [{"prediction": digits.labels[:1]}] * 2


def test_starting_installs_no_signal_handler(digits: Sealed) -> None:
    watched = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = [signal.getsignal(each) for each in watched]
    caught = signals_caught()
    with serve.start(digits.path) as server:
        predicted(server, digits.rows[0])
        assert [signal.getsignal(each) for each in watched] == before
        assert signals_caught() == caught


def signals_caught() -> str:
    """The mask of signals this process handles, as the kernel sees it: native handlers too."""
    with open("/proc/self/status") as status:  # noqa: PTH123 - a file of the kernel
        return next(line for line in status if line.startswith("SigCgt"))


def test_closed_server_listens_no_more_and_closing_again_is_nothing(digits: Sealed) -> None:
    server = serve.start(digits.path)
    server.close()
    server.close()
    with pytest.raises(ConnectionRefusedError):
        predicted(server, digits.rows[0])


def test_serving_an_onnx_package_imports_no_table_or_model_library(digits: Sealed) -> None:
    body = json.dumps({"features": digits.rows[0]})
    command = [sys.executable, "-c", SERVE_AND_LIST_MODULES, str(digits.path), body]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert found["answer"] == {"prediction": digits.labels[:1]}
    assert NOT_IMPORTED.isdisjoint(found["modules"])


def test_serving_a_python_package_imports_no_code_of_it_and_no_table_library(
    fragile: Path,
) -> None:
    body = json.dumps({"features": {"value": 1.5}})
    command = [sys.executable, "-c", SERVE_AND_LIST_MODULES, str(fragile), body]
    found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    assert found["answer"] == {"prediction": [3.0]}
    assert NOT_IMPORTED.isdisjoint(found["modules"])
    assert not [name for name in found["modules"] if "fragile" in name]


@pytest.mark.parametrize("which", ["http", "grpc"])
def test_port_in_use_is_named(digits: Sealed, which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        start = partial(serve.start, digits.path)
        with pytest.raises(errors.AddressError, match=address):
            start(http=address) if which == "http" else start(grpc=address)


def test_failed_start_leaves_no_port_behind(digits: Sealed) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        grpc = f"127.0.0.1:{taken.getsockname()[1]}"
        with socket.create_server(("127.0.0.1", 0)) as free:
            http = f"127.0.0.1:{free.getsockname()[1]}"
        with pytest.raises(errors.AddressError):
            serve.start(digits.path, http=http, grpc=grpc)
    with serve.start(digits.path, http=http, grpc=grpc) as server:
        assert (server.http, server.grpc) == (http, grpc)


@pytest.mark.parametrize("address", ["nowhere", "127.0.0.1", "127.0.0.1:99999", "256.1.1.1:0"])
def test_address_that_is_none_is_named(digits: Sealed, address: str) -> None:
    with pytest.raises(errors.InputError, match=address):
        serve.start(digits.path, http=address)


def test_path_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(errors.PathError, match="nothing-here"):
        serve.start(tmp_path / "nothing-here")


def test_serving_nothing_is_refused() -> None:
    with pytest.raises(errors.InvalidRequestError, match="no package"):
        serve.start([])


def test_the_same_model_twice_is_refused(digits: Sealed) -> None:
    with pytest.raises(errors.InvalidRequestError, match="digits"):
        serve.start([digits.path, digits.path])


def test_package_that_runs_code_needs_leave(fragile: Path) -> None:
    with pytest.raises(errors.UntrustedPackageError, match="fragile") as caught:
        serve.start(fragile)
    assert caught.value.hint is not None
    assert "allow_code" in caught.value.hint


def test_package_that_runs_code_answers_with_leave(fragile: Path) -> None:
    with serve.start(fragile, allow_code=True) as server:
        reply = ask(server.http, "POST", "/predict", {"features": {"value": 1.5}})
    assert reply.json() == {"prediction": [3.0]}


@pytest.mark.parametrize(
    "wrong", [{"workers": 0}, {"worker_timeout_ms": 0}, {"worker_memory_limit_bytes": -1}]
)
def test_an_option_that_makes_no_sense_is_named(digits: Sealed, wrong: dict[str, int]) -> None:
    with pytest.raises(errors.InvalidRequestError, match=f"{next(iter(wrong))}|-1"):
        serve.start(digits.path, options=serve.Options(**wrong))  # type: ignore[arg-type]  # as said


def test_a_body_over_the_limit_chosen_is_refused(digits: Sealed) -> None:
    with serve.start(digits.path, options=serve.Options(body_limit_bytes=100)) as server:
        refused = ask(server.http, "POST", "/predict", {"features": digits.rows[0]})
    assert (refused.status, refused.json()["code"]) == (413, "body_too_large")
