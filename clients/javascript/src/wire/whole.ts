/**
 * One call of many tasks in one envelope, with further attempts for what may be tried again.
 *
 * - Tasks that failed for a while are sent again, the others are kept. With a merge all are: their keys of
 *   idempotency make the server answer those that it has answered from what it keeps.
 * - The call fails as a whole only if no attempt was answered at all. What fails after one was is the error of
 *   the tasks that were still asked for, and of the merge.
 * - Each task has its own time on the server, and the envelope none: it would shorten those. Here the call ends when the last one's time is over and half
 *   a second more, so that what was answered in time arrives.
 */

import type { Answer } from "../envelope/read.js";
import { Merged, Result, Results } from "../envelope/result.js";
import type { EncodedTask, EnvelopeParts } from "../envelope/write.js";
import { ShoalError } from "../errors/error.js";
import type { Clock } from "./clock.js";
import { Ending } from "./ending.js";
import type { Exchange } from "./exchange.js";
import { type Patience, waitMs } from "./retry.js";

/** One task of the call. */
export interface Part {
  readonly id: string;
  readonly task: EncodedTask;
  /** May be infinite. */
  readonly timeoutMs: number;
}

/** What is asked as a whole. */
export interface WholeCall {
  readonly tasks: readonly Part[];
  readonly parts: EnvelopeParts;
  readonly patience: Patience;
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
  #isAnswered = false;
  #made = 0;
  #chance = 0;

  constructor(call: WholeCall, exchange: Exchange, clock: Clock) {
    this.#call = call;
    this.#exchange = exchange;
    this.#clock = clock;
    this.#startedAtMs = clock.now();
    const longestMs = Math.max(...call.tasks.map(({ timeoutMs }) => timeoutMs));
    this.#ending = new Ending(call.signal, longestMs, clock);
  }

  end(): void {
    this.#ending.cancel();
  }

  async results(): Promise<Results> {
    const { tasks, parts } = this.#call;
    let asked = tasks;
    let afterMs = 0;
    while (asked.length > 0) {
      const due = parts.merge ? tasks : asked;
      try {
        await this.#attempt(due, afterMs);
      } catch (error) {
        this.#failed(asked, error);
      }
      const waits = due.map((part) => this.#waitMs(part));
      asked = due.filter((_, place) => waits[place] !== undefined);
      afterMs = Math.max(0, ...waits.filter((wait) => wait !== undefined));
    }
    const results = tasks.map(({ id }) => this.#found.get(id));
    return new Results(
      results.filter((result) => result !== undefined),
      this.#merged,
    );
  }

  async #attempt(due: readonly Part[], afterMs: number): Promise<void> {
    await this.#ending.sleep(afterMs);
    this.#made += 1;
    this.#chance = Math.random();
    const { results, merged } = await this.#send(due);
    this.#isAnswered = true;
    this.#merged = merged;
    for (const result of results) {
      this.#found.set(result.id, result);
    }
  }

  #send(due: readonly Part[]): Promise<Answer> {
    const posted = due.map(({ id, task, timeoutMs }) => ({
      id,
      task,
      timeoutUs: this.#leftUs(timeoutMs),
    }));
    return this.#exchange.whole({ posted, parts: this.#call.parts, signal: this.#ending.signal });
  }

  /** An attempt failed as a whole: so did the tasks it was for, or the call where nothing was answered. */
  #failed(asked: readonly Part[], error: unknown): void {
    if (!(error instanceof ShoalError) || error === this.#call.signal?.reason) {
      throw error;
    }
    for (const { id } of asked) {
      this.#found.set(id, new Result(id, error.copy()));
    }
    this.#merged = this.#call.parts.merge && new Merged(error.copy());
    if (!this.#isAnswered && asked.every((part) => this.#waitMs(part) === undefined)) {
      throw error;
    }
  }

  /** How long to wait before this task is sent again; undefined where its answer stands. */
  #waitMs({ id, timeoutMs }: Part): number | undefined {
    const error = this.#found.get(id)?.error;
    const { patience } = this.#call;
    const attempts = { ...patience, made: this.#made, leftMs: this.#leftMs(timeoutMs) };
    return error && waitMs(error, attempts, this.#chance);
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
