/**
 * Answers, read: the frame at once, tables when they are asked for.
 *
 * An answer whose frame is not what the protocol says is an `AnswerError` as a whole. Fields that nobody
 * knows are passed over.
 */

import { errorFromBody } from "../errors/answered.js";
import { ShoalError } from "../errors/error.js";
import { AnswerError } from "../errors/kinds.js";
import { JSON_ENCODING } from "../json/encoding.js";
import { shown } from "../values/convert.js";
import type { Table } from "../values/table.js";
import type { Encoding } from "./encoding.js";
import { Merged, type ReadTable, Result } from "./result.js";

/** What an envelope was answered with: a result for each task, in the order of the tasks. */
export interface Answer {
  readonly results: readonly Result[];
  readonly merged: Merged | undefined;
}

/** What an answer has to have. */
export interface Awaited {
  readonly ids: readonly string[];
  readonly isMerged: boolean;
}

type Fields = Readonly<Record<string, unknown>>;
type TableReader = (table: unknown) => Table;

/** Reads the body of an answer, as a whole. */
export function readAnswer(body: Uint8Array, encoding: Encoding, awaited: Awaited): Answer {
  return understood(() => {
    const frame = encoding.readBody(body);
    const { results, merged } = objectOf(frame.json, "the answer");
    if (!Array.isArray(results)) {
      throw new AnswerError(`results is ${shown(results)}; expected a list`);
    }
    const read = results.map((result) => resultOf(result, frame.readTable, awaited));
    if (awaited.isMerged && isAbsent(merged)) {
      throw new AnswerError("the answer has no `merged`, which was asked for");
    }
    return {
      results: inOrder(read, awaited.ids),
      merged: isAbsent(merged) ? undefined : mergedOf(merged, frame.readTable),
    };
  });
}

/** Reads one line of an answer that comes as it is ready: a result, or what was merged. */
export function readLine(line: Uint8Array, awaited: Awaited): Result | Merged {
  return understood(() => {
    const { json, readTable } = JSON_ENCODING.readBody(line);
    const fields = objectOf(json, "a line");
    return isAbsent(fields.merged)
      ? resultOf(fields, readTable, awaited)
      : mergedOf(fields.merged, readTable);
  });
}

/** The results in the order of the tasks; there is exactly one for each. */
function inOrder(results: readonly Result[], ids: readonly string[]): Result[] {
  const byId = new Map(results.map((result) => [result.id, result]));
  const ordered = ids.map((id) => {
    const result = byId.get(id);
    if (result === undefined) {
      throw new AnswerError(`the answer has no result for task '${id}'`);
    }
    return result;
  });
  if (results.length !== ids.length) {
    throw new AnswerError(`the answer has ${results.length} results for ${ids.length} tasks`);
  }
  return ordered;
}

function resultOf(json: unknown, readTable: TableReader, { isMerged }: Awaited): Result {
  const { id, model, version, table, error, batch_rows } = objectOf(json, "a result");
  if (typeof id !== "string") {
    throw new AnswerError(`a result has the id ${shown(id)}; expected text`);
  }
  if (!isAbsent(error)) {
    return new Result(id, errorFromBody(objectOf(error, "an error")));
  }
  if (typeof model !== "string" || typeof version !== "string") {
    throw new AnswerError(`the result of task '${id}' does not say which model answered`);
  }
  if (isAbsent(table) && !isMerged) {
    throw new AnswerError(`the result of task '${id}' has no table`);
  }
  const batchRows = typeof batch_rows === "number" ? batch_rows : 0;
  return new Result(id, { model, version, batchRows, read: readerOf(table, readTable) });
}

function mergedOf(json: unknown, readTable: TableReader): Merged {
  const { table, error, left_out } = objectOf(json, "what is merged");
  const leftOut = isAbsent(left_out) ? [] : left_out;
  if (!Array.isArray(leftOut) || !leftOut.every((id) => typeof id === "string")) {
    throw new AnswerError(`left_out is ${shown(left_out)}; expected ids`);
  }
  const read = readerOf(table, readTable);
  if (isAbsent(error) && read === undefined) {
    throw new AnswerError("what is merged has neither a table nor an error");
  }
  return new Merged(read ?? errorFromBody(objectOf(error, "an error")), leftOut);
}

function readerOf(table: unknown, readTable: TableReader): ReadTable | undefined {
  return isAbsent(table) ? undefined : () => readTable(table);
}

function objectOf(json: unknown, what: string): Fields {
  if (typeof json !== "object" || json === null || Array.isArray(json)) {
    throw new AnswerError(`${what} is ${shown(json)}; expected an object`);
  }
  return json as Fields;
}

/** A field that is null counts as left out. */
function isAbsent(field: unknown): field is null | undefined {
  return field === null || field === undefined;
}

/** Whatever is wrong with an answer's frame is the answer's fault. */
function understood<T>(read: () => T): T {
  try {
    return read();
  } catch (cause) {
    if (!(cause instanceof ShoalError) || cause instanceof AnswerError) {
      throw cause;
    }
    throw new AnswerError(`the answer cannot be read: ${cause.message}`, { cause });
  }
}
