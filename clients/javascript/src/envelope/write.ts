/**
 * Envelopes, written: what was encoded when it was asked is put together when it is sent.
 *
 * A table is encoded once, however often its task is sent; only budgets of time change in between.
 */

import { InvalidRequestError } from "../errors/kinds.js";
import { text } from "../values/convert.js";
import { Table, type TableLike } from "../values/table.js";
import type { Body, EncodedTable, Encoding } from "./encoding.js";
import { fieldsOf, type Merge, type Task, type TaskFields } from "./task.js";

/** A task that is ready to be sent. */
export interface EncodedTask {
  readonly fields: TaskFields;
  /** Its own table, or the name of a shared one. */
  readonly table: EncodedTable | string;
  /** How many bytes it takes in an envelope, about. */
  readonly size: number;
}

/** What an envelope has beside its tasks. */
export interface EnvelopeParts {
  readonly tables: ReadonlyMap<string, EncodedTable>;
  readonly merge?: Merge | undefined;
  /** The time of every task that has no shorter one, in microseconds; 0 is none. */
  readonly timeoutUs?: number | undefined;
}

/** A task to be sent now, with the time that it has left. */
export interface Posted {
  readonly id: string;
  readonly task: EncodedTask;
  /** Microseconds; 0 is the one of the envelope. */
  readonly timeoutUs: number;
}

const FIELDS_BYTES = 200; // what names, keys and punctuation of a task take, about

/** Encodes a task. Throws what is wrong with it, or with its table. */
export function encodeTask(task: Task, encoding: Encoding): EncodedTask {
  const fields = fieldsOf(task);
  const table = encodeInput(task.table, encoding);
  const size = typeof table === "string" ? table.length : sizeOf(table);
  return { fields, table, size: size + FIELDS_BYTES };
}

/** Encodes tables that many tasks refer to. */
export function encodeShared(
  tables: Readonly<Record<string, TableLike>>,
  encoding: Encoding,
): Map<string, EncodedTable> {
  const entries = Object.entries(tables);
  return new Map(entries.map(([name, table]) => [text(name), writeTable(table, encoding)]));
}

/** Writes the envelope of these tasks. */
export function writeEnvelope(
  posted: readonly Posted[],
  { tables, merge, timeoutUs }: EnvelopeParts,
  encoding: Encoding,
): Body {
  const shared = [...tables].map(([name, table]) => `${JSON.stringify(name)}:${table.text}`);
  const parts = [
    ...(shared.length > 0 ? [`"tables":{${shared.join(",")}}`] : []),
    `"tasks":[${posted.map(taskText).join(",")}]`,
    ...(merge ? [`"merge":${mergeText(merge)}`] : []),
    ...(timeoutUs ? [`"timeout_us":${timeoutUs}`] : []),
  ];
  const own = posted.map(({ task }) => task.table).filter((table) => typeof table !== "string");
  return encoding.writeBody(`{${parts.join(",")}}`, [...tables.values(), ...own]);
}

function taskText({ id, task, timeoutUs }: Posted): string {
  const { model, version, outputs, priority, idempotencyKey, weight } = task.fields;
  const table = typeof task.table === "string" ? JSON.stringify(task.table) : task.table.text;
  const after = {
    outputs,
    priority,
    timeout_us: timeoutUs || undefined,
    idempotency_key: idempotencyKey,
    weight,
  };
  const head = JSON.stringify({ id, model, version }).slice(0, -1);
  const rest = JSON.stringify(after).slice(1);
  return `${head},"table":${table}${rest === "}" ? rest : `,${rest}`}`;
}

function mergeText({ by, columns }: Merge): string {
  return JSON.stringify({ by, columns: columns?.length ? columns : undefined });
}

function encodeInput(table: TableLike | string, encoding: Encoding): EncodedTable | string {
  if (table === undefined || table === null) {
    throw new InvalidRequestError(
      "the task has no table; expected one, or the name of a shared one",
    );
  }
  return typeof table === "string" ? text(table) : writeTable(table, encoding);
}

function writeTable(table: TableLike, encoding: Encoding): EncodedTable {
  return encoding.writeTable(Table.of(table));
}

/** How many bytes a table takes, about. */
export function sizeOf({ text, bytes }: EncodedTable): number {
  return text.length + (bytes?.length ?? 0);
}
