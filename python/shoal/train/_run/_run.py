"""`run`: data, search, threshold, proof, report and package, in one call.

- What is held out is cut away first; the model is measured on it, and nothing is chosen by it. The
  look at the data is a person's: it is at all records, and nothing follows from it by itself.
- A run that was killed goes on: what was collected and tried is there already.
- The answers that the report measures are those of the package.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec

from shoal import evaluate
from shoal.errors import InputError
from shoal.train._collect._collect import collect
from shoal.train._collect._dataset import open_dataset
from shoal.train._look._look import look
from shoal.train._look._page._sections import to_html
from shoal.train._look._settings import LookSettings
from shoal.train._look._suspects import suspects
from shoal.train._run._configuration import recipe_in, told_of
from shoal.train._run._decide import estimators_for, with_threshold
from shoal.train._run._evidence import evidence_for, here
from shoal.train._run._judge import check_measurable, report_of
from shoal.train._run._material import material_of
from shoal.train._run._outcome import Outcome
from shoal.train._run._place import (
    DATASET,
    JOURNAL,
    begin_private,
    end_private,
    finish,
    held,
    write,
)
from shoal.train._run._private_run import learned_privately
from shoal.train._seal._attest import attest
from shoal.train._seal._seal import seal
from shoal.train._search._search import fit, search

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Iterator

    from shoal.package import Package
    from shoal.train._collect._collect import Progress
    from shoal.train._collect._dataset import Dataset
    from shoal.train._private._spent import PrivacySpent
    from shoal.train._run._configuration import Configuration
    from shoal.train._run._decide import Decided
    from shoal.train._run._material import Material
    from shoal.train._search._search import Leaderboard
    from shoal.train._search._study import Tried


class Watch(NamedTuple):
    """Hears how far a run is.

    Attributes:
        step: Told what begins.
        rows: Told how much was collected: rows, bytes, and bytes in all if known.
        tried: Told of each candidate that was tried.
    """

    step: Callable[[str], object]
    rows: Progress | None
    tried: Callable[[Tried], object]


NOBODY = Watch(lambda _step: None, None, lambda _tried: None)


@dataclass(frozen=True)
class Trained:
    """What came of a run.

    Attributes:
        package: The sealed model.
        report: How good it is.
        leaderboard: What was compared; None of a private run.
        threshold: From which probability of the positive class on it is the answer; None for the
            more probable class.
        notes: What a reader should know of the run.
        spent: What privacy it cost; None of a run that is not private.
    """

    package: Package
    report: evaluate.Report
    leaderboard: Leaderboard | None
    threshold: float | None
    notes: tuple[str, ...]
    spent: PrivacySpent | None


def run(
    configuration: Configuration,
    output: str | os.PathLike[str],
    *,
    watch: Watch = NOBODY,
) -> Trained:
    """Trains what a configuration asks for.

    Args:
        configuration: What.
        output: A folder: a new one, or that of a run of the same data to go on in.
        watch: Hears how far it is.

    Raises:
        ConflictError: the folder holds something else, or another process is at work in it.
        InputError: data or configuration cannot be used; the message names what.
        SourceError: an input cannot be read.
        ProofError: the package would answer otherwise than the model.
        SinkError: something cannot be written (disk full, no right); the run goes on later.
    """
    place = Path(output)
    trains = here(configuration)
    with held(place, _data_digest(configuration)) as staged:
        watch.step("collecting")
        dataset = _dataset(configuration, place, watch)
        outcome = _learned(dataset, configuration, place, watch)
        watch.step("sealing")
        package = seal(
            outcome.fitted,
            outcome.proved_on,
            name=configuration.name,
            version=configuration.version,
            output=staged,
            golden_rows=configuration.golden_rows,
        )
        watch.step("measuring")
        report = outcome.report(package)
        files = _files(report, outcome.board)
        for name, data in files.items():
            write(place / name, data)
        evidence = evidence_for(configuration, dataset, outcome, report, trains)
        page = f"sha256:{hashlib.sha256(files['report.html']).hexdigest()}"
        attest(package, msgspec.structs.replace(evidence, report=page), files=files)
        finish(place, staged)
    notes = (*outcome.notes, *trains.notes)
    return Trained(_opened(place), report, outcome.board, outcome.threshold, notes, outcome.spent)


def _learned(dataset: Dataset, configuration: Configuration, place: Path, watch: Watch) -> Outcome:
    records = dataset.to_table()
    if configuration.private is not None:
        watch.step("fitting")
        begin_private(place)
        try:
            return learned_privately(records, configuration, configuration.private)
        except InputError:  # refused before anything was spent
            end_private(place)
            raise
    watch.step("looking")
    _write_look(dataset, configuration, place)
    material = material_of(records, configuration)
    check_measurable(material, configuration)
    watch.step("searching")
    board = _searched(material, configuration, place, watch)
    watch.step("fitting")
    decided = _fitted(board, material, configuration)
    notes = (
        *_suspected(material, configuration),
        *decided.notes,
        *_notes(board),
        *_left_out(configuration, material),
    )

    def report(package: Package) -> evaluate.Report:
        facts = _facts(dataset, material, decided, package)
        found = report_of(package.model().predict, board, material, configuration, facts)
        told = msgspec.structs.replace(found.evaluation, notes=(*notes, *found.evaluation.notes))
        return msgspec.structs.replace(found, evaluation=told)

    return Outcome(
        fitted=decided.fitted,
        proved_on=material.held_out,
        report=report,
        board=board,
        threshold=decided.threshold,
        positive=decided.positive,
        notes=notes,
    )


def _dataset(configuration: Configuration, place: Path, watch: Watch) -> Dataset:
    if configuration.data.dataset is not None:
        return open_dataset(configuration.data.dataset)
    if (place / DATASET).exists():
        return open_dataset(place / DATASET)
    recipe = recipe_in(configuration.data)
    return collect(
        recipe.inputs,
        place / DATASET,
        join=recipe.join,
        schema=recipe.schema,
        progress=watch.rows,
    )


def _write_look(dataset: Dataset, configuration: Configuration, place: Path) -> None:
    seen = look(dataset, target=configuration.target)
    write(place / "look.json", seen.to_json())
    write(place / "look.html", to_html(seen).encode())


def _suspected(material: Material, configuration: Configuration) -> Iterator[str]:
    """Columns that a model is told and may not know, among records that are learned from."""
    columns = [*material.preparation.columns, configuration.target]
    settings = LookSettings(seed=configuration.search.seed)
    records = material.learned.select(columns)
    for suspect in suspects(records, configuration.target, settings=settings):
        yield f"{suspect.column} is suspected: {suspect.why} {suspect.advice}"


def _searched(
    material: Material, configuration: Configuration, place: Path, watch: Watch
) -> Leaderboard:
    settings = msgspec.structs.replace(configuration.search, preparation=material.preparation)
    if settings.estimators is None:
        reasons = estimators_for(configuration, material)
        names = tuple(name for name, reason in reasons.items() if reason is None)
        settings = msgspec.structs.replace(settings, estimators=names)
    return search(
        material.learned,
        configuration.target,
        settings=settings,
        journal=place / JOURNAL,
        tell=watch.tried,
    )


def _fitted(board: Leaderboard, material: Material, configuration: Configuration) -> Decided:
    candidate = board.best.candidate
    fitted = fit(
        material.learned,
        configuration.target,
        candidate,
        preparation=material.preparation,
        task=material.task,
        seed=configuration.search.seed,
    )
    return with_threshold(fitted, candidate, material, configuration)


def _facts(
    dataset: Dataset, material: Material, decided: Decided, package: Package
) -> dict[str, str]:
    found = {
        "Package": package.digest,
        "Dataset": dataset.digest,
        "Records learned from": str(material.learned.num_rows),
        "Records held out": str(material.held_out.num_rows),
    }
    if decided.threshold is not None:
        found["Threshold"] = f"{decided.threshold:.6g} of the probability of {decided.positive!r}"
    return found


def _files(report: evaluate.Report, board: Leaderboard | None) -> dict[str, bytes]:
    """What a person reads, by its name; it lies beside the package, and comes along with it."""
    found = {
        "report.html": evaluate.to_html(report).encode(),
        "report.json": evaluate.to_json(report),
        "model-card.md": evaluate.to_markdown(report).encode(),
    }
    if board is not None:
        found["leaderboard.json"] = msgspec.json.encode(board)
    return found


def _notes(board: Leaderboard) -> tuple[str, ...]:
    if not board.repeated:
        return ()
    told = f"{board.repeated} tested records equal one that was learned from, in the first fold"
    return (f"{told}: scores are too good by as much",)


def _left_out(configuration: Configuration, material: Material) -> tuple[str, ...]:
    if configuration.search.estimators is not None or configuration.search.space is not None:
        return ()
    reasons = estimators_for(configuration, material)
    return tuple(f"{name} was not compared: {reason}" for name, reason in reasons.items() if reason)


def _data_digest(configuration: Configuration) -> str:
    """Of the data and the target, and whether it is a private run."""
    is_private = configuration.private is not None
    told = told_of(configuration).data, configuration.target, is_private
    text = msgspec.json.encode(told, order="deterministic")
    return f"sha256:{hashlib.sha256(text).hexdigest()}"


def _opened(place: Path) -> Any:
    from shoal import package

    return package.open(place / "package")
