/**
 * What is answered: results, and results that were merged.
 *
 * A table is read when it is asked for, once; what cannot be read is an `AnswerError` then.
 */

import { ShoalError } from "../errors/error.js";
import { AnswerError } from "../errors/kinds.js";
import type { Table } from "../values/table.js";

/** Reads a table of an answer. */
export type ReadTable = () => Table;

/** Who answered a task, and how it travelled. */
export interface Answered {
  readonly model: string;
  readonly version: string;
  readonly batchRows: number;
  /** undefined where the table went into a merge. */
  readonly read: ReadTable | undefined;
}

/** A table that is read once, when it is asked for. */
class LazyTable {
  readonly #read: ReadTable | undefined;
  readonly #whose: string;
  #table: Table | undefined;

  constructor(read: ReadTable | undefined, whose: string) {
    this.#read = read;
    this.#whose = whose;
  }

  get(): Table {
    this.#table ??= this.#readNow();
    return this.#table;
  }

  #readNow(): Table {
    if (this.#read === undefined) {
      const hint = "with a merge the tables are joined: see `merged`";
      throw new AnswerError(`the answer to ${this.#whose} holds no table`, { hint });
    }
    try {
      return this.#read();
    } catch (cause) {
      const why = cause instanceof Error ? cause.message : String(cause);
      throw new AnswerError(`the answer to ${this.#whose} cannot be read: ${why}`, { cause });
    }
  }
}

/** The answer to one task: a table, or an error. */
export class Result {
  /** The task's. */
  readonly id: string;
  /** Who answered; empty where nobody did. */
  readonly model: string;
  /** Which version of it. */
  readonly version: string;
  /** How many rows the largest micro-batch had in which the task travelled. */
  readonly batchRows: number;
  /** Why there is no table, with `taskId` set; undefined where there is one. */
  readonly error: ShoalError | undefined;
  readonly #table: LazyTable;

  constructor(id: string, outcome: Answered | ShoalError) {
    const isError = outcome instanceof ShoalError;
    this.id = id;
    this.error = isError ? outcome : undefined;
    this.model = isError ? "" : outcome.model;
    this.version = isError ? "" : outcome.version;
    this.batchRows = isError ? 0 : outcome.batchRows;
    this.#table = new LazyTable(isError ? undefined : outcome.read, `task '${id}'`);
    if (isError) {
      outcome.taskId = id;
    }
  }

  /** The answer. Throws `error` where the task failed, an `AnswerError` where it cannot be read. */
  get table(): Table {
    if (this.error !== undefined) {
      throw this.error;
    }
    return this.#table.get();
  }

  /** The same result under another id. */
  named(id: string): Result {
    const { model, version, batchRows } = this;
    const read = () => this.#table.get();
    return new Result(id, this.error ?? { model, version, batchRows, read });
  }
}

/** The results of an envelope joined into one table. */
export class Merged {
  /** The ids of the tasks that failed, which are not in it. */
  readonly leftOut: readonly string[];
  /** Why there is no table, or undefined. */
  readonly error: ShoalError | undefined;
  readonly #table: LazyTable;

  constructor(outcome: ReadTable | ShoalError, leftOut: readonly string[] = []) {
    const isError = outcome instanceof ShoalError;
    this.leftOut = leftOut;
    this.error = isError ? outcome : undefined;
    this.#table = new LazyTable(isError ? undefined : outcome, "the merge");
  }

  /** The results, joined. Throws `error` where they could not be. */
  get table(): Table {
    if (this.error !== undefined) {
      throw this.error;
    }
    return this.#table.get();
  }
}

/** The results of an envelope, in the order of its tasks. */
export class Results implements Iterable<Result> {
  /** The results joined, where a merge was asked for. */
  readonly merged: Merged | undefined;
  readonly #results: readonly Result[];

  constructor(results: readonly Result[], merged?: Merged) {
    this.#results = results;
    this.merged = merged;
  }

  /** How many tasks there were. */
  get length(): number {
    return this.#results.length;
  }

  /** The table of each task. Throws the error of the first that failed, with `taskId`. */
  get tables(): Table[] {
    return this.#results.map((result) => result.table);
  }

  /** The errors of the tasks that failed, by id. */
  get errors(): Map<string, ShoalError> {
    const failed = this.#results.flatMap(({ id, error }) => (error ? [[id, error] as const] : []));
    return new Map(failed);
  }

  /** The result at this place, or of this id; undefined where there is none. */
  get(at: number | string): Result | undefined {
    return typeof at === "number"
      ? this.#results[at]
      : this.#results.find((result) => result.id === at);
  }

  [Symbol.iterator](): IterableIterator<Result> {
    return this.#results.values();
  }
}
