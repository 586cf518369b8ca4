"""Keys of idempotency: a task that is sent again is not run again."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from shoal import serve
from tests.end_to_end import models
from tests.end_to_end.driver import DEADLINE_S, poll, serving
from tests.end_to_end.envelopes import code, data, pixels, run, send, task, values
from tests.end_to_end.stories.hazard import WAITS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.end_to_end.driver import Served
    from tests.end_to_end.models import Sealed

ARGUMENTS = ("--allow-code", "--workers", "1")


@pytest.fixture
def served(hazard: Path, tmp_path: Path) -> Iterator[Served]:
    """A server of a model that writes down its calls, and waits for a file if a row says so."""
    with serving(hazard, arguments=ARGUMENTS, SHOAL_NOTES=str(tmp_path)) as server:
        (tmp_path / "calls").unlink(missing_ok=True)  # those of the warm-up
        yield server


@pytest.fixture(scope="session")
def hazard(places: Path) -> Path:
    return models.story("hazard", places)


def rows_run(notes: Path) -> int:
    """Rows that the model was called with."""
    path = notes / "calls"
    lines = path.read_text().splitlines() if path.exists() else []
    return sum(int(line.split()[1]) for line in lines)


def test_a_task_sent_again_gets_the_result_that_is_kept(served: Served, tmp_path: Path) -> None:
    first = run(served, task("hazard", values(1), id="a", idempotency_key="k"))
    again = run(
        served, task("hazard", values(1), id="b", idempotency_key="k", priority=1, weight=2)
    )
    assert data(again[0], "double") == data(first[0], "double") == [2.0]
    assert (first[0]["id"], again[0]["id"]) == ("a", "b")
    assert first[0] | {"id": "b"} == again[0]
    assert rows_run(tmp_path) == 1
    run(served, task("hazard", values(1)), task("hazard", values(1), idempotency_key="other"))
    assert rows_run(tmp_path) == 3


def test_one_key_for_other_content_is_a_conflict(served: Served) -> None:
    key = {"idempotency_key": "k"}
    results = run(
        served,
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


def test_tasks_with_one_key_at_a_time_are_run_once(served: Served, tmp_path: Path) -> None:
    waits = task("hazard", values(WAITS), idempotency_key="k")
    with ThreadPoolExecutor(3) as pool:
        asked = [pool.submit(run, served, waits, waits) for _ in range(3)]
        poll((tmp_path / "reached").exists, "the model was reached")
        (tmp_path / "open").touch()
        results = [result for each in asked for result in each.result(DEADLINE_S)]
    assert [data(result, "double") for result in results] == [[2 * WAITS]] * 6
    assert rows_run(tmp_path) == 1


def test_who_waits_for_another_one_has_its_own_budget(served: Served, tmp_path: Path) -> None:
    waits = task("hazard", values(WAITS), idempotency_key="k")
    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(run, served, waits)
        poll((tmp_path / "reached").exists, "the model was reached")
        late = run(served, waits | {"timeout_us": 100_000})
        assert code(late[0]) == "deadline_exceeded"
        (tmp_path / "open").touch()
        assert data(first.result(DEADLINE_S)[0], "double") == [2 * WAITS]


def test_one_that_is_given_up_is_run_for_those_who_wait_for_it(
    served: Served, tmp_path: Path
) -> None:
    waits = task("hazard", values(WAITS), idempotency_key="k")
    with ThreadPoolExecutor(2) as pool:
        impatient = pool.submit(run, served, waits | {"timeout_us": 300_000})
        poll((tmp_path / "reached").exists, "the model was reached")
        patient = pool.submit(run, served, waits)
        assert code(impatient.result(DEADLINE_S)[0]) == "deadline_exceeded"
        (tmp_path / "open").touch()
        assert data(patient.result(DEADLINE_S)[0], "double") == [2 * WAITS]


def test_errors_are_not_kept(served: Served, tmp_path: Path) -> None:
    fails = task("hazard", values(-8), idempotency_key="k")
    assert [code(run(served, fails)[0]) for _ in range(2)] == ["model_failed"] * 2
    assert rows_run(tmp_path) >= 2


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
