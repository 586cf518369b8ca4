"""Whatever goes wrong on the way: what is whole arrives, what is not has a name."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from threading import Event
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from shoal import package
from shoal.errors import (
    RegistryAccessError,
    RegistryError,
    RegistryNotFoundError,
    RegistryUnavailableError,
    StorageError,
)
from shoal.package._manifest import digest_of
from shoal.package._registry._documents import Descriptor
from shoal.package._registry._download import Places, download
from shoal.package._registry._pull import pull_from
from shoal.package._registry._staging import staged
from tests.package.registry.conftest import NAME, left_behind, model_blob, pulled
from tests.services import faulty, free_port, until

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.package import Package
    from tests.package.registry.conftest import Caller
    from tests.services.docker_registry import DockerRegistry
    from tests.services.faulty import Door


def test_a_registry_that_is_down_is_named(caller: Caller, tmp_path: Path) -> None:
    host = f"127.0.0.1:{free_port()}"
    with (
        pytest.raises(RegistryUnavailableError, match="Connection refused") as failure,
        caller.connected(f"oci://{host}/{NAME}:1") as repository,
    ):
        pull_from(repository, tmp_path / "pulled")
    assert f"{host}/{NAME}: finding the tag 1" in str(failure.value)
    assert failure.value.hint is not None
    assert caller.slept_seconds == [0.5, 1.0, 2.0, 4.0]
    assert left_behind(tmp_path) == []


def test_a_registry_that_says_nothing_is_named(caller: Caller, door: Door, tmp_path: Path) -> None:
    end = Event()
    door.on("HEAD", "manifests", faulty.silent(end))
    caller.read_seconds = 0.05
    with pytest.raises(RegistryUnavailableError, match=r"said nothing for 0.05 s"):
        pulled(caller, door, tmp_path / "pulled")
    end.set()
    assert len(caller.slept_seconds) == 4


def test_a_blob_that_stops_coming_goes_on_where_it_stopped(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    digest, size_bytes = model_blob(shipped.path)
    end = Event()
    door.on("GET", digest, faulty.stalls(1000, end), times=1)
    caller.read_seconds = 0.5
    assert pulled(caller, door, tmp_path / "pulled").digest == shipped.digest
    end.set()
    assert door.of("GET", digest)[-1].headers["range"] == f"bytes=1000-{size_bytes - 1}"


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (401, RegistryAccessError, "docker login"),
        (403, RegistryAccessError, "Ask who owns"),
        (404, RegistryNotFoundError, "Check the name"),
        (418, RegistryError, "418"),
    ],
)
def test_a_refusal_is_told_with_what_was_asked_and_is_not_repeated(  # noqa: PLR0917 - by name
    caller: Caller, door: Door, tmp_path: Path, status: int, kind: type[Exception], words: str
) -> None:
    said = json.dumps({"errors": [{"code": "NO", "message": "because\x1b[2J of it"}]}).encode()
    door.on("GET", "manifests/sha256:", faulty.says(status, said))
    with pytest.raises(kind) as refusal:
        pulled(caller, door, tmp_path / "pulled")
    assert isinstance(refusal.value, RegistryError)
    text = refusal.value.render()
    assert f"{door.host}/{NAME}: reading the manifest sha256:" in text
    assert f"({status}, NO: because?[2J of it)" in text
    assert words in text
    assert caller.slept_seconds == []
    assert left_behind(tmp_path) == []


def test_a_busy_registry_is_waited_for_as_long_as_it_asks(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    door.on("HEAD", "manifests", faulty.says(429, Retry_After="7"), times=2)
    door.on("GET", "blobs", faulty.says(503, Retry_After="Tue, 14 Nov 2023 22:13:50 GMT"), times=1)
    assert pulled(caller, door, tmp_path / "pulled").digest == shipped.digest
    assert caller.slept_seconds == [7.0, 7.0, 30.0]


def test_a_registry_that_asks_for_too_long_a_wait_is_named(
    caller: Caller, door: Door, tmp_path: Path
) -> None:
    door.on("HEAD", "manifests", faulty.says(429, Retry_After="3600"))
    with pytest.raises(RegistryUnavailableError, match="asks to wait: 3600"):
        pulled(caller, door, tmp_path / "pulled")
    assert caller.slept_seconds == []


def test_a_registry_that_stays_broken_is_named(caller: Caller, door: Door, tmp_path: Path) -> None:
    door.on("GET", "manifests", faulty.says(500))
    with pytest.raises(RegistryUnavailableError, match="500"):
        pulled(caller, door, tmp_path / "pulled")
    assert len(door.of("GET", "manifests")) == 5


def test_an_answer_that_is_lost_is_asked_for_again(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    for method, path in (("HEAD", "manifests"), ("GET", "manifests"), ("GET", "referrers")):
        door.on(method, path, faulty.lost(), times=1)
    door.on("GET", "manifests", faulty.cut(100), times=1)
    assert pulled(caller, door, tmp_path / "pulled").digest == shipped.digest


@pytest.mark.parametrize("tenths", range(1, 10))
def test_a_connection_that_is_cut_goes_on_where_it_broke_off(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path, tenths: int
) -> None:
    digest, size_bytes = model_blob(shipped.path)
    cut_at = size_bytes * tenths // 10
    door.on("GET", digest, faulty.cut(cut_at), times=1)
    places = Places(tmp_path / "whole", tmp_path / "part")
    with caller.connected(f"oci://{door.host}/{NAME}:1") as repository:
        download(repository, Descriptor("", digest, size_bytes), places)
    assert digest_of(places.whole.read_bytes()) == digest
    ranges = [each.headers.get("range") for each in door.of("GET", digest)]
    assert ranges == [None, f"bytes={cut_at}-{size_bytes - 1}"]
    assert left_behind(tmp_path) == ["whole"]


def test_a_connection_that_is_cut_at_every_tenth_arrives(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    digest, size_bytes = model_blob(shipped.path)
    door.on("GET", digest, faulty.cut(size_bytes // 10 + 1))
    assert pulled(caller, door, tmp_path / "pulled").digest == shipped.digest
    assert len(door.of("GET", digest)) == 10
    assert caller.slept_seconds == [0.5] * 9


def test_a_connection_that_brings_nothing_more_is_given_up_and_taken_up_by_the_next_pull(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    digest, size_bytes = model_blob(shipped.path)
    door.on("GET", digest, faulty.cut(1000), times=1)
    door.on("GET", digest, faulty.cut(0), times=4)
    with pytest.raises(RegistryUnavailableError, match="broke off the connection"):
        pulled(caller, door, tmp_path / "pulled")
    assert left_behind(tmp_path) == [".pulled.pull"]
    assert pulled(caller, door, tmp_path / "pulled").digest == shipped.digest
    assert door.of("GET", digest)[-1].headers["range"] == f"bytes=1000-{size_bytes - 1}"
    assert left_behind(tmp_path) == ["pulled"]


@pytest.mark.parametrize("is_begun", [True, False], ids=["an answer", "what is not answered"])
def test_the_first_failure_ends_what_else_is_under_way(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path, *, is_begun: bool
) -> None:
    digest, _ = model_blob(shipped.path)
    end, began = Event(), time.monotonic()
    door.on("GET", digest, faulty.stalls(1000, end) if is_begun else faulty.silent(end))
    door.on("GET", "/blobs/", faulty.says(403))
    caller.read_seconds = 60.0
    with pytest.raises(RegistryAccessError):
        pulled(caller, door, tmp_path / "pulled")
    end.set()
    assert time.monotonic() - began < 20


def test_a_registry_that_knows_no_ranges_sends_all_of_it_again(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    digest, _ = model_blob(shipped.path)
    door.on("GET", digest, faulty.cut(1000), times=1)
    whole = (shipped.path / "blobs" / "sha256" / digest.removeprefix("sha256:")).read_bytes()
    door.on("GET", digest, faulty.says(200, whole), times=1)
    told: list[tuple[int, int]] = []
    with caller.connected(f"oci://{door.host}/{NAME}:1") as repository:
        sealed = pull_from(repository, tmp_path / "pulled", lambda *now: told.append(now))
    assert sealed.digest == shipped.digest
    assert told[-1][0] == told[-1][1]


def test_a_killed_pull_is_taken_up(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    digest, size_bytes = model_blob(shipped.path)
    dead, half = Event(), size_bytes // 2
    door.on("GET", digest, faulty.stalls(half, dead), times=1)
    name = f"oci://{door.host}/{NAME}:1"
    command = [sys.executable, "-m", "shoal.cli", "package", "pull", name, "pulled"]
    process = subprocess.Popen(command, cwd=tmp_path)
    part = tmp_path / ".pulled.pull" / f"{digest.removeprefix('sha256:')}.part"
    try:
        until(lambda: part.exists() and part.stat().st_size == half, "half of the model came")
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
        dead.set()
    assert left_behind(tmp_path) == [".pulled.pull"]
    assert pulled(caller, door, tmp_path / "pulled").digest == shipped.digest
    assert door.of("GET", digest)[-1].headers["range"] == f"bytes={half}-{size_bytes - 1}"
    assert left_behind(tmp_path) == ["pulled"]


def test_what_was_staged_wrongly_is_fetched_again(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    digest, _ = model_blob(shipped.path)
    staging = tmp_path / ".pulled.pull"
    (staging / "layout" / "blobs" / "sha256").mkdir(parents=True)
    (staging / f"{digest.removeprefix('sha256:')}.part").write_bytes(b"?" * 1000)
    config = shipped.path / "blobs" / "sha256"
    other = min(config.iterdir(), key=lambda each: each.stat().st_size).name
    (staging / "layout" / "blobs" / "sha256" / other).write_bytes(b"!")
    (staging / "layout" / "blobs" / "sha256" / ("0" * 64)).write_bytes(b"of another package")
    assert pulled(caller, door, tmp_path / "pulled").digest == shipped.digest
    assert left_behind(tmp_path) == ["pulled"]


def test_a_tag_that_moves_after_it_was_looked_up_changes_nothing(
    caller: Caller, door: Door, shipped: Package, following: Package, tmp_path: Path
) -> None:
    name = f"oci://{door.host}/{NAME}:moving"
    package.push(shipped, name)

    def moves(way: faulty.Way, answer: faulty.Answer) -> None:
        package.push(following, name)
        way.send(answer)

    door.on("HEAD", "manifests/moving", moves, times=1)
    assert pulled(caller, door, tmp_path / "pulled", ":moving").digest == shipped.digest
    assert pulled(caller, door, tmp_path / "next", ":moving").digest == following.digest


def test_what_was_deleted_after_its_tag_was_looked_up_is_named(
    caller: Caller, door: Door, tmp_path: Path
) -> None:
    door.on("GET", "manifests/sha256", faulty.says(404))
    with pytest.raises(RegistryNotFoundError, match="the manifest sha256:"):
        pulled(caller, door, tmp_path / "pulled")


def redirected(door: Door, to: Door) -> None:
    """Blobs are at another host."""

    def leads(way: faulty.Way, _answer: faulty.Answer) -> None:
        place = f"http://localhost:{to.port}{way.path}"
        way.send(faulty.Answer(307, {"Location": place}, b""))

    door.on("GET", "/blobs/", leads)


def test_a_redirect_is_followed_and_a_cut_one_goes_on_from_the_registry(
    caller: Caller, docker_registry: DockerRegistry, door: Door, shipped: Package, tmp_path: Path
) -> None:
    digest, size_bytes = model_blob(shipped.path)
    with faulty.running(docker_registry.port) as other:
        redirected(door, other)
        other.on("GET", digest, faulty.cut(1000), times=1)
        assert pulled(caller, door, tmp_path / "pulled").digest == shipped.digest
        assert other.of("GET", digest)[-1].headers["range"] == f"bytes=1000-{size_bytes - 1}"
    assert len(door.of("GET", digest)) == 2


def test_redirects_without_end_are_given_up(caller: Caller, door: Door, tmp_path: Path) -> None:
    door.on("GET", "/blobs/", faulty.says(302, Location="/v2/blobs/again"))
    with pytest.raises(RegistryError, match="more than 5 redirects"):
        pulled(caller, door, tmp_path / "pulled")


@pytest.mark.parametrize("place", ["ftp://localhost/x", "file:///etc/passwd"])
def test_a_redirect_to_anything_but_http_is_refused(
    caller: Caller, door: Door, tmp_path: Path, place: str
) -> None:
    door.on("GET", "/blobs/", faulty.says(302, Location=place))
    with pytest.raises(RegistryUnavailableError, match="not reached by TLS"):
        pulled(caller, door, tmp_path / "pulled")


def test_an_attestation_that_was_deleted_is_left_out(
    caller: Caller, door: Door, shipped: Package, tmp_path: Path
) -> None:
    gone = shipped.attestations()[0].digest
    door.on("GET", f"manifests/{gone}", faulty.says(404))
    found = pulled(caller, door, tmp_path / "pulled").attestations()
    assert [each.digest for each in found] == [shipped.attestations()[1].digest]


def test_what_does_not_fit_on_the_disk_is_not_begun(
    caller: Caller, door: Door, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    with pytest.raises(StorageError, match="1,000 are free"):
        pulled(caller, door, tmp_path / "pulled")
    assert door.of("GET", "/blobs/") == []
    assert left_behind(tmp_path) == []


def test_a_pull_that_ends_while_it_waits_for_another_one_takes_nothing_from_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(_handle: int, _how: int) -> None:
        raise KeyboardInterrupt

    with staged(tmp_path / "pulled") as place:
        monkeypatch.setattr("fcntl.flock", interrupted)
        with pytest.raises(KeyboardInterrupt), staged(tmp_path / "pulled"):
            pass
        monkeypatch.undo()
        assert place.is_dir()


def test_two_pulls_to_one_target_at_once_fetch_it_once(
    door: Door, shipped: Package, tmp_path: Path
) -> None:
    digest, _ = model_blob(shipped.path)
    go_on = Event()

    def waits(way: faulty.Way, answer: faulty.Answer) -> None:
        go_on.wait(30)
        way.send(answer)

    door.on("GET", digest, waits, times=1)
    command = [sys.executable, "-m", "shoal.cli", "package", "pull"]
    command += [f"oci://{door.host}/{NAME}:1", "pulled"]
    processes = [subprocess.Popen(command, cwd=tmp_path) for _ in range(2)]
    try:
        until(lambda: len(door.of("HEAD", "manifests")) == 2, "both have looked up the tag")
    finally:
        go_on.set()
        codes = [process.wait(30) for process in processes]
    assert codes == [0, 0]
    assert len(door.of("GET", digest)) == 1
    assert left_behind(tmp_path) == ["pulled"]
