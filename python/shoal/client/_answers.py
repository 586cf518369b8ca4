"""Whether an answer answers what was asked, and which errors a server means.

Source: protocol/protocol.md, "The envelope" and "Errors".
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from shoal.client._task import Results
from shoal.errors import AnswerError, InternalError, ShoalError, error_of_answer

if TYPE_CHECKING:
    from shoal.client._task import Result


def error_of_task(
    code: str, message: str, hint: str | None, retry_after_ms: int | None
) -> ShoalError:
    """Gives the error of a task; see `with_wait`."""
    return with_wait(error_of_answer(code, message, hint), retry_after_ms)


def with_wait(error: ShoalError, retry_after_ms: int | None) -> ShoalError:
    """Notes when to come again; so an error of a code that is not known here says to retry."""
    error.retry_after_ms = retry_after_ms
    if retry_after_ms is not None and error.code != type(error).code:
        error.retryable = True
    return error


def matched(answer: Results, ids: list[str], *, has_merge: bool) -> Results:
    """Gives an answer in the order of what was asked.

    Args:
        answer: What came.
        ids: Of the tasks, in their order.
        has_merge: Whether a merge was asked for.

    Raises:
        AnswerError: There is not exactly one result for each task, or an outcome is missing.
    """
    for result in answer:
        check_outcome(result)
    if has_merge and answer.merged is None:
        raise AnswerError("the answer does not say what was merged")
    if [result.id for result in answer] == ids:
        return answer
    found = {result.id: result for result in answer}
    if len(answer) != len(ids) or found.keys() != set(ids):
        raise AnswerError(
            f"the answer has {len(answer)} results, expected one for each of {len(ids)} tasks"
        )
    return Results([found[id_] for id_ in ids], answer.merged)


def check_outcome(result: Result) -> Result:
    """Gives a result, unless it says nothing.

    Raises:
        AnswerError: It has neither a model nor an error.
    """
    if result.error is None and not result.model:
        raise AnswerError(f"the answer to task {result.id!r} has neither a model nor an error")
    return result


def internal(error: Exception) -> ShoalError:
    """Gives an error of the catalogue for whatever went wrong here; whoever waits is told."""
    if isinstance(error, ShoalError):
        return error
    failure = InternalError(f"{type(error).__name__}: {error}")
    failure.__cause__ = error
    return failure


def copied(error: ShoalError) -> ShoalError:
    """Gives an error of its own for each who is told: a traceback belongs to one."""
    other = type(error)(str(error), hint=error.hint)
    other.code, other.retryable = error.code, error.retryable
    other.retry_after_ms, other.__cause__ = error.retry_after_ms, error.__cause__
    return other
