/**
 * Results as they are ready, of tasks as they come.
 *
 * - Tasks are read ahead of results, up to 1,000 that are under way or answered and not yet taken.
 * - A task that cannot be encoded has its error as its result; the others go on.
 * - Whoever stops taking results takes back all tasks that are under way.
 */

import { Result } from "../envelope/result.js";
import type { Task } from "../envelope/task.js";
import { ShoalError } from "../errors/error.js";
import { DuplicateTaskError } from "../errors/kinds.js";
import { onAbort } from "./signals.js";

/** Asks for one task; is ended by the signal. */
export type CallTask = (task: Task, id: string, signal: AbortSignal) => Promise<Result>;

const MOST_UNDER_WAY = 1000;

/** Calls each task; gives results in the order in which they are ready. */
export async function* resultsAsReady(
  tasks: Iterable<Task> | AsyncIterable<Task>,
  call: CallTask,
  signal: AbortSignal | undefined,
): AsyncGenerator<Result> {
  const controller = new AbortController();
  const cancel = onAbort(signal, () => controller.abort(signal?.reason));
  const queue = new Queue(call, controller.signal);
  try {
    signal?.throwIfAborted();
    void queue.fill(tasks);
    yield* queue.results();
  } finally {
    cancel();
    controller.abort();
  }
}

/** Tasks that are under way, and results that nobody has taken yet. */
class Queue {
  readonly #call: CallTask;
  readonly #signal: AbortSignal;
  readonly #open = new Set<string>();
  readonly #ready: Result[] = [];
  #hasAll = false;
  #failure: { readonly error: unknown } | undefined;
  #waiters: (() => void)[] = [];

  constructor(call: CallTask, signal: AbortSignal) {
    this.#call = call;
    this.#signal = signal;
    onAbort(signal, () => {
      this.#failure ??= { error: signal.reason };
      this.#tell();
    });
  }

  /** Reads tasks and calls them. */
  async fill(tasks: Iterable<Task> | AsyncIterable<Task>): Promise<void> {
    let place = 0;
    try {
      for await (const task of tasks) {
        this.#start(task, task.id || String(place));
        place += 1;
        while (this.#open.size + this.#ready.length >= MOST_UNDER_WAY && !this.#signal.aborted) {
          await this.#change();
        }
        if (this.#signal.aborted) {
          return;
        }
      }
      this.#hasAll = true;
    } catch (error) {
      this.#failure = { error };
    }
    this.#tell();
  }

  /** Gives results until all tasks have theirs. */
  async *results(): AsyncGenerator<Result> {
    while (!this.#hasAll || this.#open.size > 0 || this.#ready.length > 0) {
      this.#throwIfFailed();
      const result = this.#ready.shift();
      if (result === undefined) {
        await this.#change();
      } else {
        this.#tell();
        yield result;
      }
    }
    this.#throwIfFailed();
  }

  #throwIfFailed(): void {
    if (this.#failure !== undefined) {
      throw this.#failure.error;
    }
  }

  #start(task: Task, id: string): void {
    if (this.#open.has(id)) {
      throw new DuplicateTaskError(`two tasks that are under way have the id '${id}'`);
    }
    this.#open.add(id);
    void this.#finish(task, id);
  }

  async #finish(task: Task, id: string): Promise<void> {
    try {
      this.#ready.push(await this.#call(task, id, this.#signal));
    } catch (error) {
      if (error instanceof ShoalError) {
        this.#ready.push(new Result(id, error));
      } else {
        this.#failure ??= { error };
      }
    }
    this.#open.delete(id);
    this.#tell();
  }

  #change(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiters.push(resolve);
    });
  }

  #tell(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) {
      wake();
    }
  }
}
