/**
 * A caller of a Shoal server.
 *
 * - `predict` asks one model; calls made within the same tick travel in one envelope.
 * - `run` sends many tasks in one envelope, with shared tables, and joins their results where asked.
 * - `stream` sends tasks as they come, and gives results as they are ready.
 *
 * Each task has its own result or its own error. What may be tried again is, with a key of idempotency that
 * the client makes; connections are kept by `fetch`.
 */

import { Encoder } from "./envelope/encoder.js";
import type { Result, Results } from "./envelope/result.js";
import {
  checkTasks,
  checkTimeout,
  idsOf,
  type Merge,
  type Task,
  type TaskOptions,
} from "./envelope/task.js";
import type { EnvelopeParts } from "./envelope/write.js";
import { ConfigurationError } from "./errors/kinds.js";
import type { Table, TableLike } from "./values/table.js";
import { MicroBatcher } from "./wire/batcher.js";
import { SYSTEM_CLOCK } from "./wire/clock.js";
import { Exchange } from "./wire/exchange.js";
import { authorization, checkedHeaders } from "./wire/headers.js";
import type { Patience } from "./wire/retry.js";
import { resultsAsReady } from "./wire/stream.js";
import { addressOf, type Destination, type Fetch } from "./wire/transport.js";
import { sendWhole } from "./wire/whole.js";

/** How a client asks. */
export interface ClientOptions {
  /** Sent as `Authorization: Bearer`. */
  readonly apiKey?: string | undefined;
  /** How long a task may take, retries included, where it does not say itself; 60,000. Infinity is no limit. */
  readonly timeoutMs?: number | undefined;
  /** How many times a task is sent at most; 4. With 1 nothing is tried again. */
  readonly attempts?: number | undefined;
  /**
   * The longest wait before a task is sent again, to which chance adds up to half of what a server asks for; where it
   * asks for more, the task fails. 5,000.
   */
  readonly maxWaitMs?: number | undefined;
  /** Whether calls of `predict` made within the same tick travel in one envelope; they do. */
  readonly microBatching?: boolean | undefined;
  /** How tables travel; `arrow` needs the package `apache-arrow`. JSON without it. */
  readonly encoding?: "json" | "arrow" | undefined;
  /** Headers that every request has beside those of this client, for gateways and traces. */
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** What `fetch` is given beside: `dispatcher` in Node, `credentials` in browsers. */
  readonly init?: RequestInit | undefined;
  /** Another `fetch`. */
  readonly fetch?: Fetch | undefined;
}

/** What may be said of one call of `predict`. */
export interface PredictOptions extends TaskOptions {
  /** Takes the call back. */
  readonly signal?: AbortSignal | undefined;
}

/** What may be said of a call of many tasks. */
export interface StreamOptions {
  /** Tables that tasks refer to by name; each travels once in an envelope whose tasks do. */
  readonly tables?: Readonly<Record<string, TableLike>> | undefined;
  /** How long each task may take, where it does not say itself. */
  readonly timeoutMs?: number | undefined;
  /** Takes the call back. */
  readonly signal?: AbortSignal | undefined;
}

/** What may be said of a call of `run`. */
export interface RunOptions extends StreamOptions {
  /** Joins the results: the name of a merge, or with the columns that are meant. */
  readonly merge?: Merge | string | undefined;
}

const DEFAULT_TIMEOUT_MS = 60_000;
const DEFAULT_ATTEMPTS = 4;
const DEFAULT_MAX_WAIT_MS = 5_000;
const LONGEST_MAX_WAIT_MS = 86_400_000; // a day, which every timer can wait for
const MAX_TASKS = 1000;
// Compressing costs more than sending where server and client are near; a browser sets its own.
const DEFAULT_HEADERS = { "accept-encoding": "identity" };
const NOTHING_SHARED: EnvelopeParts = { tables: new Map() };

/** A caller of one server. */
export class Client {
  readonly #destination: Destination;
  readonly #timeoutMs: number;
  readonly #patience: Patience;
  readonly #maxTasks: number;
  readonly #encoder: Encoder;
  readonly #keys = new Keys();
  #batcher: MicroBatcher | undefined;

  /**
   * Names a server; nothing is sent yet.
   *
   * @throws ConfigurationError The address or an option cannot be used.
   */
  constructor(server: string, options: ClientOptions = {}) {
    checkTimeout(options.timeoutMs, ConfigurationError);
    this.#timeoutMs = options.timeoutMs ?? DEFAULT_TIMEOUT_MS;
    this.#patience = checkedPatience(options);
    this.#maxTasks = options.microBatching === false ? 1 : MAX_TASKS;
    this.#encoder = new Encoder(options.encoding ?? "json");
    this.#destination = {
      url: addressOf(server),
      headers: {
        ...DEFAULT_HEADERS,
        ...checkedHeaders(options.headers ?? {}),
        ...authorization(options.apiKey),
      },
      fetch: options.fetch ?? ((url, init) => fetch(url, init)),
      init: options.init ?? {},
    };
  }

  /**
   * Asks a model, or a router; gives its answer. The call may share an envelope with others.
   *
   * @throws ShoalError What went wrong, by class; or the reason of the signal.
   */
  async predict(model: string, table: TableLike, options: PredictOptions = {}): Promise<Table> {
    const { signal, timeoutMs = this.#timeoutMs } = options;
    const task = await this.#encoder.task(this.#keyed({ ...options, model, table }));
    this.#batcher ??= this.#newBatcher(NOTHING_SHARED, { isStreamed: false });
    const result = await this.#batcher.call({ id: "", task, timeoutMs, signal });
    return result.table;
  }

  /**
   * Sends many tasks in one envelope; gives their results, each a table or an error.
   *
   * @throws ShoalError The call failed as a whole; or the reason of the signal.
   */
  async run(tasks: readonly Task[], options: RunOptions = {}): Promise<Results> {
    const { merge, signal, timeoutMs = this.#timeoutMs } = options;
    checkTasks(tasks);
    checkTimeout(options.timeoutMs);
    const ids = idsOf(tasks);
    const [tables, encoded] = await Promise.all([
      this.#encoder.shared(options.tables ?? {}),
      Promise.all(tasks.map((task) => this.#encoder.task(this.#keyed(task)))),
    ]);
    const parts = { tables, merge: typeof merge === "string" ? { by: merge } : merge };
    const asked = encoded.map((task, place) => ({
      id: ids[place] ?? "",
      task,
      timeoutMs: tasks[place]?.timeoutMs ?? timeoutMs,
    }));
    const call = { tasks: asked, parts, patience: this.#patience, signal };
    return await sendWhole(call, this.#exchange(), SYSTEM_CLOCK);
  }

  /**
   * Sends tasks as they come, in as few envelopes as may be; gives each result when it is ready, in any
   * order. At most 1,000 are under way, or answered and not yet taken; no more are read meanwhile.
   *
   * @throws ShoalError Two tasks that are under way have one id; or the reason of the signal.
   */
  async *stream(
    tasks: Iterable<Task> | AsyncIterable<Task>,
    options: StreamOptions = {},
  ): AsyncGenerator<Result> {
    const { signal, timeoutMs = this.#timeoutMs } = options;
    checkTimeout(options.timeoutMs);
    const tables = await this.#encoder.shared(options.tables ?? {});
    const batcher = this.#newBatcher({ tables }, { isStreamed: true });
    const call = async (task: Task, id: string, ended: AbortSignal): Promise<Result> => {
      const unnamed = { ...this.#keyed(task), id: undefined };
      const encoded = await this.#encoder.task(unnamed);
      const asked = { id, task: encoded, timeoutMs: task.timeoutMs ?? timeoutMs, signal: ended };
      return batcher.call(asked);
    };
    yield* resultsAsReady(tasks, call, signal);
  }

  #keyed(task: Task): Task {
    const isKeyed = Boolean(task.idempotencyKey) || this.#patience.attempts === 1;
    return isKeyed ? task : { ...task, idempotencyKey: this.#keys.next() };
  }

  #exchange(): Exchange {
    return new Exchange(this.#destination, this.#encoder.encoding);
  }

  #newBatcher(parts: EnvelopeParts, { isStreamed }: { isStreamed: boolean }): MicroBatcher {
    const maxTasks = isStreamed ? MAX_TASKS : this.#maxTasks;
    const gathering = { maxTasks, isStreamed, patience: this.#patience };
    return new MicroBatcher(this.#exchange(), parts, gathering, SYSTEM_CLOCK);
  }
}

/** Keys of idempotency: random for each client, then counted. */
class Keys {
  readonly #prefix = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) =>
    byte.toString(16).padStart(2, "0"),
  ).join("");
  #count = 0;

  next(): string {
    this.#count += 1;
    return `${this.#prefix}-${this.#count}`;
  }
}

function checkedPatience(options: ClientOptions): Patience {
  const { attempts = DEFAULT_ATTEMPTS, maxWaitMs = DEFAULT_MAX_WAIT_MS } = options;
  if (!Number.isInteger(attempts) || attempts < 1) {
    throw new ConfigurationError(`attempts is ${attempts}; expected a whole number from 1`);
  }
  if (!(maxWaitMs > 0 && maxWaitMs <= LONGEST_MAX_WAIT_MS)) {
    const expected = `expected more than 0, at most ${LONGEST_MAX_WAIT_MS}`;
    throw new ConfigurationError(`maxWaitMs is ${maxWaitMs}; ${expected}`);
  }
  return { attempts, maxWaitMs };
}
