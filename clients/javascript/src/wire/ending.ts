/**
 * When a call of many tasks ends early: by its caller's signal, or when its time is over.
 *
 * The time here is half a second longer than on the server, so that what was answered in time arrives.
 */

import { lateError } from "./call.js";
import type { Cancel, Clock } from "./clock.js";

const GRACE_MS = 500;

/** What ends a call early. */
export class Ending {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #outer: AbortSignal | undefined;
  readonly #cancel: Cancel;
  readonly #abort = () => this.#controller.abort(this.#outer?.reason);

  constructor(outer: AbortSignal | undefined, timeoutMs: number, clock: Clock) {
    this.#clock = clock;
    this.#outer = outer;
    const late = () => this.#controller.abort(lateError(timeoutMs));
    this.#cancel = clock.after(timeoutMs + GRACE_MS, late);
    outer?.addEventListener("abort", this.#abort);
    if (outer?.aborted) {
      this.#abort();
    }
  }

  /** Aborted when the call is to end, with the reason. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Waits; throws the reason when the call ends meanwhile. */
  async sleep(ms: number): Promise<void> {
    this.signal.throwIfAborted();
    if (ms <= 0) {
      return;
    }
    await new Promise<void>((resolve, reject) => {
      const cancel = this.#clock.after(ms, resolve);
      this.signal.addEventListener("abort", () => {
        cancel();
        reject(this.signal.reason);
      });
    });
  }

  /** The call has ended: nothing waits for it any more. */
  cancel(): void {
    this.#cancel();
    this.#outer?.removeEventListener("abort", this.#abort);
  }
}
