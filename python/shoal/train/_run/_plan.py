"""What was done, so that it can be done again: the plan in the evidence of a package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shoal.errors import InvalidRequestError
from shoal.train._estimators._table import Task, entry, made
from shoal.train._prepare._description import Preparation
from shoal.train._run._configuration import Configuration
from shoal.train._search._candidates import Candidate

if TYPE_CHECKING:
    from shoal.train._seal._evidence import Evidence


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a package was made by.

    Attributes:
        configuration: What was asked for, without addresses of databases.
        task: Whether a class or a number is predicted.
        candidate: What was chosen; None of a private training.
        preparation: What stands before its estimator.
        order: The columns of it, in the order of the features: JSON may sort names.
        threshold: From which probability of the positive class on it is the answer.
        positive: That class.
    """

    configuration: Configuration
    task: Task | None = None
    candidate: Candidate | None = None
    preparation: Preparation | None = None
    order: tuple[str, ...] = ()
    threshold: float | None = None
    positive: str | None = None


def plan_in(evidence: Evidence) -> Plan:
    """The plan that evidence holds.

    Raises:
        InvalidRequestError: it holds none that this version can follow.
    """
    try:
        plan = _ordered(msgspec.convert(evidence.plan, Plan))
        if plan.candidate is not None and plan.task is not None:
            _check_parameters(plan.candidate, plan.task)
    except (msgspec.ValidationError, InvalidRequestError) as error:
        message = f"the evidence holds no plan of `shoal train`: {error}"
        raise InvalidRequestError(message, hint="Use the version that trained it.") from error
    return plan


def _ordered(plan: Plan) -> Plan:
    if plan.preparation is None:
        return plan
    columns = plan.preparation.columns
    if sorted(columns) != sorted(plan.order):
        raise InvalidRequestError("the order of the columns does not name all of them")
    ordered = {name: columns[name] for name in plan.order}
    preparation = msgspec.structs.replace(plan.preparation, columns=ordered)
    return msgspec.structs.replace(plan, preparation=preparation)


def _check_parameters(candidate: Candidate, task: Task) -> None:
    """Refuses parameters that an estimator does not declare.

    Evidence is not signed, and LightGBM takes any keyword, such as one that opens a port.

    Raises:
        InvalidRequestError: there is no such estimator, or it declares no such parameter.
    """
    declared = made(entry(task, candidate.estimator), {}, seed=0).get_params()
    for name in candidate.parameters:
        if name not in declared:
            message = f"{candidate.estimator} declares no parameter {name!r}"
            raise InvalidRequestError(message, hint="Train it anew, with `shoal train`.")
