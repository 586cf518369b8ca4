/**
 * Answers as they are ready: pieces of bytes into lines, lines into results.
 *
 * - A task without a line, or with one that is cut short at the end, is `server_unreachable`.
 * - A line that is no result of a task still waited for is `invalid_answer` for all of those, and ends the
 *   reading. Empty lines are passed over.
 *
 * Source: protocol/protocol.md, "Answers as they are ready".
 */

import { type Awaited, readLine } from "../envelope/read.js";
import { Merged, Result } from "../envelope/result.js";
import { ShoalError } from "../errors/error.js";
import { AnswerError, UnreachableError } from "../errors/kinds.js";
import { joined } from "./transport.js";

const NEWLINE = 10;
const CARRIAGE_RETURN = 13;

/** A line, and whether it had its end. */
export interface Line {
  readonly bytes: Uint8Array;
  readonly isEnded: boolean;
}

/** Cuts pieces into lines, without their ends. */
export async function* linesOf(pieces: AsyncIterable<Uint8Array>): AsyncGenerator<Line> {
  let rest: Uint8Array[] = [];
  for await (const piece of pieces) {
    let from = 0;
    for (let end = piece.indexOf(NEWLINE); end >= 0; end = piece.indexOf(NEWLINE, from)) {
      yield { bytes: joined([...rest, piece.subarray(from, end)]), isEnded: true };
      rest = [];
      from = end + 1;
    }
    rest.push(piece.subarray(from));
  }
  yield { bytes: joined(rest), isEnded: false };
}

/** Reads lines until every task has its result; what goes wrong is the result of those that wait. */
export async function* answersOf(
  lines: AsyncIterable<Line>,
  awaited: Awaited,
): AsyncGenerator<Result | Merged> {
  const waiting = new Set(awaited.ids);
  let isMergeDue = awaited.isMerged;
  let failure: ShoalError = new UnreachableError("the server went away before it had answered");
  try {
    for await (const { bytes, isEnded } of lines) {
      if (isEmpty(bytes)) {
        continue;
      }
      const answer = answerOf(bytes, isEnded, awaited);
      if (answer instanceof Merged) {
        isMergeDue = false;
      } else if (!waiting.delete(answer.id)) {
        throw new AnswerError(`a line answers task '${answer.id}', which does not wait`);
      }
      yield answer;
    }
  } catch (error) {
    if (!(error instanceof ShoalError)) {
      throw error;
    }
    failure = error;
  }
  for (const id of waiting) {
    yield new Result(id, failure.copy());
  }
  if (isMergeDue) {
    yield new Merged(failure.copy());
  }
}

function answerOf(bytes: Uint8Array, isEnded: boolean, awaited: Awaited): Result | Merged {
  try {
    return readLine(bytes, awaited);
  } catch (cause) {
    if (isEnded) {
      throw cause;
    }
    throw new UnreachableError("the server went away in the middle of a line", { cause });
  }
}

function isEmpty(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === CARRIAGE_RETURN);
}
