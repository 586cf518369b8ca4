"""How long a client lives: closed or not, in other loops, in other processes."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
from typing import TYPE_CHECKING

from shoal.client import AsyncClient, Client

if TYPE_CHECKING:
    from tests.client.stage import Stage

ASKED = """
import os, sys
from shoal.client import Client

client = Client(sys.argv[1])

def ask(value=2.0):
    return client.predict("double", {"value": [value]})["double"][0]
"""
NEVER_CLOSED = f"{ASKED}\nprint(ask())"
FORKED = f"""{ASKED}
from shoal.errors import ConfigurationError

used = len(sys.argv) > 2 and ask()
child = os.fork()
if not child or not used:
    try:
        os.write(1, (str(ask(2.0 if child else 3.0)) + chr(10)).encode())
    except ConfigurationError as error:
        os.write(1, (error.hint + chr(10)).encode())
if child:
    os.waitpid(child, 0)
os._exit(0)
"""


def answer_of(program: str, *arguments: str) -> tuple[str, str]:
    command = [sys.executable, "-c", program, *arguments]
    answer = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    return answer.stdout, answer.stderr


def loops() -> list[threading.Thread]:
    return [each for each in threading.enumerate() if each.name == "shoal-client"]


def ask(client: Client) -> float:
    answer: float = client.predict("double", {"value": [2.0]})["double"][0]
    return answer


def test_a_program_that_closes_nothing_ends_in_silence(stage: Stage) -> None:
    assert answer_of(NEVER_CLOSED, stage.address("http")) == ("4.0\n", "")


def test_processes_may_be_forked_before_a_client_is_used(stage: Stage) -> None:
    printed, _ = answer_of(FORKED, stage.address("http"))
    assert sorted(printed.split()) == ["4.0", "6.0"]  # each of its own, not of one key


def test_a_client_that_was_used_stays_with_its_process(stage: Stage) -> None:
    printed, _ = answer_of(FORKED, stage.address("http"), "used")
    assert printed == "make a client in each process\n"


def test_a_thread_lives_as_long_as_its_client(stage: Stage) -> None:
    before = len(loops())
    client = Client(stage.address("http"))
    assert len(loops()) == before  # nothing was asked yet
    assert ask(client) == 4.0
    assert len(loops()) == before + 1
    client.close()
    assert len(loops()) == before
    assert ask(client) == 4.0  # it may be used again
    del client
    gc.collect()
    assert len(loops()) == before


def test_a_client_for_asyncio_follows_its_loop(stage: Stage) -> None:
    client = AsyncClient(stage.address("http"))

    async def asked() -> float:
        async with client:
            answer: float = (await client.predict("double", {"value": [2.0]}))["double"][0]
            return answer

    assert [asyncio.run(asked()), asyncio.run(asked())] == [4.0, 4.0]
