/** A clock of the tests, which is turned by hand. */

import type { Clock } from "../src/wire/clock.js";

/** Time that passes when it is told to. */
export class Hand implements Clock {
  #nowMs = 0;
  #timers: { atMs: number; call: () => void }[] = [];
  #ends: (() => void)[] = [];

  now(): number {
    return this.#nowMs;
  }

  after(ms: number, call: () => void): () => void {
    const timer = { atMs: this.#nowMs + ms, call };
    this.#timers.push(timer);
    return () => {
      this.#timers = this.#timers.filter((other) => other !== timer);
    };
  }

  atEndOfTick(call: () => void): void {
    this.#ends.push(call);
  }

  /** Ends the tick. */
  tick(): void {
    for (const call of this.#ends.splice(0)) {
      call();
    }
  }

  /** Lets time pass. */
  pass(ms: number): void {
    this.#nowMs += ms;
    const due = this.#timers.filter(({ atMs }) => atMs <= this.#nowMs);
    this.#timers = this.#timers.filter((timer) => !due.includes(timer));
    for (const { call } of due) {
      call();
    }
  }
}

/** Lets promises go on that are due. */
export async function settle(): Promise<void> {
  await new Promise((resolve) => setImmediate(resolve));
}
