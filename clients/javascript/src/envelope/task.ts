/**
 * What is asked: tasks, and how their results are joined.
 *
 * What is said of a task is checked here, before anything is sent; what only the server can know (which
 * models there are, what they take) is not.
 */

import { DuplicateTaskError, InvalidRequestError, TooManyTasksError } from "../errors/kinds.js";
import { shown, text } from "../values/convert.js";
import type { TableLike } from "../values/table.js";

/** What may be said of a call, beside its model and its table. */
export interface TaskOptions {
  /** Without it, whichever version answers requests that name none. */
  readonly version?: string | undefined;
  /** The output columns that are wanted, in this order; all without it. */
  readonly outputs?: readonly string[] | undefined;
  /** 1 is the most urgent, 0 comes after all others; at most 255. */
  readonly priority?: number | undefined;
  /** How long it may take, retries included; without it the client's. */
  readonly timeoutMs?: number | undefined;
  /** Tasks of one key are computed once; without one, or with an empty one, the client makes one. */
  readonly idempotencyKey?: string | undefined;
}

/** One task of an envelope: a table for a model. */
export interface Task extends TaskOptions {
  /** The model's name, or a router's. */
  readonly model: string;
  /** What `Table.of` takes, or the name of a shared table. */
  readonly table: TableLike | string;
  /** By which the result is told; without one it is the place of the task, from 0. */
  readonly id?: string | undefined;
  /** How much each of its records counts in a merge; finite and not negative. */
  readonly weight?: number | undefined;
}

/** How results are joined: `concat`, `mean`, `sum`, `count`, `min`, `max`, `variance`. */
export interface Merge {
  readonly by: string;
  /** The columns that are meant; all without it. */
  readonly columns?: readonly string[] | undefined;
}

/** What is said of a task beside its id, table and time; what is at its default is left out. */
export interface TaskFields {
  readonly model: string;
  readonly version: string | undefined;
  readonly outputs: readonly string[] | undefined;
  readonly priority: number | undefined;
  readonly idempotencyKey: string | undefined;
  readonly weight: number | undefined;
}

const MAX_TASKS = 10_000;
const MAX_PRIORITY = 255;
const MAX_NAME_BYTES = 256;

/** Checks what is said of a task. */
export function fieldsOf(task: Task): TaskFields {
  const { model, version, outputs, priority, idempotencyKey, weight } = task;
  if (typeof model !== "string" || model === "") {
    throw new InvalidRequestError(`the model of a task is ${shown(model)}; expected a name`);
  }
  checkNumbers(task);
  return {
    model: text(model),
    version: version ? text(version) : undefined,
    outputs: outputs?.length ? outputs.map(text) : undefined,
    priority: priority || undefined,
    idempotencyKey: checkedName(idempotencyKey, "idempotency key") || undefined,
    weight: weight === 1 ? undefined : weight,
  };
}

function checkNumbers({ priority = 0, weight = 1, timeoutMs }: Task): void {
  if (!Number.isInteger(priority) || priority < 0 || priority > MAX_PRIORITY) {
    throw new InvalidRequestError(`the priority is ${shown(priority)}; expected 0 to 255`);
  }
  if (!Number.isFinite(weight) || weight < 0) {
    throw new InvalidRequestError(`the weight is ${shown(weight)}; expected a number from 0`);
  }
  checkTimeout(timeoutMs);
}

/** Refuses a time that is no number of milliseconds above 0. */
export function checkTimeout(timeoutMs: number | undefined, Kind = InvalidRequestError): void {
  if (timeoutMs !== undefined && !(timeoutMs > 0)) {
    throw new Kind(`timeoutMs is ${shown(timeoutMs)}; expected more than 0`);
  }
}

/** Refuses what the server would refuse as a whole: no tasks, too many, or two of one id. */
export function checkTasks(tasks: readonly Task[]): void {
  if (tasks.length === 0) {
    throw new InvalidRequestError("there are no tasks; expected at least one");
  }
  if (tasks.length > MAX_TASKS) {
    throw new TooManyTasksError(`there are ${tasks.length} tasks; expected at most ${MAX_TASKS}`);
  }
  const ids = new Set<string>();
  for (const id of idsOf(tasks)) {
    checkedName(id, "id");
    if (ids.has(id)) {
      throw new DuplicateTaskError(`two tasks have the id '${id}'; expected each once`);
    }
    ids.add(id);
  }
}

/** The id of each task: its own, or its place. */
export function idsOf(tasks: readonly Task[]): string[] {
  return tasks.map(({ id }, place) => id || String(place));
}

function checkedName(name: string | undefined, what: string): string | undefined {
  if (name === undefined) {
    return undefined;
  }
  if (text(name).length * 3 > MAX_NAME_BYTES && bytesOf(name) > MAX_NAME_BYTES) {
    throw new InvalidRequestError(`the ${what} is longer than ${MAX_NAME_BYTES} bytes`);
  }
  return name;
}

function bytesOf(text: string): number {
  return new TextEncoder().encode(text).length;
}
