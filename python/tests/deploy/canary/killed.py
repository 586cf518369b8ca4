"""Runs a canary again and again, each in a process of its own that is killed when a word is told.

`killed.py NAMESPACE URL WORD...`: a word is that of an event, or a phase that begins; `-` kills
nobody. Prints how each process ended: 0 promoted, 1 rolled back, -9 killed.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Any

from shoal.deploy._canary._analysis import Analysis, Prometheus
from shoal.deploy._canary._canary import CanaryRequest, run_canary
from shoal.errors import RolloutError

if TYPE_CHECKING:
    from shoal.deploy._canary._events import CanaryEvent

NEW = f"oci://registry.test/digits@sha256:{'b' * 64}"


def quick(url: str, **more: Any) -> Analysis:
    usual: dict[str, Any] = {
        "interval_seconds": 0.1,
        "step_seconds": 0.3,
        "patience_seconds": 1.0,
        "lease_seconds": 0.6,
        "prometheus": Prometheus(url=url),
    }
    return Analysis(**(usual | more))


def run(namespace: str, url: str, word: str) -> int:
    def tell(event: CanaryEvent) -> None:
        told = f"{event.event} {event.percent}" if event.event == "weights" else event.event
        if event.event == "phase":
            told = event.phase
        if told == word:
            os.kill(os.getpid(), signal.SIGKILL)

    request = CanaryRequest(to=NEW, steps=(20, 100), analysis=quick(url))
    try:
        run_canary("digits", request, namespace=namespace, tell=tell)
    except RolloutError:
        return 1
    return 0


def main(namespace: str, url: str, *words: str) -> None:
    """Forks for each word: what takes a second to import is imported once."""
    for word in words:
        process = os.fork()
        if not process:
            code = 2  # of anything that is not expected
            try:
                code = run(namespace, url, word)
            finally:
                os._exit(code)
        _, status = os.waitpid(process, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
