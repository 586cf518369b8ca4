/**
 * The golden vectors of tasks, all that a client reads or writes in the encodings of this one.
 *
 * Read are tables and answers; written, to the byte or by the way back, are tables and envelopes.
 */

import assert from "node:assert/strict";
import { test } from "node:test";
import { loadArrow } from "../src/arrow/encoding.js";
import type { Encoding } from "../src/envelope/encoding.js";
import { type Merged, Result } from "../src/envelope/result.js";
import type { Task } from "../src/envelope/task.js";
import {
  type EnvelopeParts,
  encodeShared,
  encodeTask,
  writeEnvelope,
} from "../src/envelope/write.js";
import { ShoalError } from "../src/errors/error.js";
import { JSON_ENCODING } from "../src/json/encoding.js";
import { type Envelope, Exchange } from "../src/wire/exchange.js";
import {
  allVectors,
  bodyOf,
  described,
  type ExpectedEnvelope,
  type ExpectedTable,
  type ExpectedTask,
  tableOf,
  type Vector,
} from "./vectors.js";

const ENCODINGS: Readonly<Record<string, Encoding>> = {
  json: JSON_ENCODING,
  ndjson: JSON_ENCODING,
  arrow: await loadArrow(),
};
const VECTORS = allVectors();
const READ = VECTORS.filter(({ encoding }) => encoding in ENCODINGS);

function codeOf(error: unknown): string {
  assert.ok(error instanceof ShoalError, String(error));
  return error.code;
}

function encodingOf({ encoding }: Vector): Encoding {
  return ENCODINGS[encoding] ?? assert.fail(encoding);
}

/** The table of a body; its code where it is refused. */
function readTable(vector: Vector): unknown {
  try {
    return described(encodingOf(vector).readTable(bodyOf(vector)));
  } catch (error) {
    return { error: codeOf(error) };
  }
}

for (const vector of READ.filter(({ kind, of }) => kind === "table" && of !== "request")) {
  test(`table ${vector.name}`, () => {
    assert.deepEqual(readTable(vector), vector.expect);
    const expect = vector.expect as ExpectedTable & { error?: string };
    if (expect.error === undefined) {
      const { readTable, writeTable } = encodingOf(vector);
      const { text, bytes } = writeTable(tableOf(expect));
      const written = bytes ?? new TextEncoder().encode(text);
      assert.deepEqual(described(readTable(written)), expect);
      if (vector.written === true) {
        assert.deepEqual(written, bodyOf(vector));
      }
    }
  });
}

function taskOf(expected: ExpectedTask): Task {
  const { id, model, version, outputs, priority, weight } = expected;
  const table = expected.table ? tableOf(expected.table) : (expected.shared ?? assert.fail());
  const idempotencyKey = expected.idempotency_key;
  return { id, model, version, outputs, priority, weight, idempotencyKey, table };
}

/** Writes the envelope that is expected. */
function written(envelope: ExpectedEnvelope, encoding: Encoding): Uint8Array {
  const { tasks, tables, merge, timeout_us: timeoutUs } = envelope;
  const given = tables.map(({ name, table }) => [name, tableOf(table ?? assert.fail())]);
  const shared = encodeShared(Object.fromEntries(given), encoding);
  const posted = tasks.map((task) => ({
    id: task.id,
    task: encodeTask(taskOf(task), encoding),
    timeoutUs: task.timeout_us,
  }));
  const body = writeEnvelope(
    posted,
    { tables: shared, merge: merge ?? undefined, timeoutUs },
    encoding,
  );
  return typeof body === "string" ? new TextEncoder().encode(body) : body;
}

/** Reads an envelope that this client wrote. */
function readBack(body: Uint8Array, encoding: Encoding): unknown {
  const { json, readTable } = encoding.readBody(body);
  const { tables = {}, tasks, merge = null, timeout_us = 0 } = json as ExpectedEnvelope;
  const tasksBack = tasks.map((task) => {
    const { table, ...rest } = { ...DEFAULTS, ...task };
    const isShared = typeof table === "string";
    return { ...rest, ...(isShared ? { shared: table } : { table: described(readTable(table)) }) };
  });
  const tablesBack = Object.entries(tables).map(([name, table]) => ({
    name,
    table: described(readTable(table)),
  }));
  const mergeBack = merge && { by: merge.by, columns: merge.columns ?? [] };
  return { tasks: tasksBack, tables: tablesBack, merge: mergeBack, timeout_us };
}

const DEFAULTS = {
  version: "",
  outputs: [],
  priority: 0,
  timeout_us: 0,
  idempotency_key: "",
  weight: 1,
};

for (const vector of READ.filter(({ kind }) => kind === "tasks_request")) {
  const expected = vector.expect as ExpectedEnvelope;
  if (expected.error !== undefined) {
    continue; // a body that a server refuses: there is nothing that a client would write
  }
  test(`envelope ${vector.name}`, () => {
    const tasks = expected.tasks.filter(({ error }) => error === undefined);
    const tables = expected.tables.filter(({ error }) => error === undefined);
    const envelope = { ...expected, tasks, tables };
    const encoding = encodingOf(vector);
    const body = written(envelope, encoding);
    assert.deepEqual(readBack(body, encoding), envelope);
    if (vector.written === true) {
      assert.deepEqual(body, bodyOf(vector));
    }
  });
}

/** What a client makes of an answer, in the form of the vectors. */
async function answered(vector: Vector): Promise<unknown> {
  const { status = 200, headers, asked = [] } = vector;
  const isLines = vector.encoding === "ndjson";
  const type = isLines ? "application/x-ndjson" : encodingOf(vector).contentType;
  const response = new Response(bodyOf(vector) as BodyInit, {
    status,
    headers: { "content-type": type, ...headers },
  });
  const destination = { url: "", headers: {}, init: {}, fetch: async () => response };
  const exchange = new Exchange(destination, encodingOf(vector));
  const parts: EnvelopeParts = {
    tables: new Map(),
    merge: vector.merge ? { by: "mean" } : undefined,
  };
  const task = encodeTask({ model: "m", table: {} }, JSON_ENCODING);
  const posted = asked.map((id) => ({ id, task, timeoutUs: 0 }));
  const envelope: Envelope = { posted, parts, signal: new AbortController().signal };
  try {
    const { results, merged } = isLines
      ? await gathered(exchange, envelope, asked)
      : await exchange.whole(envelope);
    return {
      results: results.map(describedResult),
      merged: merged ? describedMerge(merged) : null,
    };
  } catch (error) {
    return { error: describedError(error as ShoalError) };
  }
}

async function gathered(exchange: Exchange, envelope: Envelope, asked: readonly string[]) {
  const results = new Map<string, Result>();
  let merged: Merged | undefined;
  for await (const answer of exchange.lines(envelope)) {
    if (answer instanceof Result) {
      results.set(answer.id, answer);
    } else {
      merged = answer;
    }
  }
  return { results: asked.map((id) => results.get(id) ?? assert.fail(id)), merged };
}

function describedError(error: ShoalError): object {
  assert.ok(error instanceof ShoalError, String(error));
  const { message, code, hint, retryAfterMs } = error;
  return {
    error: message,
    code,
    ...(hint !== undefined && { hint }),
    ...(retryAfterMs !== undefined && { retry_after_ms: retryAfterMs }),
  };
}

function describedResult(result: Result): object {
  const { id, model, version, batchRows, error } = result;
  if (error !== undefined) {
    return { id, error: describedError(error) };
  }
  const found = tableOrError(() => result.table);
  const isWrong = found instanceof ShoalError && found.cause !== undefined;
  const about = { id, model, version, batch_rows: batchRows };
  if (isWrong) {
    return { id, error: describedError(found) };
  }
  return found instanceof ShoalError ? about : { ...about, table: found };
}

function describedMerge(merged: Merged): object {
  const left_out = [...merged.leftOut];
  return merged.error
    ? { error: describedError(merged.error), left_out }
    : { table: described(merged.table), left_out };
}

function tableOrError(read: () => Result["table"]): ExpectedTable | ShoalError {
  try {
    return described(read());
  } catch (error) {
    assert.ok(error instanceof ShoalError);
    return error;
  }
}

/** Errors that the client words itself have a text of their own: only the code is held to. */
function withoutOwnWords(value: unknown, expected: unknown): unknown {
  if (typeof expected !== "object" || expected === null || typeof value !== "object") {
    return value;
  }
  const entries = Object.entries(value as object).map(([key, inner]) => {
    const wanted = (expected as Record<string, unknown>)[key];
    const isOwn = key === "error" && typeof inner === "string" && !wanted;
    return isOwn ? [key, wanted] : [key, withoutOwnWords(inner, wanted)];
  });
  const kept = entries.filter(([, inner]) => inner !== undefined);
  return Array.isArray(value) ? kept.map(([, inner]) => inner) : Object.fromEntries(kept);
}

for (const vector of READ.filter(({ kind }) => kind === "tasks_response")) {
  test(`answer ${vector.name}`, async () => {
    const found = await answered(vector);
    assert.deepEqual(withoutOwnWords(found, vector.expect), vector.expect);
  });
}

test("every vector is read, written, or for others by its own words", () => {
  const isForOthers = ({ kind, of, encoding, expect }: Vector) =>
    encoding === "protobuf" ||
    kind === "model_input" ||
    (kind === "table" && of === "request") ||
    (kind === "tasks_request" && "error" in (expect as object));
  const kinds = new Set(["table", "tasks_request", "tasks_response"]);
  const ours = VECTORS.filter((vector) => !isForOthers(vector));
  assert.ok(ours.every(({ kind, encoding }) => kinds.has(kind) && encoding in ENCODINGS));
  assert.ok(ours.length >= 200, String(ours.length));
});
