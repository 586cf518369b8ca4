"""Keys of idempotency: a task that is sent again is not run again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from shoal import serve
from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, poll, serving
from tests.end_to_end.envelopes import code, data, pixels, run, send, task, values
from tests.end_to_end.stories.hazard import RAISES, WAITS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed


@dataclass(frozen=True)
class Noted:
    """A server of a model that notes its calls, and waits for a file if a row says so."""

    served: Served
    notes: Path

    def rows_run(self) -> int:
        """Rows that the model was called with."""
        path = self.notes / "calls"
        lines = path.read_text().splitlines() if path.exists() else []
        return sum(int(line.split()[1]) for line in lines)

    def until_reached(self) -> None:
        """Return when the model waits."""
        poll((self.notes / "reached").exists, "the model was reached")

    def open(self) -> None:
        """Let it answer."""
        (self.notes / "open").touch()


@pytest.fixture(scope="module")
def note_taker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Noted]:
    folder = tmp_path_factory.mktemp("notes")
    package = models.story("hazard", folder)
    arguments = ("--allow-code",)
    with serving(package, arguments=arguments, SHOAL_NOTES=str(folder)) as served:
        yield Noted(served, folder)


@pytest.fixture
def noted(note_taker: Noted) -> Noted:
    """A server that has noted nothing yet."""
    for mark in ("calls", "reached", "open"):
        (note_taker.notes / mark).unlink(missing_ok=True)
    return note_taker


@pytest.fixture
def key(request: pytest.FixtureRequest) -> dict[str, str]:
    """A key that no other test uses."""
    return {"idempotency_key": request.node.name}


def test_a_task_sent_again_gets_the_result_that_is_kept(noted: Noted, key: dict[str, str]) -> None:
    first = run(noted.served, task("hazard", values(1), id="a", **key))
    again = run(noted.served, task("hazard", values(1), id="b", **key, priority=1, weight=2))
    assert data(again[0], "double") == data(first[0], "double") == [2.0]
    assert (first[0]["id"], again[0]["id"]) == ("a", "b")
    assert first[0] | {"id": "b"} == again[0]
    assert noted.rows_run() == 1
    run(noted.served, task("hazard", values(1)), task("hazard", values(1), idempotency_key="other"))
    assert noted.rows_run() == 3


def test_one_key_for_other_content_is_a_conflict(noted: Noted, key: dict[str, str]) -> None:
    results = run(
        noted.served,
        task("hazard", values(1), **key),
        task("hazard", values(2), **key),
        task("hazard", values(1), version="1", **key),
        task("hazard", values(1), outputs=["double"], **key),
        task("nobody", values(1), **key),
        task("hazard", values(1), **key),
    )
    expected = ["", *["idempotency_conflict"] * 4, ""]
    assert [code(result) for result in results] == expected
    assert data(results[-1], "double") == [2.0]


def test_tasks_with_one_key_at_a_time_are_run_once(noted: Noted, key: dict[str, str]) -> None:
    waits = task("hazard", values(WAITS), **key)
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(run, noted.served, waits, waits) for _ in range(3)]
        noted.until_reached()
        noted.open()
        results = [result for each in asked for result in each.result(DEADLINE_S)]
    assert [data(result, "double") for result in results] == [[2 * WAITS]] * 6
    assert noted.rows_run() == 1


def test_who_waits_for_another_one_has_its_own_budget(noted: Noted, key: dict[str, str]) -> None:
    waits = task("hazard", values(WAITS), **key)
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, noted.served, waits)
        noted.until_reached()
        late = run(noted.served, waits | {"timeout_us": 100_000})
        assert code(late[0]) == "deadline_exceeded"
        noted.open()
        assert data(first.result(DEADLINE_S)[0], "double") == [2 * WAITS]


def test_one_that_is_given_up_is_run_for_those_who_wait_for_it(
    noted: Noted, key: dict[str, str]
) -> None:
    waits = task("hazard", values(WAITS), **key)
    with ThreadPoolExecutor(2) as pool:
        impatient = pool.submit(run, noted.served, waits | {"timeout_us": 300_000})
        noted.until_reached()
        patient = pool.submit(run, noted.served, waits)
        assert code(impatient.result(DEADLINE_S)[0]) == "deadline_exceeded"
        noted.open()
        assert data(patient.result(DEADLINE_S)[0], "double") == [2 * WAITS]


def test_errors_are_not_kept(noted: Noted, key: dict[str, str]) -> None:
    fails = task("hazard", values(RAISES), **key)
    assert [code(run(noted.served, fails)[0]) for _ in range(2)] == ["model_failed"] * 2
    assert noted.rows_run() >= 2


def test_keys_of_one_client_are_not_those_of_another(digits: Sealed, tmp_path: Path) -> None:
    ann, ben = serve.new_key("ann"), serve.new_key("ben")
    (tmp_path / "keys").write_text(f"{ann.line}\n{ben.line}\n", encoding="ascii")
    arguments = ("--api-keys", str(tmp_path / "keys"))

    def asked(key: serve.Key, row: list[float]) -> str:
        one = task("digits", pixels(row), outputs=["label"], idempotency_key="k")
        reply = send(server, one, headers={"Authorization": f"Bearer {key.secret}"})
        return code(reply.json()["results"][0])

    with serving(digits.path, arguments=arguments) as server:
        one, other = digits.rows[:2]
        assert [asked(ann, one), asked(ben, other), asked(ann, one)] == ["", "", ""]
        assert [asked(ann, other), asked(ben, one)] == ["idempotency_conflict"] * 2
        assert send(server, task("digits", pixels(one))).status == 401
