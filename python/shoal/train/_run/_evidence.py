"""What is stated beside the package of a run.

- Of a private run nothing is stated that was computed from records without noise: their digest and
  their number are left out.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shoal.train._run._configuration import told_of
from shoal.train._run._plan import Plan
from shoal.train._seal._evidence import Data, Evidence
from shoal.train._seal._here import code_revision, environment_here

if TYPE_CHECKING:
    from shoal.evaluate import Report
    from shoal.train._collect._dataset import Dataset
    from shoal.train._run._configuration import Configuration
    from shoal.train._run._outcome import Outcome


def evidence_for(
    configuration: Configuration, dataset: Dataset, outcome: Outcome, report: Report, page: bytes
) -> Evidence:
    """The evidence of a run.

    Args:
        configuration: What was asked for.
        dataset: What was collected.
        outcome: What was learned.
        report: How good it is.
        page: The report as a page.

    Raises:
        PathError: the lock file cannot be read.
        RequirementError: the code lies in a repository of which git cannot tell the revision.
    """
    is_private = outcome.spent is not None
    plan = Plan(
        configuration=told_of(configuration),
        candidate=None if outcome.board is None else outcome.board.best.candidate,
        preparation=None if is_private else outcome.fitted.preparation,
        order=() if is_private else tuple(outcome.fitted.preparation.columns),
        threshold=outcome.threshold,
        positive=outcome.positive,
    )
    records = Data(name="records", digest=dataset.digest, rows=dataset.rows)
    lock = None if configuration.lock is None else Path(configuration.lock)
    return Evidence(
        plan=msgspec.to_builtins(plan),
        data=() if is_private else (records,),
        environment=environment_here(lock),
        code=code_revision(Path.cwd()),
        seed=None if is_private else configuration.search.seed,
        metrics=msgspec.to_builtins(report.evaluation.metrics),
        privacy=outcome.spent,
        report=f"sha256:{hashlib.sha256(page).hexdigest()}",
        finished_at=datetime.now(UTC),
    )
