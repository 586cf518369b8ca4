"""`reproduce`: trains a package again from its evidence, and compares.

- Only the winner learns again: by the same records, cut, preparation, parameters and seed.
- The same records, seed and versions give the same digest on the same machine. Where they do not,
  what differs of the versions is told.
- A private package cannot be made again: who knew its noise could take it away.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from shoal import package as packages
from shoal.errors import ConflictError, InvalidRequestError
from shoal.train._collect._dataset import open_dataset
from shoal.train._run._decide import thresholded
from shoal.train._run._material import material_of
from shoal.train._run._plan import plan_in
from shoal.train._seal._attest import evidence_of
from shoal.train._seal._here import environment_here
from shoal.train._seal._seal import seal
from shoal.train._search._search import fit

if TYPE_CHECKING:
    import os

    from shoal.train._collect._dataset import Dataset
    from shoal.train._run._plan import Plan
    from shoal.train._seal._evidence import Environment, Evidence


class Reproduction(msgspec.Struct, frozen=True, kw_only=True):
    """What came of training again.

    Attributes:
        expected: The digest of the package.
        digest: The digest of what was trained again.
        differences: What computes otherwise than then.
    """

    expected: str
    digest: str
    differences: tuple[str, ...]

    @property
    def is_same(self) -> bool:
        """Whether it is the same package, to the last bit."""
        return self.expected == self.digest


def reproduce(
    package: str | os.PathLike[str],
    dataset: str | os.PathLike[str],
    *,
    output: str | os.PathLike[str] | None = None,
) -> Reproduction:
    """Trains a package again.

    Args:
        package: The directory of a package that `run` has made.
        dataset: The dataset that it was trained on: its folder, or a package that holds it.
        output: Where the new package stays; nowhere if None.

    Raises:
        ConflictError: the dataset is another one.
        InvalidRequestError: the package does not say how it came to be, or is private.
        PackageError: the package or the dataset cannot be opened, or the new one not be sealed.
    """
    opened = packages.open(package)
    evidence = evidence_of(opened)
    plan = plan_in(evidence)
    records = open_dataset(dataset)
    _check(evidence, records)
    with tempfile.TemporaryDirectory(prefix="shoal-reproduce-") as place:
        target = Path(place) / "package" if output is None else Path(output)
        digest = _trained_again(plan, records, target)
    return Reproduction(
        expected=opened.digest,
        digest=digest,
        differences=differences(evidence.environment, environment_here()),
    )


def differences(then: Environment, now: Environment) -> tuple[str, ...]:
    """What computes otherwise now, in words."""
    pairs = {"python": (then.python, now.python), "platform": (then.platform, now.platform)}
    for name in sorted(then.distributions.keys() | now.distributions.keys()):
        pairs[name] = (then.distributions.get(name, "none"), now.distributions.get(name, "none"))
    return tuple(f"{name} {was}, now {has}" for name, (was, has) in pairs.items() if was != has)


def _check(evidence: Evidence, records: Dataset) -> None:
    if evidence.privacy is not None:
        message = "a private package cannot be made again: its noise was never kept"
        raise InvalidRequestError(message)
    expected = {each.digest for each in evidence.data}
    if records.digest not in expected:
        message = f"{records.path} holds {records.digest}, expected {', '.join(sorted(expected))}"
        raise ConflictError(message, hint="Give the dataset that the package was trained on.")
    records.verify()


def _trained_again(plan: Plan, records: Dataset, output: Path) -> str:
    if plan.candidate is None or plan.preparation is None or plan.task is None:
        raise InvalidRequestError("the evidence does not say which candidate was chosen")
    configuration = plan.configuration
    material = material_of(records.to_table(), configuration)
    fitted = fit(
        material.learned,
        configuration.target,
        plan.candidate,
        preparation=plan.preparation,
        task=plan.task,
        seed=configuration.search.seed,
    )
    if plan.threshold is not None and plan.positive is not None:
        fitted = thresholded(fitted, plan.threshold, plan.positive)
    return seal(
        fitted,
        material.held_out,
        name=configuration.name,
        version=configuration.version,
        output=output,
        golden_rows=configuration.golden_rows,
    ).digest
