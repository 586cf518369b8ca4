/**
 * One call of many tasks in one envelope, with further attempts for what may be tried again.
 *
 * - Tasks that failed for a while are sent again, the others are kept. With a merge all are: their keys of
 *   idempotency make the server answer those that it has answered from what it keeps.
 * - The call fails as a whole only if no attempt was answered at all.
 * - Each task has its own time on the server. Here the call ends when the last one's time is over and half
 *   a second more, so that what was answered in time arrives.
 */

import type { Answer } from "../envelope/read.js";
import { type Merged, Result, Results } from "../envelope/result.js";
import type { EncodedTask, EnvelopeParts } from "../envelope/write.js";
import { ShoalError } from "../errors/error.js";
import type { Clock } from "./clock.js";
import { Ending } from "./ending.js";
import type { Exchange } from "./exchange.js";
import { waitMs } from "./retry.js";

/** One task of the call. */
export interface Part {
  readonly id: string;
  readonly task: EncodedTask;
  /** Its own; may be infinite. */
  readonly timeoutMs: number | undefined;
}

/** What is asked as a whole. */
export interface WholeCall {
  readonly tasks: readonly Part[];
  readonly parts: EnvelopeParts;
  /** Of each task that has none of its own; may be infinite. */
  readonly timeoutMs: number;
  readonly attempts: number;
  readonly signal?: AbortSignal | undefined;
}

/** Sends the envelope until each task has an answer that is not tried again. */
export async function sendWhole(
  call: WholeCall,
  exchange: Exchange,
  clock: Clock,
): Promise<Results> {
  const run = new Run(call, exchange, clock);
  try {
    return await run.results();
  } finally {
    run.end();
  }
}

/** A call that is under way. */
class Run {
  readonly #call: WholeCall;
  readonly #exchange: Exchange;
  readonly #clock: Clock;
  readonly #startedAtMs: number;
  readonly #ending: Ending;
  readonly #found = new Map<string, Result>();
  #merged: Merged | undefined;
  #made = 0;
  #chance = 0;

  constructor(call: WholeCall, exchange: Exchange, clock: Clock) {
    this.#call = call;
    this.#exchange = exchange;
    this.#clock = clock;
    this.#startedAtMs = clock.now();
    const longestMs = Math.max(...call.tasks.map(({ timeoutMs }) => timeoutMs ?? call.timeoutMs));
    this.#ending = new Ending(call.signal, longestMs, clock);
  }

  end(): void {
    this.#ending.cancel();
  }

  async results(): Promise<Results> {
    const { tasks, parts } = this.#call;
    let due = tasks;
    while (due.length > 0) {
      await this.#attempt(due);
      const again = due.filter((part) => this.#waitMs(part) !== undefined);
      const waits = again.map((part) => this.#waitMs(part) ?? 0);
      await this.#ending.sleep(Math.max(0, ...waits));
      due = parts.merge && again.length > 0 ? tasks : again;
    }
    const results = tasks.map(({ id }) => this.#found.get(id));
    return new Results(
      results.filter((result) => result !== undefined),
      this.#merged,
    );
  }

  async #attempt(due: readonly Part[]): Promise<void> {
    this.#made += 1;
    this.#chance = Math.random();
    try {
      const { results, merged } = await this.#send(due);
      this.#merged = merged;
      for (const result of results) {
        this.#found.set(result.id, result);
      }
    } catch (error) {
      this.#failed(due, error);
    }
  }

  #send(due: readonly Part[]): Promise<Answer> {
    const posted = due.map(({ id, task, timeoutMs }) => ({
      id,
      task,
      timeoutUs: timeoutMs === undefined ? 0 : this.#leftUs(timeoutMs),
    }));
    const parts = { ...this.#call.parts, timeoutUs: this.#leftUs(this.#call.timeoutMs) };
    return this.#exchange.whole({ posted, parts, signal: this.#ending.signal });
  }

  /** The envelope failed as a whole: so did its tasks, or the call where none of it is tried again. */
  #failed(due: readonly Part[], error: unknown): void {
    if (!(error instanceof ShoalError) || this.#ending.signal.aborted) {
      throw error;
    }
    const isFirst = this.#found.size === 0;
    for (const { id } of due) {
      this.#found.set(id, new Result(id, error.copy()));
    }
    if (isFirst && due.every((part) => this.#waitMs(part) === undefined)) {
      throw error;
    }
  }

  /** How long to wait before this task is sent again; undefined where its answer stands. */
  #waitMs({ id, timeoutMs }: Part): number | undefined {
    const error = this.#found.get(id)?.error;
    const leftMs = this.#leftMs(timeoutMs ?? this.#call.timeoutMs);
    const left = { made: this.#made, allowed: this.#call.attempts, leftMs };
    return error && waitMs(error, left, this.#chance);
  }

  #leftMs(timeoutMs: number): number {
    return this.#startedAtMs + timeoutMs - this.#clock.now();
  }

  /** What is left, as the protocol says it: at least one microsecond; 0 is no limit. */
  #leftUs(timeoutMs: number): number {
    const leftUs = Math.max(1, Math.round(this.#leftMs(timeoutMs) * 1000));
    return Number.isFinite(leftUs) ? leftUs : 0;
  }
}
