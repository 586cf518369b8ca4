"""A private run: what is stated, spent and measured with noise, and nothing else.

- Records are read once, by `learn_privately`; the package is proved on made-up records.
- Neither report nor package holds what was computed from records without noise: no digest of the
  dataset, no count of the columns, no leaderboard. What was collected stays beside them, on this
  disk: it is not private.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal import evaluate
from shoal.train._private._records._learn import learn_privately
from shoal.train._run._outcome import Outcome

if TYPE_CHECKING:
    import pyarrow as pa

    from shoal.package import Package
    from shoal.train._private._records._settings import PrivateSettings
    from shoal.train._run._configuration import Configuration

# Made-up records that the export is proved on.
EXAMPLE_ROWS = 2000


def learned_privately(
    records: pa.Table, configuration: Configuration, settings: PrivateSettings
) -> Outcome:
    """Learns within a stated budget.

    Raises:
        BudgetError: epsilon is too small for what is asked; the message says what is needed.
        InputError: the records are not as stated.
    """
    model = learn_privately(records, configuration.target, settings)
    words = {str(part): text for part, text in configuration.card.items()}

    def report(package: Package) -> evaluate.Report:
        card = evaluate.ModelCard(
            name=configuration.name,
            version=configuration.version,
            facts={"Package": package.digest, **model.facts},
            **words,
        )
        return evaluate.Report(card=card, evaluation=model.evaluation)

    return Outcome(
        fitted=model.fitted, proved_on=model.example(EXAMPLE_ROWS), report=report, spent=model.spent
    )
