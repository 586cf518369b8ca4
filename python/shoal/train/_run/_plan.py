"""What was done, so that it can be done again: the plan in the evidence of a package."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

from shoal.errors import InvalidRequestError
from shoal.train._prepare._description import Preparation
from shoal.train._run._configuration import Configuration
from shoal.train._search._candidates import Candidate

if TYPE_CHECKING:
    from shoal.train._seal._evidence import Evidence


class Plan(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a package was made by.

    Attributes:
        configuration: What was asked for, without addresses of databases.
        candidate: What was chosen; None of a private training.
        preparation: What stands before its estimator.
        order: The columns of it, in the order of the features: JSON may sort names.
        threshold: From which probability of the positive class on it is the answer.
        positive: That class.
    """

    configuration: Configuration
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
        return _ordered(msgspec.convert(evidence.plan, Plan))
    except (msgspec.ValidationError, InvalidRequestError) as error:
        message = f"the evidence holds no plan of `shoal train`: {error}"
        raise InvalidRequestError(message, hint="Use the version that trained it.") from error


def _ordered(plan: Plan) -> Plan:
    if plan.preparation is None:
        return plan
    columns = plan.preparation.columns
    if sorted(columns) != sorted(plan.order):
        raise InvalidRequestError("the order of the columns does not name all of them")
    ordered = {name: columns[name] for name in plan.order}
    preparation = msgspec.structs.replace(plan.preparation, columns=ordered)
    return msgspec.structs.replace(plan, preparation=preparation)
