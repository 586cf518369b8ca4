/**
 * When a call of many tasks ends early: by its caller's signal, or when its time is over.
 *
 * The time here is half a second longer than on the server, so that what was answered in time arrives.
 */

import { lateError } from "./call.js";
import type { Cancel, Clock } from "./clock.js";
import { onAbort } from "./signals.js";

const GRACE_MS = 500;

/** What ends a call early. */
export class Ending {
  readonly #controller = new AbortController();
  readonly #clock: Clock;
  readonly #cancels: readonly Cancel[];

  constructor(outer: AbortSignal | undefined, timeoutMs: number, clock: Clock) {
    this.#clock = clock;
    const late = () => this.#controller.abort(lateError(timeoutMs));
    this.#cancels = [
      clock.after(timeoutMs + GRACE_MS, late),
      onAbort(outer, () => this.#controller.abort(outer?.reason)),
    ];
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
      const waking = this.#clock.after(ms, () => {
        cancel();
        resolve();
      });
      const cancel = onAbort(this.signal, () => {
        waking();
        reject(this.signal.reason);
      });
    });
  }

  /** The call has ended: nothing waits for it any more. */
  cancel(): void {
    for (const cancel of this.#cancels) {
      cancel();
    }
  }
}
