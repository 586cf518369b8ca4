"""What is kept of a learning, so that a run that was killed goes on to the same answer.

    FOLDER/
    ├── learning.json   what is learned, of which records, and what they are like
    ├── records         the prepared records; removed when all is learned
    └── state.npz       the model after some step, and how far it is

- `learning.json` appears when all records are stored, each document whole or not at all.
- A folder of another learning, or of other records, is refused: nothing in it is changed.
- Nothing here is a pickle.
"""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np

from shoal.errors import ConflictError, CorruptPackageError
from shoal.train._learn._places import write_whole
from shoal.train._learn._stored._survey import Survey

if TYPE_CHECKING:
    from pathlib import Path

    from shoal.train._learn._models._learner import State

FORMAT = 2
LEARNING, STATE = "learning.json", "state.npz"
LIMIT_BYTES = 1 << 30


class Kept(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of `learning.json`.

    Attributes:
        configuration: All that decides the answer beside the records.
        identity: The digest of the source, where it has one.
        survey: What the records are like.
        format: The version of this form.
    """

    configuration: dict[str, Any]
    identity: str | None
    survey: Survey
    format: int = FORMAT


class Standing(NamedTuple):
    """How far a learning is.

    Attributes:
        epoch: The epoch of the next step, from 0.
        step: Its number in the epoch, from 0.
        state: The model.
        best: The one with the smallest held-out loss, where that decides.
        best_loss: That loss.
        waited: How many epochs ago that was.
        is_done: Whether all is learned.
    """

    epoch: int
    step: int
    state: State
    best: State
    best_loss: float = float("inf")
    waited: int = 0
    is_done: bool = False


class Checkpoints:
    """What a folder keeps; without one, nothing."""

    def __init__(self, folder: Path | None, configuration: dict[str, Any]) -> None:
        """Takes where, and what is being learned."""
        self._folder = folder
        self._configuration = configuration

    def kept(self) -> Kept | None:
        """What was stored of the records before; None where nothing was.

        Raises:
            ConflictError: it is of another learning.
            CorruptPackageError: it cannot be read.
        """
        if self._folder is None or not (self._folder / LEARNING).exists():
            return None
        try:
            found = msgspec.json.decode(_content(self._folder / LEARNING), type=Kept)
        except (OSError, msgspec.MsgspecError) as error:
            raise self._corrupt(LEARNING, error) from error
        if found.format != FORMAT:
            raise self._conflict(f"of format {found.format}, {FORMAT} is known")
        for name in {**found.configuration, **self._configuration}:
            was, now = found.configuration.get(name), self._configuration.get(name)
            if was != now:
                raise self._conflict(f"with {name}={was!r}, expected {now!r}")
        return found

    def keep(self, identity: str | None, survey: Survey) -> None:
        """Keeps what the records are like.

        Raises:
            SinkError: it cannot be written.
        """
        if self._folder is not None:
            kept = Kept(self._configuration, identity, survey)
            write_whole(self._folder / LEARNING, msgspec.json.encode(kept))

    def check_same(self, what: str, was: str | None, now: str | None) -> None:
        """Refuses other records.

        Raises:
            ConflictError: they are others.
        """
        if was != now:
            raise self._conflict(f"of {what} {was}, expected {now}")

    def standing(self) -> Standing | None:
        """How far the learning was; None where no step was kept.

        Raises:
            CorruptPackageError: it cannot be read.
        """
        if self._folder is None or not (self._folder / STATE).exists():
            return None
        try:
            content = io.BytesIO(_content(self._folder / STATE))
            with np.load(content, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
            return _standing(arrays)
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            raise self._corrupt(STATE, error) from error

    def save(self, standing: Standing) -> None:
        """Keeps how far the learning is.

        Raises:
            SinkError: it cannot be written; what was kept before stays.
        """
        if self._folder is None:
            return
        arrays: dict[str, Any] = {
            f"{kind}.{name}": array
            for kind, state in (("state", standing.state), ("best", standing.best))
            for name, array in state.items()
        }
        arrays |= {name: np.asarray(getattr(standing, name)) for name in _NUMBERS}
        content = io.BytesIO()
        np.savez(content, **arrays)
        write_whole(self._folder / STATE, content.getvalue())

    def _conflict(self, what: str) -> ConflictError:
        message = f"{self._folder} holds a learning {what}"
        return ConflictError(message, hint="Choose another folder, or remove that one.")

    def _corrupt(self, name: str, error: Exception) -> CorruptPackageError:
        message = f"{name} of {self._folder} cannot be read: {error}"
        return CorruptPackageError(message, hint="Remove the folder to begin anew.")


_NUMBERS = ("epoch", "step", "best_loss", "waited", "is_done")


def _standing(arrays: dict[str, Any]) -> Standing:
    def of(kind: str) -> State:
        start = f"{kind}."
        return {
            name.removeprefix(start): array
            for name, array in arrays.items()
            if name.startswith(start)
        }

    epoch, step, best_loss, waited, is_done = (arrays[name].item() for name in _NUMBERS)
    return Standing(epoch, step, of("state"), of("best"), best_loss, waited, is_done)


def _content(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(LIMIT_BYTES)
