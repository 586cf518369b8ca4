"""Who acts: one runner at a time, and another only when the first is silent.

- What is remembered is changed by compare-and-set on its version: of two that write, one is told
  that the other was quicker, and does nothing more.
- A runner writes at least every third of its lease. Another waits for a whole lease without a
  sign, by its own clock, before it takes over, and counts the time until the last sign by the
  clock of whoever gave it; so clocks need not agree.
- A runner that ends in good order gives the lease back, and the next one need not wait.

Source: the lease of client-go (k8s.io/client-go/tools/leaderelection), which works the same way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import msgspec

from shoal.deploy._canary._document import Document, read, write
from shoal.deploy._canary._machine import resumed
from shoal.errors import ClusterConflictError, ClusterLacksError

if TYPE_CHECKING:
    from collections.abc import Callable

    from shoal.deploy._canary._clock import Clock
    from shoal.deploy._canary._machine import State

LOOKS_EVERY_SECONDS = 1.0
_SIGNS = 3


class Store(Protocol):
    """Where one text is kept, with a version that changes whenever the text is written."""

    def read(self) -> tuple[str, str] | None:
        """The text and its version; None where there is none."""

    def create(self, text: str) -> str:
        """Keeps the first text; gives its version.

        Raises:
            ClusterConflictError: there is one already.
        """

    def replace(self, text: str, version: str) -> str:
        """Keeps another text in the place of that of a version; gives its own.

        Raises:
            ClusterConflictError: it has another version by now.
            ClusterLacksError: there is none any more.
        """

    def delete(self) -> None:
        """Forgets it."""


class Held:
    """The right to act, while it lasts.

    Attributes:
        document: What is remembered.
    """

    def __init__(self, store: Store, document: Document, version: str, clock: Clock) -> None:
        self.document = document
        self._store = store
        self._version = version
        self._clock = clock
        self._silent_since = document.written_at
        self._written_at = clock.now()

    @property
    def sign_seconds(self) -> float:
        """How often a sign is due."""
        return self.document.lease_seconds / _SIGNS

    def resumed(self) -> State:
        """The state as it goes on from when it was taken over."""
        return resumed(self.document.state, self._clock.now(), self._silent_since)

    def keep(self, state: State) -> None:
        """Remembers a state; one that is no other is written when a sign is due.

        Raises:
            ClusterConflictError: another one acts.
        """
        is_due = self._clock.now() - self._written_at >= self.sign_seconds
        if state == self.document.state and not is_due:
            return
        self._write(msgspec.structs.replace(self.document, state=state))

    def release(self) -> None:
        """Gives the right back.

        Raises:
            ClusterConflictError: another one has taken it.
        """
        self._write(msgspec.structs.replace(self.document, holder=""))

    def forget(self) -> None:
        """Forgets all of it, at the end."""
        self._store.delete()

    def _write(self, document: Document) -> None:
        document = _signed(document, self._clock)
        try:
            self._version = self._store.replace(write(document), self._version)
        except ClusterConflictError:
            # An answer that was lost on its way back looks the same, but for when it was tried.
            found = self._store.read()
            if found is None or not _is_same(read(found[0]), document):
                raise ClusterConflictError(
                    "another runner has taken over this canary", hint="This one did nothing more."
                ) from None
            self._version = found[1]
        except ClusterLacksError:
            message = "somebody deleted what was remembered of this canary"
            raise ClusterConflictError(message, hint="Look at the weights of its route.") from None
        self.document = document
        self._written_at = self._clock.now()


def begin(store: Store, document: Document, clock: Clock) -> Held:
    """Remembers a canary that nobody has begun.

    Raises:
        ClusterConflictError: somebody has, meanwhile.
    """
    document = _signed(document, clock)
    return Held(store, document, store.create(write(document)), clock)


def take(store: Store, holder: str, clock: Clock, wait: Callable[[Document, float], None]) -> Held:
    """Takes over a canary: at once where nobody acts, else when whoever did is silent.

    Args:
        store: Where it is remembered.
        holder: Who takes it.
        clock: Tells the time, and lets it pass.
        wait: Is told what is remembered, and for how many seconds it is still waited.

    Raises:
        ClusterConflictError: another one acts.
        DeployError: what is remembered cannot be read.
    """
    text, version = _found(store)
    document = read(text)
    silent_since = clock.now()
    while document.holder:
        left_seconds = silent_since + document.lease_seconds - clock.now()
        if left_seconds <= 0:
            break
        wait(document, left_seconds)
        clock.wait(min(left_seconds, LOOKS_EVERY_SECONDS, document.lease_seconds / _SIGNS))
        text, seen = _found(store)
        document = read(text)
        if seen != version and document.holder:
            message = f"{document.holder} runs this canary"
            raise ClusterConflictError(message, hint="Wait until it ends, or end it.")
        version = seen
    # The time of the last sign stays until the state is written that goes on from it.
    mine = msgspec.structs.replace(document, holder=holder)
    return Held(store, mine, store.replace(write(mine), version), clock)


def _signed(document: Document, clock: Clock) -> Document:
    return msgspec.structs.replace(document, written_at=clock.now())


def _is_same(one: Document, other: Document) -> bool:
    return one == msgspec.structs.replace(other, written_at=one.written_at)


def _found(store: Store) -> tuple[str, str]:
    found = store.read()
    if found is None:
        raise ClusterConflictError("the canary has just ended")
    return found
