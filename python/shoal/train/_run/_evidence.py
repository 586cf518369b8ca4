"""What is stated beside the package of a run.

- Of a private run nothing is stated that was computed from records without noise but their number,
  which is taken as public: their digest is left out.
- What computes, and the revision of the code, are those of the beginning.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from shoal.train._run._configuration import told_of
from shoal.train._run._plan import Plan
from shoal.train._seal._evidence import Data, Evidence
from shoal.train._seal._here import code_revision_or_reason, environment_here

if TYPE_CHECKING:
    from shoal.evaluate import Report
    from shoal.train._collect._dataset import Dataset
    from shoal.train._run._configuration import Configuration
    from shoal.train._run._outcome import Outcome
    from shoal.train._seal._evidence import Code, Environment


class Here(NamedTuple):
    """What trains.

    Attributes:
        environment: The versions of what computes.
        code: The revision of the code, where it is known.
        notes: Why it is not.
    """

    environment: Environment
    code: Code | None
    notes: tuple[str, ...] = ()


def here(configuration: Configuration) -> Here:
    """What trains, looked at before anything is learned.

    Raises:
        PathError: the lock file cannot be read.
    """
    environment = environment_here(None if configuration.lock is None else Path(configuration.lock))
    code = code_revision_or_reason(Path.cwd())
    if isinstance(code, str):
        return Here(environment, None, (f"no revision of the code is stated: {code}",))
    return Here(environment, code)


def evidence_for(
    configuration: Configuration, dataset: Dataset, outcome: Outcome, report: Report, trains: Here
) -> Evidence:
    """The evidence of a run.

    Args:
        configuration: What was asked for.
        dataset: What was collected.
        outcome: What was learned.
        report: How good it is.
        trains: What computed.
    """
    is_private = outcome.spent is not None
    plan = Plan(
        configuration=told_of(configuration),
        task=outcome.fitted.task,
        candidate=None if outcome.board is None else outcome.board.best.candidate,
        preparation=None if is_private else outcome.fitted.preparation,
        order=() if is_private else tuple(outcome.fitted.preparation.columns),
        threshold=outcome.threshold,
        positive=outcome.positive,
    )
    records = Data(name="records", digest=dataset.digest, rows=dataset.rows)
    return Evidence(
        plan=msgspec.to_builtins(plan),
        data=() if is_private else (records,),
        environment=trains.environment,
        code=trains.code,
        seed=None if is_private else configuration.search.seed,
        metrics=msgspec.to_builtins(report.evaluation.metrics),
        privacy=outcome.spent,
        finished_at=datetime.now(UTC),
    )
