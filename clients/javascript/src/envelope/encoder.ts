/**
 * Tables are encoded in the moment in which they are given: what a caller does with its arrays afterwards
 * changes nothing that is sent.
 *
 * Arrow is loaded when a client is made that wants it. Tables given before it is there are copied.
 */

import { ConfigurationError } from "../errors/kinds.js";
import { JSON_ENCODING } from "../json/encoding.js";
import { Table, type TableLike } from "../values/table.js";
import type { EncodedTable, Encoding } from "./encoding.js";
import type { Task } from "./task.js";
import { type EncodedTask, encodeShared, encodeTask } from "./write.js";

type Tables = Readonly<Record<string, TableLike>>;

/** Encodes tasks and tables in the encoding of a client. */
export class Encoder {
  readonly #loading: Promise<Encoding>;
  #loaded: Encoding | undefined;

  /** Throws a `ConfigurationError` where there is no such encoding. */
  constructor(name: string) {
    if (name !== "json" && name !== "arrow") {
      throw new ConfigurationError(`'${name}' is no encoding; expected json or arrow`);
    }
    this.#loaded = name === "json" ? JSON_ENCODING : undefined;
    this.#loading = name === "json" ? Promise.resolve(JSON_ENCODING) : this.#load();
    this.#loading.catch(() => undefined); // told to the first call that needs it
  }

  /** The encoding; called only after something was encoded. */
  get encoding(): Encoding {
    return this.#loaded ?? JSON_ENCODING;
  }

  /** Encodes a task: before this returns its promise, once the encoding is loaded. */
  async task(task: Task): Promise<EncodedTask> {
    const given = this.#loaded ? task : copied(task);
    return encodeTask(given, this.#loaded ?? (await this.#loading));
  }

  /** Encodes shared tables, likewise. */
  async shared(tables: Tables): Promise<Map<string, EncodedTable>> {
    const loaded = this.#loaded;
    const copy = ([name, table]: [string, TableLike]) => [name, Table.of(table).copy()] as const;
    const given = loaded ? tables : Object.fromEntries(Object.entries(tables).map(copy));
    return encodeShared(given, loaded ?? (await this.#loading));
  }

  async #load(): Promise<Encoding> {
    const { loadArrow } = await import("../arrow/encoding.js");
    this.#loaded = await loadArrow();
    return this.#loaded;
  }
}

function copied(task: Task): Task {
  const { table } = task;
  return typeof table === "string" ? task : { ...task, table: Table.of(table).copy() };
}
