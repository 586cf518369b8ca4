/**
 * The calls of an envelope that is under way: who waits for its answer, and when nobody does.
 *
 * When every call was settled by other means - by its caller, or its time - the envelope is aborted. When
 * the last one was answered it is not: the connection is read to its end, and used again.
 */

import type { Posted } from "../envelope/write.js";
import type { Call } from "./call.js";

/** Calls in one envelope. The server calls each by its place. */
export class Flight {
  readonly calls: readonly Call[];
  /** One for all, so that those who are sent again travel together again. */
  readonly chance = Math.random();
  readonly #unanswered: Map<string, Call>;
  readonly #controller = new AbortController();

  constructor(calls: readonly Call[]) {
    this.calls = calls;
    this.#unanswered = new Map(calls.map((call, place) => [String(place), call]));
    for (const call of calls) {
      call.whenSettled(() => this.#abortIfUnwanted());
    }
  }

  /** Aborted when nobody waits any more. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Its tasks with the time that they have left now; each is one more attempt. */
  posted(): Posted[] {
    return this.calls.map((call, place) => {
      call.attempts += 1;
      return { id: String(place), task: call.task, timeoutUs: call.leftUs };
    });
  }

  /** The call that this answer is for; undefined where none waits for it. */
  arrived(id: string): Call | undefined {
    const call = this.#unanswered.get(id);
    this.#unanswered.delete(id);
    return call;
  }

  /** Ends the envelope: gives the calls that still wait. */
  land(): Call[] {
    const left = [...this.#unanswered.values()].filter((call) => !call.isSettled);
    this.#unanswered.clear();
    return left;
  }

  #abortIfUnwanted(): void {
    const calls = [...this.#unanswered.values()];
    if (calls.length > 0 && calls.every((call) => call.isSettled)) {
      this.#controller.abort();
    }
  }
}
